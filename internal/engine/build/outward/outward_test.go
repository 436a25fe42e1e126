package outward

import (
	"net"
	"net/netip"
	"testing"

	"github.com/awancloud/awan/internal/kernel/fail"
)

func TestWhatIsPublic(t *testing.T) {
	for address, want := range map[string]bool{
		"1.1.1.1": true, "2606:4700::1111": true,
		"127.0.0.1": false, "10.0.0.1": false, "172.16.3.4": false, "192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false,
		"0.0.0.0": false, "224.0.0.1": false, "255.255.255.255": false, "198.18.0.1": false, "::1": false, "::": false, "fe80::1": false,
		"fd00::1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "ff02::1": false,
	} {
		if got := Public(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}

func TestTheOperatorAllowsMore(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().String()[len("127.0.0.1:"):]
	for _, c := range []struct {
		allowed []string
		to      string
		ok      bool
	}{
		{nil, l.Addr().String(), false},
		{nil, "localhost:" + port, false},
		{[]string{"127.0.0.1"}, l.Addr().String(), true},
		{[]string{l.Addr().String()}, l.Addr().String(), true},
		{[]string{"127.0.0.1:1"}, l.Addr().String(), false},
		{[]string{"127.0.0.0/8"}, l.Addr().String(), true},
		{[]string{"LOCALHOST"}, "localhost:" + port, true},
		{[]string{"10.0.0.0/8"}, l.Addr().String(), false},
	} {
		d, err := New(c.allowed)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := d.DialContext(t.Context(), "tcp", c.to)
		if err == nil {
			_ = conn.Close()
		}
		if (err == nil) != c.ok || !c.ok && !fail.Is(err, fail.Denied) {
			t.Errorf("%v to %s: %v", c.allowed, c.to, err)
		}
	}
	if _, err := New([]string{"10.0.0.0/99"}); !fail.Is(err, fail.Invalid) {
		t.Errorf("a wrong network: %v", err)
	}
}
