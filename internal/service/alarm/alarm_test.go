package alarm

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/metric"
	"github.com/awancloud/awan/internal/service/outward"
)

// post is what a webhook got.
type post struct {
	body, signature, delivery string
}

// world is a kernel with alarms over one gauge, "level", and a webhook that can be made to fail.
type world struct {
	*kerneltest.Kernel
	*Service
	t      *testing.T
	level  *prometheus.GaugeVec
	hook   *httptest.Server
	got    chan post
	status int
}

func (w *world) Unseal(m *kind.Meta, part, path, sealed string) (string, error) {
	return w.Door.Unseal(m, part, path, sealed)
}

func start(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, got: make(chan post, 10), status: 200}
	w.hook = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.got <- post{string(b), r.Header.Get(Signature), r.Header.Get("X-Awan-Delivery")}
		rw.WriteHeader(w.status)
	}))
	t.Cleanup(w.hook.Close)
	w.Service = New(Deps{Host: w, Log: slog.New(slog.DiscardHandler), Outward: outward.New(func(a netip.AddrPort) bool { return a.Addr().IsLoopback() }, nil)})
	w.Kernel = kerneltest.Start(t, nil, w.Service.Kinds()...)
	m, err := metric.Open(metric.Options{Dir: t.TempDir(), Now: w.Clock.Now, Log: w.Service.Log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	w.level = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "level"}, []string{"project"})
	m.Registry.MustRegister(w.level)
	w.Service.Store, w.Service.Metrics, w.Service.Now = w.Kernel.Store, m, w.Clock.Now
	return w
}

