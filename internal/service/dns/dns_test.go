package dns

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// vpcs are the VPCs of the tests' project.
type vpcs map[string]id.ID

func (v vpcs) FindVPC(_ store.Tx, _ id.ID, nameOrID string) (id.ID, error) {
	for name, i := range v {
		if nameOrID == name || nameOrID == string(i) {
			return i, nil
		}
	}
	return "", nil
}

type world struct {
	*Service
	t    *testing.T
	k    *kerneltest.Kernel
	vpcs vpcs
}

func open(t *testing.T) *world {
	t.Helper()
	nets := vpcs{"shop": id.New(), "lab": id.New()}
	s := New(Deps{Networks: nets, NameServers: []string{"ns1.cloud.test", "ns2.cloud.test"}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Reserved: func(n string) bool { return n == "cloud.test" || strings.HasSuffix(n, ".cloud.test") }})
	k := kerneltest.Start(t, nil, s.Kinds()...)
	s.Store, s.Host = k.Store, k.Door
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return &world{s, t, k, nets}
}

type m = map[string]any

func (w *world) do(verb string, k *kind.Def, name string, spec any) (kind.AnyRow, error) {
	b, _ := json.Marshal(spec)
	c := &call.Call{Kind: k, Verb: verb, Principal: w.k.Root, Spec: b}
	if verb == call.Create {
		c.Name = &name
	} else {
		c.Target = name
	}
	r, err := w.k.Door.Do(w.t.Context(), c)
	if err == nil && r.Job != nil {
		j, err := w.k.Door.WaitJob(w.t.Context(), r.Job.ID)
		if err == nil && j.Error != nil {
			err = j.Error.Err()
		}
		return r.Row, err
	}
	return r.Row, err
}

