package packets

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	wire "github.com/miekg/dns"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/service/dns"
)

// ask asks the VPC's resolver from a box; the answer is the code and what the records say.
func (b *box) ask(network, name string, qtype uint16) string {
	b.t.Helper()
	conn, err := b.dial(network, dns.Resolver+":53")
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	q := new(wire.Msg).SetQuestion(name, qtype)
	m, _, err := new(wire.Client).ExchangeWithConn(q, &wire.Conn{Conn: conn})
	if err != nil {
		return err.Error()
	}
	var said []string
	for _, r := range m.Answer {
		said = append(said, strings.TrimPrefix(r.String(), r.Header().String()))
	}
	slices.Sort(said)
	return fmt.Sprint(wire.RcodeToString[m.Rcode], " ", strings.Join(said, ","))
}

// TestNamesStayInTheirVPC has two VPCs with the same addresses and the same private name, which is another address in each; a third VPC
// has no such name.
func TestNamesStayInTheirVPC(t *testing.T) {
	c := open(t)
	boxes := map[string]*box{}
	for _, v := range []string{"a", "b", "c"} {
		c.do("network/vpc", call.Create, v, `{"cidr":"10.7.0.0/16"}`)
		c.do("network/subnet", call.Create, "sub"+v, `{"vpc":"`+v+`","cidr":"10.7.0.0/24","gateway":"10.7.0.1"}`)
		c.do("network/security-group", call.Create, "group"+v, `{}`)
		boxes[v] = c.server(v+"0", "sub"+v, "10.7.0.10", "group"+v)
	}
	zones := map[string]string{}
	for v, at := range map[string]string{"a": "10.7.0.11", "b": "10.7.0.22"} {
		zone := string(c.do("dns/zone", call.Create, "shop.lan", `{"type":"private","vpcs":["`+v+`"]}`).M().ID)
		zones[v] = zone
		c.do("dns/record-set", call.Create, "db.shop.lan", `{"zone":"`+zone+`","type":"A","values":["`+at+`"]}`)
		c.do("dns/record-set", call.Create, "www.shop.lan", `{"zone":"`+zone+`","type":"CNAME","values":["db.shop.lan."]}`)
	}
	for _, want := range []struct{ vpc, network, name, says string }{
		{"a", "udp", "db.shop.lan.", "NOERROR 10.7.0.11"},
		{"a", "tcp", "db.shop.lan.", "NOERROR 10.7.0.11"},
		{"a", "udp", "www.shop.lan.", "NOERROR 10.7.0.11,db.shop.lan."},
		{"a", "udp", "nothing.shop.lan.", "NXDOMAIN "},
		{"b", "udp", "db.shop.lan.", "NOERROR 10.7.0.22"},
		{"c", "udp", "db.shop.lan.", "REFUSED "}, // it does not reach the outside either
	} {
		c.until(fmt.Sprint(want), func() bool { return boxes[want.vpc].ask(want.network, want.name, wire.TypeA) == want.says })
	}
	c.do("dns/zone", call.Update, zones["a"], `{"disabled":true}`)
	c.until("a disabled zone is answered no more, the other one still", func() bool {
		return boxes["a"].ask("udp", "db.shop.lan.", wire.TypeA) == "REFUSED " && boxes["b"].ask("udp", "db.shop.lan.", wire.TypeA) == "NOERROR 10.7.0.22"
	})
}
