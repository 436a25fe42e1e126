package bucket_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/bucket"
)

// tasksAt is the world of the tasks that are killed: everything that is stored in "source" is copied to "target", told to a
// web hook, listed into "lists", and swept under "tmp/".
func tasksAt(ctx context.Context, svc *bucket.Service, me *bucket.Caller, hook string) error {
	for _, name := range []string{"target", "lists", "source"} {
		if _, err := svc.Create(ctx, me, name, bucket.BucketSpec{Versioning: "enabled"}, "", nil); err != nil && !fail.Is(err, fail.Exists) {
			return err
		}
	}
	return svc.Change(ctx, me, "source", "", func(r *bucket.Row) error {
		r.Spec.Notifications = []bucket.Notification{{ID: "hook", URL: hook, Events: []string{"ObjectCreated:*", "ObjectRemoved:*", "LifecycleExpiration:*"}}}
		r.Spec.Replication = []bucket.Replication{{ID: "copy", Bucket: "target", Deletes: true}}
		r.Spec.Lifecycle = []bucket.Rule{{ID: "tmp", Prefix: "tmp/", ExpireAt: time.Now().UTC().AddDate(0, 0, -2).Truncate(24 * time.Hour)}}
		r.Spec.Inventory = append(r.Spec.Inventory, bucket.Inventory{ID: fmt.Sprint("i", os.Getpid()), Bucket: "lists", Versions: true})
		return nil
	})
}

// writeForTasks stores and deletes until it is killed, and has the rules run again and again.
func writeForTasks(dir, hook string) error {
	svc, me, _, err := openIn(dir)
	if err != nil {
		return err
	}
	ctx := context.Background()
	if err := tasksAt(ctx, svc, me, hook); err != nil {
		return err
	}
	for i := 0; ; i++ {
		key := fmt.Sprintf("k%d", rand.IntN(8))
		if i%5 == 4 {
			key = fmt.Sprintf("tmp/%d.%d", os.Getpid(), i)
		}
		if i%11 == 10 {
			_, err = svc.Delete(ctx, me, &bucket.DeleteInput{Bucket: "source", Key: key})
		} else {
			body := content(fmt.Sprint(os.Getpid(), ".", i), []int{10, 70000, 400000}[rand.IntN(3)])
			_, err = svc.Put(ctx, me, &bucket.PutInput{Bucket: "source", Key: key, Body: bytes.NewReader(body), Size: int64(len(body))})
		}
		if err == nil && i%20 == 0 {
			err = svc.Ask(ctx, "sweep", "source")
		}
		if err != nil {
			return err
		}
		fmt.Println("done")
	}
}

// TestTasksSurviveKills kills a cloud whose tasks are all at work, again and again. In the end every version was copied in
// order, told of, listed and swept, and what the counters say is what lies there.
func TestTasksSurviveKills(t *testing.T) {
	if os.Getenv("AWAN_LONG") == "" {
		t.Skip("not run: AWAN_LONG=1 is needed")
	}
	hook := &hookOfKills{seen: map[string]bool{}}
	server := httptest.NewServer(hook)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	for range 15 {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), "AWAN_TEST_OBJECTS="+dir, "AWAN_TEST_HOOK="+server.URL)
		cmd.Stderr = os.Stderr
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done, want := 0, 20+rand.IntN(100)
		for s := bufio.NewScanner(pipe); s.Scan(); {
			if done++; done == want {
				time.AfterFunc(time.Duration(rand.IntN(600))*time.Millisecond, func() { _ = cmd.Process.Kill() }) // wherever the tasks are then
			}
		}
		_ = cmd.Wait()
		if done < want {
			t.Fatalf("the writer ended by itself after %d operations", done)
		}
	}
	svc, me, closeAll, err := openIn(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll()
	ctx := t.Context()
	if err := svc.Ask(ctx, "sweep", "source"); err != nil {
		t.Fatal(err)
	}
	row, err := svc.Bucket(ctx, me, "source", "")
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		left := map[string]int{}
		err := svc.Store.View(ctx, func(tx store.Tx) error {
			for _, p := range []string{"bucket/event/", "bucket/copy/", "bucket/copies/", "bucket/want/", "bucket/sweep/"} {
				for range tx.Scan(p, "") {
					left[p]++
				}
			}
			listed := 0
			for range tx.Scan("bucket/inventory/"+string(row.ID)+"/", "") {
				listed++
			}
			left["inventories"] = len(row.Spec.Inventory) - listed
			return tx.ScanErr()
		})
		if err != nil {
			t.Fatal(err)
		}
		sum := 0
		for _, n := range left {
			sum += n
		}
		if sum == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("left undone: %v", left)
		}
	}
	hook.check(t)
	afterKills(t, svc, me, hook)
	inventoriesAreWhole(t, svc, me, len(row.Spec.Inventory))
}

