package cloud

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/cli"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/compute"
	"github.com/awancloud/awan/internal/service/network"
)

func TestTheOperatorSaysWhatRoomThereIs(t *testing.T) {
	pools, err := publicPools([]string{"203.0.113.0/24", "office=198.51.100.64/26"})
	if err != nil || len(pools) != 2 || pools[0] != (network.Pool{Name: "public", Prefix: netip.MustParsePrefix("203.0.113.0/24")}) || pools[1].Name != "office" {
		t.Errorf("%v %v", pools, err)
	}
	for text, why := range map[string]string{"203.0.113.1": "not a range", "2001:db8::/64": "not a range", "a=10.0.0.0/24,a=10.0.1.0/24": "called", "10.0.0.0/16,10.0.1.0/24": "overlap", "10.0.0.0/31": "not a range"} {
		if _, err := publicPools(strings.Split(text, ",")); err == nil || !strings.Contains(fail.From(err).Public(), why) {
			t.Errorf("%s: %v, want %q", text, err, why)
		}
	}
	if o, err := overcommit(cli.UpOptions{}); err != nil || o != compute.DefaultOvercommit {
		t.Errorf("%v %v", o, err)
	}
	if o, err := overcommit(cli.UpOptions{OvercommitCPUs: 2}); err != nil || o != (compute.Overcommit{CPU: 2, Memory: 1}) {
		t.Errorf("%v %v", o, err)
	}
	if _, err := overcommit(cli.UpOptions{OvercommitMemory: -1}); err == nil || !strings.Contains(fail.From(err).Public(), "overcommit-memory") {
		t.Error(err)
	}
}
