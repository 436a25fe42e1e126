package cloud

import (
	"context"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/bucket"
)

// openBuckets opens object storage.
func (c *Cloud) openBuckets(ctx context.Context) error {
	limits, err := defaultQuotas()
	if err != nil {
		return err
	}
	if c.Blobs == nil {
		if err := c.openObjects(ctx); err != nil {
			return err
		}
	}
	c.closing(c.Blobs.Close)
	c.Buckets = bucket.New(bucket.Deps{Store: c.Store, Blobs: c.Blobs, Sealer: c.sealer, Limits: limits, Now: time.Now, Log: c.Log, DomainName: c.domainName,
		Outward: c.outward()})
	return nil
}

// domainName gives a domain's name; its id when it is gone.
func (c *Cloud) domainName(tx store.Tx, domain id.ID) (string, error) {
	d, err := c.Ident.Kinds.Domain.Get(tx, domain)
	if err != nil || d == nil {
		return string(domain), err
	}
	return d.Name, nil
}

// nameOf is domainName for who has no transaction; "" when there is none.
func (c *Cloud) nameOf(ctx context.Context, domain string) (name string) {
	_ = c.Store.View(ctx, func(tx store.Tx) (err error) { // without a name the id is told
		name, err = c.domainName(tx, id.ID(domain))
		return err
	})
	if name == domain {
		return ""
	}
	return name
}
