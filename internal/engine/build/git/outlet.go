package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/engine/thread"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// outlet is a network namespace with no way out but one listener of ours: a proxy for HTTPS, or for ssh a forwarder to
// the one host it is for. So the confined program has no resolver and no route, every connection is checked where it is
// made, and what comes in is counted.
type outlet struct {
	netns string
	addr  string
	dial  func(ctx context.Context, network, address string) (net.Conn, error)
	left  atomic.Int64
	ctx   context.Context
	stop  context.CancelFunc
	l     net.Listener
	done  chan struct{}
	all   sync.WaitGroup

	mu  sync.Mutex
	err error // why a connection was refused
}

// newOutlet opens an outlet; forward is the one address that it connects to, or "" for a proxy.
func newOutlet(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), forward string, most int64) (*outlet, error) {
	o := &outlet{dial: dial, done: make(chan struct{})}
	o.ctx, o.stop = context.WithCancel(ctx)
	o.left.Store(most)
	made := make(chan error)
	go func() {
		_ = thread.Elsewhere(func() error {
			err := unix.Unshare(unix.CLONE_NEWNET)
			if err == nil {
				var lo netlink.Link
				if lo, err = netlink.LinkByName("lo"); err == nil {
					err = netlink.LinkSetUp(lo)
				}
			}
			if err == nil {
				o.l, err = net.Listen("tcp4", "127.0.0.1:0") // in the thread's network
			}
			o.netns = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
			made <- err
			if err == nil {
				<-o.done
			}
			return nil
		})
	}()
	if err := <-made; err != nil {
		o.stop()
		return nil, fail.Wrap(err, fail.Unsupported, "git cannot be given a network of its own")
	}
	o.addr = o.l.Addr().String()
	if forward != "" {
		o.all.Go(func() { o.forward(forward) })
	} else {
		s := &http.Server{Handler: http.HandlerFunc(o.proxy), ReadHeaderTimeout: 10 * time.Second}
		o.all.Go(func() { _ = s.Serve(o.l) })
	}
	return o, nil
}

func (o *outlet) close() {
	o.stop()
	_ = o.l.Close()
	o.all.Wait()
	close(o.done)
}

// refused says why a connection could not be made, if one could not.
func (o *outlet) refused() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

func (o *outlet) refuse(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
}

func (o *outlet) proxy(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		o.refuse(fail.New(fail.Invalid, "the repository's address leads to one that is not https"))
		http.Error(w, "only https", http.StatusForbidden)
		return
	}
	out, err := o.dial(o.ctx, "tcp", r.Host)
	if err != nil {
		o.refuse(err)
		http.Error(w, "refused", http.StatusForbidden)
		return
	}
	w.WriteHeader(http.StatusOK)
	in, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = out.Close()
		return
	}
	o.join(in, out)
}

func (o *outlet) forward(to string) {
	for {
		in, err := o.l.Accept()
		if err != nil {
			return
		}
		o.all.Go(func() {
			out, err := o.dial(o.ctx, "tcp", to)
			if err != nil {
				o.refuse(err)
				_ = in.Close()
				return
			}
			o.join(in, out)
		})
	}
}

// join copies both ways until either end closes.
func (o *outlet) join(in, out net.Conn) {
	end := func() { _, _ = in.Close(), out.Close() }
	stop := context.AfterFunc(o.ctx, end)
	defer stop()
	var back sync.WaitGroup
	back.Go(func() {
		defer end()
		if _, err := io.Copy(in, &measured{out, o}); errors.Is(err, errTooMuch) {
			o.refuse(fail.New(fail.TooLarge, "the repository sends more than %d MiB", maxFetch>>20).Then("use a smaller one, or upload the folder"))
		}
	})
	_, _ = io.Copy(out, in) // ends when the program or the host does
	end()
	back.Wait()
}

var errTooMuch = errors.New("more than may come")

type measured struct {
	io.Reader
	o *outlet
}

func (m *measured) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if m.o.left.Add(int64(-n)) < 0 {
		return 0, errTooMuch
	}
	return n, err
}
