package iaas

import (
	"context"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/network"
)

// serverService are the names by which agencies trust servers: ours, and those of Huawei's clients (op_svc_ecs, service.ECS).
var serverService = []string{"compute", "ecs"}

// Keys of servers live for keyLife, and are made anew when less than keyRenew is left.
const (
	keyLife  = time.Hour
	keyRenew = 20 * time.Minute
)

// agencies gives servers the temporary keys of their agencies. A key is kept while it has time left, so that a program that asks
// the metadata service again and again does not fill the store.
type agencies struct {
	i    *IaaS
	mu   sync.Mutex
	keys map[id.ID]agencyKey
}

type agencyKey struct {
	agency string
	key    ident.Temporary
}

// mayPass refuses an agency that servers cannot act with, or that the caller in ctx may not hand on.
func (a *agencies) mayPass(ctx context.Context, tx store.Tx, server *kind.Meta, agency string) error {
	i := a.i
	row, err := i.Ident.Kinds.Agency.Find(tx, string(server.Domain), agency)
	if err != nil {
		return err
	}
	if row == nil {
		return fail.Field("spec.agency", "there is no agency %q", agency).Then("see awan agency list")
	}
	if _, err := i.Ident.ForService(tx, server.Domain, agency, "", serverService...); err != nil {
		return err
	}
	c := &call.Call{Principal: ident.From(ctx), Alias: "iam:agencies:pass"}
	if c.Principal.Method == ident.BySystem {
		return nil
	}
	return i.Door().Within(tx, c, i.Ident.Kinds.Agency.D, ident.Pass, row, row.Name, nil, nil)
}

// credentials gives a server the keys of its agency.
func (a *agencies) credentials(ctx context.Context, server *network.Instance) (ident.Temporary, error) {
	now := a.i.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for at, k := range a.keys {
		if !now.Before(k.key.Expires) {
			delete(a.keys, at)
		}
	}
	if k, ok := a.keys[server.ID]; ok && k.agency == server.Agency && now.Add(keyRenew).Before(k.key.Expires) {
		if _, _, err := a.i.Ident.ByTemporary(ctx, k.key.Access, k.key.Token); err == nil { // the agency still is what it was
			return k.key, nil
		}
	}
	delete(a.keys, server.ID)
	var p ident.Principal
	err := a.i.Store.View(ctx, func(tx store.Tx) (err error) {
		p, err = a.i.Ident.ForService(tx, server.Domain, server.Agency, "server "+server.Name+" ("+string(server.ID)+")", serverService...)
		return err
	})
	if err != nil {
		return ident.Temporary{}, err
	}
	p.Project = server.Project
	key, err := a.i.Ident.IssueTemporary(ctx, p, keyLife, nil)
	if err != nil {
		return ident.Temporary{}, err
	}
	a.keys[server.ID] = agencyKey{server.Agency, key}
	return key, nil
}
