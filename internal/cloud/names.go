package cloud

import (
	"context"
	"net"
	"net/http"
	"strconv"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// domainOf gives the domain of a project; "" when there is no such project.
func (c *Cloud) domainOf(tx store.Tx, project id.ID) (id.ID, error) {
	row, err := c.Ident.Kinds.Project.Get(tx, project)
	if row == nil || err != nil {
		return "", err
	}
	return row.Domain, nil
}

// userOf finds a user of a domain by name or id; "" when there is none.
func (c *Cloud) userOf(tx store.Tx, domain id.ID, nameOrID string) (id.ID, error) {
	row, err := c.Ident.Kinds.User.Find(tx, string(domain), nameOrID)
	if row == nil || err != nil {
		return "", err
	}
	return row.ID, nil
}

// guard asks the scans whether an image may be released.
func (c *Cloud) guard(ctx context.Context, component *kind.Meta, environment, image string) error {
	return c.Scan.Guard(ctx, component, environment, image)
}

// registryName is the registry's host as the client of r reaches it: by name where the cloud has a domain of its own,
// else by the address the client used.
func (c *Cloud) registryName(r *http.Request) string {
	if c.Domain == DefaultDomain {
		return r.Host
	}
	return net.JoinHostPort("swr."+c.Region+"."+c.Domain, strconv.Itoa(int(c.Front.Addr().Port())))
}
