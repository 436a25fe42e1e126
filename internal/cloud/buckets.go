package cloud

import (
	"context"
	"time"

	"github.com/awancloud/awan/internal/engine/object/file"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/bucket"
)

// openBuckets opens object storage.
func (c *Cloud) openBuckets(context.Context) error {
	limits, err := defaultQuotas()
	if err != nil {
		return err
	}
	if c.Blobs == nil {
		if c.Blobs, err = file.Open(file.Options{Dirs: []string{c.path("objects")}, Log: c.Log}); err != nil {
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
