package cloud

import (
	"bytes"
	"net/http"
	"net/netip"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/service/delivery"
	"github.com/awancloud/awan/internal/service/outward"
)

// makeDelivery makes what carries pushed images on: to components, and to other registries by the rules that notifications
// go by.
func (c *Cloud) makeDelivery() {
	c.Delivery = delivery.New(delivery.Deps{Store: c.Store, Registry: c.Registry, Images: c.Images, Apps: c.App, Door: func() *call.Door { return c.Door }, Now: time.Now, Log: c.Log,
		Outward: func(roots []byte) *http.Client {
			return outward.New(func(at netip.AddrPort) bool { return c.Front != nil && c.mayPost(at) },
				func() []byte { return bytes.Join([][]byte{c.CA.Certificate(), roots}, []byte("\n")) })
		}})
}
