package endpoint

import (
	"context"
	"sync"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// revKey holds a mark that every change of what is here replaces in its own transaction: the catalog is a part of every
// token that is given out, and seldom changes.
const revKey = "catalogrev"

func bump(tx store.Tx) error { return tx.Put(revKey, []byte(id.New())) }

func touch[S any](_ context.Context, tx store.Tx, _, _ *kind.Row[S, ident.None]) error {
	return bump(tx)
}

// Added is what operators added. Nothing of it may be changed by who reads it.
type Added struct {
	Regions   []*Region
	Services  []*Service
	Endpoints []*Endpoint
}

// seen is what was read while rev was the stored mark.
type seen struct {
	mu   sync.Mutex
	rev  string
	rows *Added
}

// Added gives all that operators added, as the transaction's state has it.
func (k *Kinds) Added(tx store.Tx) (*Added, error) {
	b, _, err := tx.Get(revKey)
	if err != nil {
		return nil, err
	}
	k.seen.mu.Lock()
	defer k.seen.mu.Unlock()
	if k.seen.rows != nil && k.seen.rev == string(b) {
		return k.seen.rows, nil
	}
	out := &Added{}
	if out.Regions, err = k.Region.List(tx, "-", kind.Filter{}); err != nil {
		return nil, err
	}
	if out.Services, err = k.Service.List(tx, "-", kind.Filter{}); err != nil {
		return nil, err
	}
	if out.Endpoints, err = k.Endpoint.List(tx, "-", kind.Filter{}); err != nil {
		return nil, err
	}
	k.seen.rev, k.seen.rows = string(b), out
	return out, nil
}
