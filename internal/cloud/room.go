package cloud

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/cli"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/service/compute"
	"github.com/awancloud/awan/internal/service/network"
)

// publicPools reads the ranges of public addresses: PREFIX, or NAME=PREFIX.
func publicPools(texts []string) (out []network.Pool, err error) {
	for i, text := range texts {
		name, prefix, named := strings.Cut(text, "=")
		if !named {
			name, prefix = fmt.Sprintf("public-%d", i+1), text
			if i == 0 {
				name = network.DefaultPublic.Name
			}
		}
		p, err := netip.ParsePrefix(prefix)
		if err != nil || !p.Addr().Is4() || p.Bits() > 30 || p.Bits() < 8 || name == "" {
			return nil, fail.Field("public-ips", "%q is not a range of IPv4 addresses between /8 and /30", text).Then("write 203.0.113.0/24, or a name before it: office=203.0.113.0/24")
		}
		for _, other := range out {
			if other.Name == name {
				return nil, fail.Field("public-ips", "two ranges are called %q", name)
			}
			if other.Prefix.Overlaps(p) {
				return nil, fail.Field("public-ips", "%s and %s overlap", other.Prefix, p)
			}
		}
		out = append(out, network.Pool{Name: name, Prefix: p.Masked()})
	}
	return out, nil
}

// rates reads the operator's prices.
func rates(file string) (ledger.Rates, error) {
	if file == "" {
		return ledger.Rates{}, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return ledger.Rates{}, fail.Field("rates", "%s cannot be read", file).Because(err)
	}
	known := []ledger.Dim{network.TrafficIn, network.TrafficOut}
	for _, k := range Describe() {
		known = append(known, k.Meters...)
	}
	slices.Sort(known)
	return ledger.ReadRates(b, slices.Compact(known))
}

// overcommit reads how much more servers are promised than there is.
func overcommit(o cli.UpOptions) (compute.Overcommit, error) {
	out := compute.Overcommit{CPU: o.OvercommitCPUs, Memory: o.OvercommitMemory}
	for _, f := range []struct {
		field string
		value *float64
		def   float64
	}{{"overcommit-cpus", &out.CPU, compute.DefaultOvercommit.CPU}, {"overcommit-memory", &out.Memory, compute.DefaultOvercommit.Memory}} {
		if *f.value == 0 {
			*f.value = f.def
		}
		if *f.value < 0.1 || *f.value > 64 {
			return out, fail.Field(f.field, "%g is not between 0.1 and 64", *f.value).Then("1 promises just what there is")
		}
	}
	return out, nil
}
