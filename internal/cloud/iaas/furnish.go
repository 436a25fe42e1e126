package iaas

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// furnishAtOnce is how many projects are given their networks in one transaction.
const furnishAtOnce = 50

// furnish gives a network to the projects that were there before projects got one: the first, which is made with the cloud,
// and those of an earlier version.
func (i *IaaS) furnish(ctx context.Context) error {
	if i.Ident == nil {
		return nil
	}
	ctx = ident.With(ctx, ident.System())
	var without []id.ID
	err := i.Store.View(ctx, func(tx store.Tx) error {
		without = nil
		all, err := i.Ident.Kinds.Project.List(tx, "", kind.Filter{})
		if err != nil {
			return err
		}
		for _, p := range all {
			done, err := i.Networks.Furnished(tx, p.ID)
			if err != nil {
				return err
			}
			if !done {
				without = append(without, p.ID)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for len(without) > 0 {
		n := min(furnishAtOnce, len(without))
		_, err := i.Store.Update(ctx, func(tx store.Tx) error {
			for _, p := range without[:n] {
				row, err := i.Ident.Kinds.Project.Get(tx, p)
				if err != nil {
					return err
				}
				if row == nil {
					continue
				}
				if err := i.Networks.Furnish(ctx, tx, &row.Meta); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		without = without[n:]
	}
	return nil
}