func (w *world) must(verb string, k *kind.Def, name string, spec any) kind.AnyRow {
	w.t.Helper()
	r, err := w.do(verb, k, name, spec)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// record makes a record set of a zone.
func (w *world) record(zone, name, typ string, values ...string) id.ID {
	w.t.Helper()
	return w.must(call.Create, w.Record.D, name, m{"zone": zone, "type": typ, "values": values}).M().ID
}

// settled waits until the table has what is stored.
func (w *world) settled() {
	w.t.Helper()
	if _, err := w.reload(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// said is an answer in one line: the code, then the records' data, then those of the authority.
func said(m *dns.Msg) string {
	out := dns.RcodeToString[m.Rcode]
	if m.Authoritative {
		out += " aa"
	}
	short := func(rr dns.RR) string {
		h := rr.Header()
		if h.Rrtype == dns.TypeSOA {
			return "SOA"
		}
		return dns.TypeToString[h.Rrtype] + " " + strings.TrimPrefix(rr.String(), h.String())
	}
	for _, rr := range m.Answer {
		out += "; " + short(rr)
	}
	for _, rr := range m.Ns {
		out += " | " + short(rr)
	}
	for _, rr := range m.Extra {
		if rr.Header().Rrtype != dns.TypeOPT {
			out += " + " + short(rr)
		}
	}
	return out
}

func question(name, typ string) dns.Question {
	return dns.Question{Name: dns.Fqdn(name), Qtype: dns.StringToType[typ], Qclass: dns.ClassINET}
}

func TestAPublicZone(t *testing.T) {
	w := open(t)
	w.must(call.Create, w.Zone.D, "Example.org.", m{"email": "dns.admin@example.org", "ttl": 60})
	for _, r := range [][]string{
		{"example.org", "A", "192.0.2.1", "192.0.2.2"}, {"@", "MX", "10 mail.example.org."}, {"@", "TXT", `"v=spf1 -all"`}, {"www.example.org", "CNAME", "example.org."},
		{"a.deep.example.org", "AAAA", "2001:db8::1"}, {"*.wild.example.org", "A", "192.0.2.9"}, {"sub.example.org", "NS", "ns.sub.example.org."},
		{"ns.sub.example.org", "A", "192.0.2.53"}, {"out.example.org", "CNAME", "www.example.net"}, {"one.example.org", "CNAME", "two.example.org"},
		{"two.example.org", "CNAME", "one.example.org"}, {"text.example.org", "TXT", `it's "so"`}, {"_sip._tcp.example.org", "SRV", "1 2 5060 sip.example.org"},
		{"@", "CAA", `0 issue "letsencrypt.org"`},
	} {
		w.record("example.org", r[0], r[1], r[2:]...)
	}
	w.settled()
	for _, c := range [][3]string{
		{"example.org", "A", "NOERROR aa; A 192.0.2.1; A 192.0.2.2"},
		{"EXAMPLE.org", "MX", "NOERROR aa; MX 10 mail.example.org."},
		{"example.org", "AAAA", "NOERROR aa | SOA"},
		{"example.org", "NS", "NOERROR aa; NS ns1.cloud.test.; NS ns2.cloud.test."},
		{"example.org", "CAA", `NOERROR aa; CAA 0 issue "letsencrypt.org"`},
		{"www.example.org", "A", "NOERROR aa; CNAME example.org.; A 192.0.2.1; A 192.0.2.2"},
		{"www.example.org", "CNAME", "NOERROR aa; CNAME example.org."},
		{"www.example.org", "AAAA", "NOERROR aa; CNAME example.org. | SOA"},
		{"deep.example.org", "A", "NOERROR aa | SOA"}, // there because a name below it is
		{"b.deep.example.org", "A", "NXDOMAIN aa | SOA"},
		{"x.y.wild.example.org", "A", "NOERROR aa; A 192.0.2.9"},
		{"wild.example.org", "A", "NOERROR aa | SOA"},
		{"host.sub.example.org", "A", "NOERROR | NS ns.sub.example.org. + A 192.0.2.53"},
		{"out.example.org", "A", "NOERROR aa; CNAME www.example.net."},
		{"one.example.org", "A", "SERVFAIL aa"},
		{"text.example.org", "TXT", `NOERROR aa; TXT "it's \"so\""`},
		{"_sip._tcp.example.org", "SRV", "NOERROR aa; SRV 1 2 5060 sip.example.org."},
		{"example.org", "ANY", `NOERROR aa; HINFO "RFC8482" ""`},
		{"example.net", "A", "REFUSED"},
		{"org", "NS", "REFUSED"},
	} {
		if got := said(w.Public(question(c[0], c[1]))); got != c[2] {
			t.Errorf("%s %s: %s, want %s", c[0], c[1], got, c[2])
		}
	}
	soa := w.Public(question("example.org", "SOA")).Answer[0].(*dns.SOA)
	if soa.Mbox != `dns\.admin.example.org.` || soa.Minttl != 60 || soa.Ns != "ns1.cloud.test." {
		t.Errorf("SOA: %v", soa)
	}
	w.must(call.Update, w.Zone.D, "example.org", m{"disabled": true})
	w.settled()
	if got := said(w.Public(question("example.org", "A"))); got != "REFUSED" {
		t.Errorf("a disabled zone answers %s", got)
	}
	w.must(call.Update, w.Zone.D, "example.org", m{"disabled": false})
	w.settled()
	if again := w.Public(question("example.org", "SOA")).Answer[0].(*dns.SOA); again.Serial <= soa.Serial {
		t.Errorf("the serial went from %d to %d", soa.Serial, again.Serial)
	}
	w.must(call.Delete, w.Zone.D, "example.org", nil)
	if rows := w.rows(); len(rows) > 0 {
		t.Errorf("the zone left records: %v", rows)
	}
	w.must(call.Create, w.Zone.D, "example.org", m{})
}

func (w *world) rows() (out []string) {
	w.t.Helper()
	err := w.Store.View(w.t.Context(), func(tx store.Tx) error {
		rows, err := w.Record.List(tx, "", kind.Filter{})
		for _, r := range rows {
			out = append(out, r.Name+" "+r.Spec.Type)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func TestPrivateZonesAreForTheirVPCs(t *testing.T) {
	w := open(t)
	first := w.must(call.Create, w.Zone.D, "corp.internal", m{"type": "private", "vpcs": []string{"shop"}}).M().ID
	w.record(string(first), "db.corp.internal", "A", "10.0.0.5")
	second := w.must(call.Create, w.Zone.D, "corp.internal", m{"type": "private", "vpcs": []string{"lab"}, "recursive": true}).M().ID
	w.record(string(second), "db.corp.internal", "A", "10.9.9.9")
	w.settled()
	ask := func(vpc, name string) string {
		m, ok := w.Answer(w.vpcs[vpc], question(name, "A"))
		if !ok {
			return "elsewhere"
		}
		return said(m)
	}
	for _, c := range [][3]string{{"shop", "db.corp.internal", "NOERROR aa; A 10.0.0.5"}, {"lab", "db.corp.internal", "NOERROR aa; A 10.9.9.9"},
		{"shop", "no.corp.internal", "NXDOMAIN aa | SOA"}, {"lab", "no.corp.internal", "elsewhere"}, {"shop", "example.org", "elsewhere"}, {"none", "db.corp.internal", "elsewhere"}} {
		if got := ask(c[0], c[1]); got != c[2] {
			t.Errorf("%s in %s: %s, want %s", c[1], c[0], got, c[2])
		}
	}
	if got := said(w.Public(question("db.corp.internal", "A"))); got != "REFUSED" {
		t.Errorf("a private zone is answered to the public: %s", got)
	}
	_, err := w.do(call.Update, w.Zone.D, string(first), m{"vpcs": []string{"shop", "lab"}})
	if !fail.Is(err, fail.Exists) {
		t.Errorf("two zones of one name in one VPC: %v", err)
	}
}

func TestWeights(t *testing.T) {
	w := open(t)
	w.must(call.Create, w.Zone.D, "example.org", m{})
	for i, weight := range []int{3, 1, 0} {
		w.must(call.Create, w.Record.D, "www.example.org", m{"zone": "example.org", "type": "A", "values": []string{fmt.Sprintf("192.0.2.%d", i)}, "weight": weight})
	}
	w.settled()
	seen := map[string]int{}
	for range 4000 {
		seen[said(w.Public(question("www.example.org", "A")))]++
	}
	if heavy, light := seen["NOERROR aa; A 192.0.2.0"], seen["NOERROR aa; A 192.0.2.1"]; heavy+light != 4000 || heavy < 2700 || heavy > 3300 {
		t.Errorf("weights 3, 1, 0 gave %v", seen)
	}
}

func TestWhatIsRefused(t *testing.T) {
	w := open(t)
	w.must(call.Create, w.Zone.D, "example.org", m{})
	w.record("example.org", "www.example.org", "A", "192.0.2.1")
	w.record("example.org", "alias.example.org", "CNAME", "www.example.org.")
	for _, c := range []struct {
		name, field string
		kind        fail.Kind
		spec        m
	}{
		{"example.org", "", fail.Exists, m{}},
		{"org", "name", fail.Invalid, m{}},
		{"co.uk", "name", fail.Invalid, m{}},
		{"iam.cloud.test", "name", fail.Invalid, m{}},
		{"exa mple.org", "name", fail.Invalid, m{}},
		{"-a.org", "name", fail.Invalid, m{}},
		{"*.example.net", "name", fail.Invalid, m{}},
		{"example.net", "spec.email", fail.Invalid, m{"email": "nobody"}},
		{"example.net", "spec.vpcs", fail.Invalid, m{"vpcs": []string{"shop"}}},
		{"example.net", "spec.vpcs", fail.Invalid, m{"type": "private"}},
		{"example.net", "spec.vpcs[0]", fail.Invalid, m{"type": "private", "vpcs": []string{"nowhere"}}},
		{"example.net", "spec.vpcs[1]", fail.Invalid, m{"type": "private", "vpcs": []string{"shop", "shop"}}},
	} {
		_, err := w.do(call.Create, w.Zone.D, c.name, c.spec)
		if e := fail.From(err); err == nil || e.Kind != c.kind || c.field != "" && e.Field != c.field {
			t.Errorf("zone %s %v: %v, want %s at %s", c.name, c.spec, err, c.kind, c.field)
		}
	}
	for _, c := range []struct {
		name, typ, value, field string
		kind                    fail.Kind
	}{
		{"www.example.org", "A", "192.0.2.2", "", fail.Exists},
		{"www.example.org", "CNAME", "example.org", "", fail.Conflict},
		{"alias.example.org", "A", "192.0.2.2", "", fail.Conflict},
		{"example.org", "CNAME", "www.example.org", "spec.type", fail.Invalid},
		{"example.org", "SOA", "x", "spec.type", fail.Invalid},
		{"www.example.net", "A", "192.0.2.2", "name", fail.Invalid},
		{"a.example.org", "A", "2001:db8::1", "spec.values[0]", fail.Invalid},
		{"a.example.org", "AAAA", "192.0.2.1", "spec.values[0]", fail.Invalid},
		{"a.example.org", "MX", "mail.example.org", "spec.values[0]", fail.Invalid},
		{"a.example.org", "MX", "10 192.0.2.1", "spec.values[0]", fail.Invalid},
		{"a.example.org", "SRV", "1 2 sip.example.org", "spec.values[0]", fail.Invalid},
		{"a.example.org", "TXT", "two\nlines", "spec.values[0]", fail.Invalid},
		{"a.example.org", "TXT", `"half`, "spec.values[0]", fail.Invalid},
		{"a.example.org", "CAA", "0 issue letsencrypt.org", "spec.values[0]", fail.Invalid},
		{"a.example.org", "NS", "not a name", "spec.values[0]", fail.Invalid},
		{"a.example.org", "SPF", "x", "spec.type", fail.Invalid},
	} {
		_, err := w.do(call.Create, w.Record.D, c.name, m{"zone": "example.org", "type": c.typ, "values": []string{c.value}})
		if e := fail.From(err); err == nil || e.Kind != c.kind || c.field != "" && e.Field != c.field {
			t.Errorf("%s %s %q: %v, want %s at %s", c.name, c.typ, c.value, err, c.kind, c.field)
		}
	}
	var own string
	_ = w.Store.View(t.Context(), func(tx store.Tx) error {
		rows, err := w.Record.List(tx, "", kind.Filter{Where: func(r kind.AnyRow) bool { return r.(*recordRow).Spec.Type == "NS" }})
		own = string(rows[0].ID)
		return err
	})
	if _, err := w.do(call.Delete, w.Record.D, own, nil); !fail.Is(err, fail.Precondition) {
		t.Errorf("the zone's own NS records can be deleted: %v", err)
	}
	if _, err := w.do(call.Update, w.Record.D, own, m{"values": []string{"ns.evil.test."}}); !fail.Is(err, fail.Precondition) {
		t.Errorf("the zone's own NS records can be changed: %v", err)
	}
	w.must(call.Update, w.Record.D, own, m{"ttl": 3600})
}

func TestTheServer(t *testing.T) {
	w := open(t)
	w.must(call.Create, w.Zone.D, "example.org", m{})
	w.record("example.org", "www.example.org", "A", "192.0.2.1")
	var many []string
	for i := range 50 {
		many = append(many, fmt.Sprintf("2001:db8::%d", i))
	}
	w.record("example.org", "many.example.org", "AAAA", many...)
	w.settled()
	v, err := w.Serve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	ask := func(network string, q *dns.Msg) *dns.Msg {
		t.Helper()
		c := dns.Client{Net: network, Timeout: 10 * time.Second, UDPSize: 4096}
		a, _, err := c.ExchangeContext(t.Context(), q, v.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, network := range []string{"udp", "tcp"} {
		a := ask(network, new(dns.Msg).SetQuestion("www.example.org.", dns.TypeA))
		if said(a) != "NOERROR aa; A 192.0.2.1" || a.RecursionAvailable {
			t.Errorf("%s: %v", network, a)
		}
		if a := ask(network, new(dns.Msg).SetAxfr("example.org.")); a.Rcode != dns.RcodeRefused {
			t.Errorf("%s gives the zone away: %v", network, a)
		}
		if a := ask(network, new(dns.Msg).SetNotify("example.org.")); a.Rcode != dns.RcodeNotImplemented {
			t.Errorf("%s takes a notify: %v", network, a)
		}
		a = ask(network, new(dns.Msg).SetQuestion("many.example.org.", dns.TypeAAAA).SetEdns0(4096, true))
		a.Compress = true
		if all := len(a.Answer) == 50; a.Truncated == all || all != (network == "tcp") || a.Len() > maxUDP && network == "udp" {
			t.Errorf("%s: %d records, truncated %v, %d bytes", network, len(a.Answer), a.Truncated, a.Len())
		}
	}
}

func TestTheServerFloodsNobody(t *testing.T) {
	now := time.Now()
	l := newLimiter(func() time.Time { return now })
	got := map[verdict]int{}
	for range 1000 {
		got[l.ask(netip.MustParseAddr("198.51.100.7"))]++
	}
	if got[pass] != burst || got[slip] != 300 || got[drop] != 300 {
		t.Errorf("1000 at once: %v", got)
	}
	if l.ask(netip.MustParseAddr("198.51.101.7")) != pass {
		t.Error("another network is held back too")
	}
	now = now.Add(time.Second)
	if l.ask(netip.MustParseAddr("198.51.100.8")) != pass {
		t.Error("nothing passes a second later")
	}
}