func (w *world) do(k *kind.Def, verb, name string, spec any) error {
	b, _ := json.Marshal(spec)
	c := &call.Call{Kind: k, Verb: verb, Principal: w.Root, Target: name, Spec: b}
	if verb == call.Create {
		c.Name, c.Target = &name, ""
	}
	_, err := w.Door.Do(context.Background(), c)
	return err
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// at sets the level (below 0: there is none), lets ten seconds pass, evaluates, and gives the alarm's state.
func (w *world) at(level float64) string {
	w.t.Helper()
	if project := string(w.Admin.ProjectID); level < 0 {
		w.level.DeleteLabelValues(project)
	} else {
		w.level.WithLabelValues(project).Set(level)
	}
	w.Clock.Add(10 * time.Second)
	w.must(w.Metrics.Measure(w.t.Context()))
	w.must(w.Evaluate(w.t.Context()))
	return w.alarm().Status.Alarm
}

func (w *world) alarm() (r *row) {
	w.t.Helper()
	w.must(w.Kernel.Store.View(w.t.Context(), func(tx store.Tx) (err error) {
		r, err = w.Alarm.Find(tx, string(w.Admin.ProjectID), "high")
		return err
	}))
	return r
}

func (w *world) notifications() (out []*notificationRow) {
	w.must(w.Kernel.Store.View(w.t.Context(), func(tx store.Tx) (err error) {
		out, err = w.Notification.List(tx, string(w.Admin.ProjectID), kind.Filter{})
		return err
	}))
	return out
}

func (w *world) send() {
	w.t.Helper()
	_, err := w.Send(w.t.Context())
	w.must(err)
}

func TestAnAlarmFiresAndEnds(t *testing.T) {
	w := start(t)
	w.must(w.do(w.Channel.D, call.Create, "chat", map[string]any{"url": w.hook.URL, "secret": "hush"}))
	w.must(w.do(w.Alarm.D, call.Create, "high", map[string]any{"query": "level", "comparison": ">", "value": 80, "for": "25s", "channels": []string{"chat"}}))
	for i, x := range []struct {
		level float64
		want  string
		told  int // in all
	}{{10, ok, 0}, {90, pending, 0}, {50, ok, 0}, {90, pending, 0}, {90, pending, 0}, {90, pending, 0}, {91, firing, 1}, {92, firing, 1}, {-1, noData, 1}, {93, pending, 1},
		{93, pending, 1}, {93, pending, 1}, {93, firing, 1}, {20, ok, 2}, {10, ok, 2}} {
		got := w.at(x.level)
		if n := len(w.notifications()); got != x.want || n != x.told {
			t.Fatalf("round %d: the level is %g: %s, %d told; want %s, %d", i, x.level, got, n, x.want, x.told)
		}
	}
	w.send()
	for _, n := range w.notifications() {
		if n.Status.Delivery != delivered || n.Status.Tries != 1 {
			t.Fatalf("%+v", n.Status)
		}
	}
	for _, state := range []string{firing, ok} {
		p := <-w.got
		var m message
		w.must(json.Unmarshal([]byte(p.body), &m))
		if m.State != firing && m.State != ok || m.Alarm != "high" || p.delivery != m.ID || m.Severity != "warning" {
			t.Errorf("%s: %s", state, p.body)
		}
		at, _, _ := strings.Cut(strings.TrimPrefix(p.signature, "t="), ",")
		var sec int64
		fmt.Sscan(at, &sec)
		if want := sign("hush", p.body, time.Unix(sec, 0)); p.signature != want || sec == 0 {
			t.Errorf("signature %s, want %s", p.signature, want)
		}
	}
	var events []event.Event
	w.must(w.Kernel.Store.View(t.Context(), func(tx store.Tx) (err error) {
		events, err = event.Of(tx, w.alarm().ID, 100)
		return err
	}))
	text := ""
	for _, e := range events {
		text += e.Type + " "
	}
	if text != "Resolved Firing Pending NoData Firing Pending Resolved Pending " {
		t.Errorf("history: %s", text)
	}
}

func TestANotificationIsTriedUntilItArrives(t *testing.T) {
	w := start(t)
	w.must(w.do(w.Channel.D, call.Create, "chat", map[string]any{"url": w.hook.URL}))
	w.status = 503
	w.must(w.do(w.Channel.D, "test", "chat", nil))
	for try := 1; try <= 3; try++ {
		w.send()
		n := w.notifications()[0]
		if n.Status.Delivery != waiting || n.Status.Tries != try || !strings.Contains(n.Status.Error, "503") || n.Status.Next.Sub(w.Clock.Now()) != pause(try) {
			t.Fatalf("try %d: %+v", try, n.Status)
		}
		w.send() // too early
		w.Clock.Add(pause(try))
	}
	w.status = 204
	w.send()
	first := <-w.got
	for len(w.got) > 1 {
		<-w.got
	}
	if last := <-w.got; last.delivery != first.delivery || last.body != first.body {
		t.Errorf("a repeat is told by its id: %s, then %s", first.delivery, last.delivery)
	}
	if n := w.notifications()[0]; n.Status.Delivery != delivered || n.Status.Tries != 4 || n.Status.Error != "" {
		t.Errorf("%+v", n.Status)
	}
}

func TestNotificationsDoNotReachInside(t *testing.T) {
	w := start(t)
	w.Outward = outward.New(func(netip.AddrPort) bool { return false }, nil)
	w.must(w.do(w.Channel.D, call.Create, "chat", map[string]any{"url": strings.Replace(w.hook.URL, "127.0.0.1", "localhost", 1)}))
	w.must(w.do(w.Channel.D, "test", "chat", nil))
	w.send()
	if n := w.notifications()[0]; n.Status.Delivery != givenUp || !strings.Contains(n.Status.Error, "not a public address") || len(w.got) > 0 {
		t.Errorf("%+v, %d arrived", n.Status, len(w.got))
	}
}

func TestEMail(t *testing.T) {
	w := start(t)
	spec := map[string]any{"type": "email", "to": []string{"Ops <ops@example.org>"}}
	if err := w.do(w.Channel.D, call.Create, "ops", spec); !fail.Is(err, fail.Unsupported) || !strings.Contains(err.Error(), "--smtp") {
		t.Errorf("without a server: %v", err)
	}
	server, mails := mailServer(t)
	w.Mail = Mail{Server: server, From: "cloud@example.org"}
	w.must(w.do(w.Channel.D, call.Create, "ops", spec))
	w.must(w.do(w.Channel.D, "test", "ops", nil))
	w.send()
	if n := w.notifications()[0]; n.Status.Delivery != delivered {
		t.Fatalf("%+v", n.Status)
	}
	got := <-mails
	for _, want := range []string{"MAIL FROM:<cloud@example.org>", "RCPT TO:<ops@example.org>", "Subject: [TEST]", "this is a test of channel ops"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// TestMailThatIsRefused: an address that nobody has keeps nobody else from hearing; what the server refuses for good is
// not tried again, what it refuses for now is; and its own words are told.
func TestMailThatIsRefused(t *testing.T) {
	for _, c := range []struct {
		name     string
		to       []string
		delivery string
		tries    int
		words    string
	}{
		{"one of two", []string{"nobody@example.org", "ops@example.org"}, delivered, 1, "refuses the recipient nobody@example.org: 550 5.1.1 no such user"},
		{"all", []string{"nobody@example.org"}, givenUp, 1, "550 5.1.1 no such user"},
		{"for now", []string{"busy@example.org"}, waiting, 1, "450 try later"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := start(t)
			w.ProjectName = func(store.Tx, id.ID) string { return "shop" }
			server, mails := mailServer(t)
			w.Mail = Mail{Server: server, From: "cloud@example.org"}
			w.must(w.do(w.Channel.D, call.Create, "ops", map[string]any{"type": "email", "to": c.to}))
			w.must(w.do(w.Channel.D, "test", "ops", nil))
			w.send()
			if n := w.notifications()[0].Status; n.Delivery != c.delivery || n.Tries != c.tries || !strings.Contains(n.Error, c.words) {
				t.Errorf("%+v", n)
			}
			if c.delivery != delivered {
				return
			}
			got := <-mails
			for _, want := range []string{"EHLO example.org", "RCPT TO:<ops@example.org>", "this is a test", "\nproject shop, at "} {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
		})
	}
}

// mailServer speaks enough SMTP to take one message, and gives all that it was sent.
func mailServer(t *testing.T) (string, <-chan string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	out := make(chan string, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		all, data := "", false
		fmt.Fprint(c, "220 test\r\n")
		for lines := bufio.NewScanner(c); lines.Scan(); {
			l := lines.Text()
			all += l + "\n"
			switch {
			case data && l == ".":
				data = false
				fmt.Fprint(c, "250 taken\r\n")
			case data:
			case strings.HasPrefix(l, "RCPT TO:<nobody@"):
				fmt.Fprint(c, "550 5.1.1 no such user\r\n")
			case strings.HasPrefix(l, "RCPT TO:<busy@"):
				fmt.Fprint(c, "450 try later\r\n")
			case l == "DATA":
				data = true
				fmt.Fprint(c, "354 go on\r\n")
			case l == "QUIT":
				fmt.Fprint(c, "221 bye\r\n")
				out <- all
				return
			default:
				fmt.Fprint(c, "250 ok\r\n")
			}
		}
	}()
	return ln.Addr().String(), out
}

func TestBadAlarmsAndChannelsAreRefused(t *testing.T) {
	w := start(t)
	for _, c := range []struct {
		spec  map[string]any
		field string
	}{
		{map[string]any{}, "spec.query"},
		{map[string]any{"query": "sum("}, "spec.query"},
		{map[string]any{"query": "up", "metric": "cpu"}, "spec.query"},
		{map[string]any{"metric": "cpu"}, "spec.component"},
		{map[string]any{"metric": "cpu", "component": "web"}, "spec.comparison"},
		{map[string]any{"query": "up", "channels": []string{"nowhere"}}, "spec.channels"},
	} {
		if err := w.do(w.Alarm.D, call.Create, "bad", c.spec); !fail.Is(err, fail.Invalid) || fail.From(err).Field != c.field {
			t.Errorf("%v: %v", c.spec, err)
		}
	}
	for _, url := range []string{"", "ftp://x/", "https://user:pw@x/", "https://", "chat.example.org/hook", "https://x:99999/"} {
		if err := w.do(w.Channel.D, call.Create, "bad", map[string]any{"url": url}); !fail.Is(err, fail.Invalid) || fail.From(err).Field != "spec.url" {
			t.Errorf("%q: %v", url, err)
		}
	}
	w.must(w.do(w.Channel.D, call.Create, "chat", map[string]any{"url": "https://chat.example.org/"}))
	w.must(w.do(w.Alarm.D, call.Create, "high", map[string]any{"query": "up", "channels": []string{"chat"}}))
	if err := w.do(w.Channel.D, call.Delete, "chat", nil); !fail.Is(err, fail.Precondition) {
		t.Errorf("a channel that an alarm uses: %v", err)
	}
	if _, ok := id.Parse(w.alarm().Spec.Channels[0]); !ok {
		t.Errorf("channels are held by name: %v", w.alarm().Spec.Channels)
	}
}
