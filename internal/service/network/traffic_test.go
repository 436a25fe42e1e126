package network_test

import (
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/fabric"
	"github.com/awancloud/awan/internal/service/network"
)

// TestTrafficIsCountedOnce follows a public address: it is looked at, its count begins anew, it is taken away before the next
// look, leads to a port again, and is released.
func TestTrafficIsCountedOnce(t *testing.T) {
	l, e := told(t)
	l.do("vpc", call.Create, "shop", `{"cidr":"10.1.0.0/16"}`)
	l.do("subnet", call.Create, "web", `{"vpc":"shop","cidr":"10.1.1.0/24"}`)
	l.do("port", call.Create, "a", `{"subnet":"web"}`)
	port := l.plug("a")
	leads := func(n int) {
		t.Helper()
		l.until(e, "where the public address leads", func() bool { return len(e.ports[port].Public) == n })
	}
	is := func(in, out uint64) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.traffic = fabric.Traffic{In: in, Out: out}
	}
	counted := func(in, out int64) {
		t.Helper()
		var got [2]int64
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			got = [2]int64{}
			err := l.Store.View(t.Context(), func(tx store.Tx) error {
				all, err := ledger.UsageOf(tx, l.Admin.ProjectID, l.Clock.Now().Add(-24*time.Hour), l.Clock.Now().Add(time.Hour))
				for _, u := range all {
					switch u.Dim {
					case network.TrafficIn:
						got[0] += u.Passed
					case network.TrafficOut:
						got[1] += u.Passed
					}
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if got == [2]int64{in, out} {
				return
			}
			l.Door.Wake("network/port") // ports are looked at now
		}
		t.Fatalf("counted %v, want %d and %d", got, in, out)
	}
	l.do("public-ip", call.Create, "front", `{"port":"`+string(port)+`"}`)
	leads(1)
	is(100, 10)
	counted(100, 10)
	is(150, 12)
	counted(150, 12)
	is(30, 1) // the kernel's count began anew
	counted(180, 13)
	is(70, 2) // nobody looked since
	l.do("public-ip", call.Update, "front", `{"port":""}`)
	leads(0)
	counted(220, 14)
	is(80, 5) // what a new count says is new, though it is more than the old
	l.do("public-ip", call.Update, "front", `{"port":"`+string(port)+`"}`)
	leads(1)
	counted(300, 19)
	is(90, 6)
	l.do("public-ip", call.Delete, "front", ``)
	leads(0)
	counted(310, 20)
	err := l.Store.View(t.Context(), func(tx store.Tx) error {
		for k := range tx.Scan("net/traffic/", "") {
			t.Errorf("%s is left", k)
		}
		return tx.ScanErr()
	})
	if err != nil {
		t.Fatal(err)
	}
}
