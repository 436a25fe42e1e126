package keystone

import (
	"encoding/json"
	"strings"
	"sync"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
	ep "github.com/awancloud/awan/internal/service/endpoint"
)

// catalogs are written catalogs, which most answers with a token hold: they depend on where the client reached us, on the
// project, and on what operators added. They are right while that is the same.
type catalogs struct {
	mu    sync.Mutex
	added *ep.Added
	seen  map[string][]byte
}

// maxCatalogs bounds them: clients choose the host that they say they reached.
const maxCatalogs = 1000

// writtenCatalog is services, written.
func (x *exchange) writtenCatalog(project id.ID) ([]byte, error) {
	var added *ep.Added
	var chosen []string
	err := x.API.Door.Store.View(x.R.Context(), func(tx store.Tx) (err error) {
		if x.API.Endpoints != nil {
			if added, err = x.API.Endpoints.Added(tx); err != nil {
				return err
			}
		}
		chosen, err = x.chosen(tx, project)
		return err
	})
	if err != nil {
		return nil, err
	}
	key := strings.Join(append([]string{x.Base(), x.R.Host, string(project)}, chosen...), "\x00")
	c := &x.API.written
	c.mu.Lock()
	if c.seen == nil || c.added != added || len(c.seen) >= maxCatalogs {
		c.added, c.seen = added, map[string][]byte{}
	}
	b := c.seen[key]
	c.mu.Unlock()
	if b != nil {
		return b, nil
	}
	all, err := x.services(project)
	if err != nil {
		return nil, err
	}
	if b, err = json.Marshal(all); err != nil {
		return nil, fail.Wrap(err, fail.Internal, "the catalog cannot be written")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.added == added {
		c.seen[key] = b
	}
	return b, nil
}

// chosen are the endpoints that a project's tokens show; none: all.
func (x *exchange) chosen(tx store.Tx, project id.ID) ([]string, error) {
	if project == "" {
		return nil, nil
	}
	at, err := x.API.Door.Ident.PlaceOf(tx, project)
	return at.Endpoints, err
}
