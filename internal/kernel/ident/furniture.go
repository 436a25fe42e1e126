package ident

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Furniture is what a service gives every new project, and takes back when an otherwise empty one is deleted. Both happen in
// the transaction that makes or deletes the project.
type Furniture interface {
	Furnish(ctx context.Context, tx store.Tx, project *kind.Meta) error
	// Clear takes away what nothing uses; what it leaves keeps the project.
	Clear(ctx context.Context, tx store.Tx, project *kind.Meta) error
}

// Furnish has f give something to every project that is made from now on.
func (k *Kinds) Furnish(f Furniture) { k.furniture = append(k.furniture, f) }

func (k *Kinds) furnish(ctx context.Context, tx store.Tx, old, row *projectRow) error {
	if old != nil || row == nil {
		return nil
	}
	for _, f := range k.furniture {
		if err := f.Furnish(ctx, tx, &row.Meta); err != nil {
			return err
		}
	}
	return nil
}

func (k *Kinds) clear(ctx context.Context, tx store.Tx, row *projectRow) error {
	for _, f := range k.furniture {
		if err := f.Clear(ctx, tx, &row.Meta); err != nil {
			return err
		}
	}
	return nil
}