// afterKills compares what lies in the source with its copies, its events and its counters.
func afterKills(t *testing.T, svc *bucket.Service, me *bucket.Caller, hook *hookOfKills) {
	t.Helper()
	ctx := t.Context()
	all := func(name string) []bucket.Object {
		var out []bucket.Object
		for in := (&bucket.ListInput{Bucket: name, Versions: true, Max: 1000}); ; {
			l, err := svc.List(ctx, me, in)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, l.Objects...)
			if in.After, in.AfterVersion = l.Next, l.NextVersion; !l.Truncated {
				return out
			}
		}
	}
	read := func(name string, o *bucket.Object) string {
		if o.Marker {
			return "marker"
		}
		c, err := svc.Get(ctx, me, &bucket.GetInput{Bucket: name, Key: o.Key, Version: o.Version})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Body.Close() }()
		h := md5.New()
		if _, err := io.Copy(h, c.Body); err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(h.Sum(nil))
	}
	history := func(name string) (map[string][]string, int64) {
		out, bytes := map[string][]string{}, int64(0)
		for _, o := range all(name) {
			bytes += o.Size
			what := read(name, &o)
			if name == "source" {
				if !hook.has(o.Key, o.Version) {
					t.Errorf("nobody was told of %s %s", o.Key, o.Version)
				}
				if !o.Marker && o.Replication != "COMPLETED" {
					t.Errorf("%s %s is %q", o.Key, o.Version, o.Replication)
				}
			}
			if strings.HasPrefix(o.Key, "tmp/") && o.Latest && !o.Marker && name == "source" {
				t.Errorf("%s was not swept", o.Key)
			}
			if o.Marker && strings.HasPrefix(o.Key, "tmp/") {
				continue // what rules delete stays at the copy
			}
			if h := out[o.Key]; len(h) == 0 || h[len(h)-1] != what { // one that died between copying and noting it copies again
				out[o.Key] = append(h, what)
			}
		}
		return out, bytes
	}
	from, size := history("source")
	to, _ := history("target")
	if len(from) < 8 {
		t.Errorf("only %d names were written", len(from))
	}
	for key, want := range from {
		if !slices.Equal(want, to[key]) {
			t.Errorf("%s: the versions are %q, of the copy %q", key, want, to[key])
		}
	}
	if u, err := svc.Usage(ctx, me, "source"); err != nil || u.Bytes != size {
		t.Errorf("counted %d bytes, there are %d (%v)", u.Bytes, size, err)
	}
	t.Logf("%d names, %d bytes, %d events", len(from), size, len(hook.seen))
}

func inventoriesAreWhole(t *testing.T, svc *bucket.Service, me *bucket.Caller, want int) {
	t.Helper()
	get := func(key string) []byte {
		c, err := svc.Get(t.Context(), me, &bucket.GetInput{Bucket: "lists", Key: key})
		if err != nil {
			t.Fatal(key, err)
		}
		defer func() { _ = c.Body.Close() }()
		b, err := io.ReadAll(c.Body)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	l, err := svc.List(t.Context(), me, &bucket.ListInput{Bucket: "lists", Max: 10000})
	if err != nil {
		t.Fatal(err)
	}
	whole := 0
	for _, o := range l.Objects {
		if !strings.HasSuffix(o.Key, "manifest.json") {
			continue
		}
		var m struct {
			Files []struct{ Key, MD5checksum string }
		}
		if err := json.Unmarshal(get(o.Key), &m); err != nil {
			t.Fatal(err)
		}
		for _, f := range m.Files {
			if sum := md5.Sum(get(f.Key)); hex.EncodeToString(sum[:]) != f.MD5checksum {
				t.Errorf("%s is not what its manifest says", f.Key)
			}
		}
		whole++
	}
	if whole != want {
		t.Errorf("%d of %d inventories were written", whole, want)
	}
}

// hookOfKills notes whom it was told of, and the order of what it had not been told before.
type hookOfKills struct {
	mu   sync.Mutex
	seen map[string]bool
	last string
	bad  []string
}

func (h *hookOfKills) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	if rand.IntN(10) == 0 { // receivers fail too
		rw.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var e events
	err := json.NewDecoder(req.Body).Decode(&e)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.bad = append(h.bad, err.Error())
	}
	for _, r := range e.Records {
		o := r.S3.Object
		if at := o.Key + " " + o.VersionID; !h.seen[at] {
			h.seen[at] = true
			if o.Sequencer <= h.last {
				h.bad = append(h.bad, fmt.Sprintf("%s came after what happened later", at))
			}
			h.last = o.Sequencer
		}
	}
}

func (h *hookOfKills) has(key, version string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen[strings.ReplaceAll(key, "/", "%2F")+" "+version]
}

func (h *hookOfKills) check(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.bad) > 0 {
		t.Errorf("%d: %.500q", len(h.bad), h.bad)
	}
}
