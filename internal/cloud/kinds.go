// Package cloud wires everything together: the list of services and engines is here and nowhere else. It may import
// every other package.
package cloud

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"

	"github.com/awancloud/awan/catalog"
	"github.com/awancloud/awan/internal/cloud/iaas"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/service/access"
	"github.com/awancloud/awan/internal/service/alarm"
	"github.com/awancloud/awan/internal/service/app"
	"github.com/awancloud/awan/internal/service/asbuilt"
	"github.com/awancloud/awan/internal/service/balancer"
	"github.com/awancloud/awan/internal/service/bucket"
	"github.com/awancloud/awan/internal/service/config"
	"github.com/awancloud/awan/internal/service/delivery"
	"github.com/awancloud/awan/internal/service/dns"
	"github.com/awancloud/awan/internal/service/endpoint"
	"github.com/awancloud/awan/internal/service/federation"
	"github.com/awancloud/awan/internal/service/registry"
	"github.com/awancloud/awan/internal/service/scaling"
	"github.com/awancloud/awan/internal/service/scan"
)

// kinds is THE list of resources, in the order in which people meet them.
func (c *Cloud) kinds() []*kind.Def {
	return slices.Concat(
		c.App.Kinds(),
		c.Config.Kinds(),
		c.Buckets.Kinds(),
		c.IaaS.Kinds(),
		c.Scaling.Kinds(),
		c.Access.Kinds(),
		c.Balancer.Kinds(),
		c.DNS.Kinds(),
		c.Alarms.Kinds(),
		c.AsBuilt.Kinds(),
		c.Images.All(),
		c.Delivery.Kinds(),
		c.Scan.All(),
		c.Federation.Kinds(),
		c.Endpoints.All(),
		c.Ident.Kinds.All())
}

// Describe gives every kind's description without starting anything: for the command line.
func Describe() []kind.Desc {
	var out []kind.Desc
	for _, k := range described() {
		out = append(out, k.Desc)
	}
	return out
}

// described are the kinds over services that do not run.
func described() []*kind.Def {
	machines, err := iaas.New(iaas.Deps{})
	if err != nil {
		panic(err) // the catalogue is built in
	}
	c := &Cloud{App: app.New(app.Deps{}), Config: config.New(config.Deps{}), Buckets: bucket.New(bucket.Deps{}), Scaling: scaling.New(scaling.Deps{}), Access: access.New(access.Deps{}),
		Alarms: alarm.New(alarm.Deps{}), Images: registry.NewKinds(registry.KindDeps{}), Scan: scan.New(scan.Deps{}), Delivery: delivery.New(delivery.Deps{Apps: app.New(app.Deps{}), Images: registry.NewKinds(registry.KindDeps{})}),
		IaaS: machines, AsBuilt: asbuilt.New(asbuilt.Deps{}), DNS: dns.New(dns.Deps{}), Balancer: balancer.New(balancer.Deps{}), Federation: federation.New(federation.Deps{}), Endpoints: endpoint.New(), Ident: &ident.Service{Kinds: ident.NewKinds(nil)}}
	return c.kinds()
}

// catalogJSON reads a file of the catalog.
func catalogJSON[T any](name string) (v T, err error) {
	b, err := fs.ReadFile(catalog.Files(), name)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, fmt.Errorf("catalog/%s: %w", name, err)
	}
	return v, nil
}

// defaultQuotas reads catalog/quotas.json.
func defaultQuotas() (ledger.Limits, error) {
	limits, err := catalogJSON[map[ledger.Dim]int64]("quotas.json")
	if err != nil {
		return nil, err
	}
	return func(d ledger.Dim) (int64, bool) {
		n, ok := limits[d]
		return n, ok
	}, nil
}
