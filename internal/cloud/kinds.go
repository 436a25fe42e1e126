// Package cloud wires everything together: the list of services and engines is here and nowhere else. It may import
// every other package.
package cloud

import (
	"encoding/json"
	"fmt"
	"io/fs"

	"github.com/awancloud/awan/catalog"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/service/access"
	"github.com/awancloud/awan/internal/service/app"
	"github.com/awancloud/awan/internal/service/endpoint"
	"github.com/awancloud/awan/internal/service/federation"
	"github.com/awancloud/awan/internal/service/keypair"
)

// kinds is THE list of resources, in the order in which people meet them.
func kinds(i *ident.Kinds, a *app.Service, x *access.Service, f *federation.Service, e *endpoint.Kinds) []*kind.Def {
	var out []*kind.Def
	out = append(out, a.Kinds()...)
	out = append(out, x.Kinds()...)
	out = append(out, keypair.Kind())
	out = append(out, f.Kinds()...)
	out = append(out, e.All()...)
	return append(out, i.All()...)
}

// Describe gives every kind's description without starting anything: for the command line.
func Describe() []kind.Desc {
	var out []kind.Desc
	for _, k := range kinds(ident.NewKinds(nil), app.New(app.Deps{}), access.New(access.Deps{}), federation.New(federation.Deps{}), endpoint.New()) {
		out = append(out, k.Desc)
	}
	return out
}

// defaultQuotas reads catalog/quotas.json.
func defaultQuotas() (ledger.Limits, error) {
	b, err := fs.ReadFile(catalog.Files(), "quotas.json")
	if err != nil {
		return nil, err
	}
	limits := map[ledger.Dim]int64{}
	if err := json.Unmarshal(b, &limits); err != nil {
		return nil, fmt.Errorf("catalog/quotas.json: %w", err)
	}
	return func(d ledger.Dim) (int64, bool) {
		n, ok := limits[d]
		return n, ok
	}, nil
}
