package cloud

import (
	"net/http"
	"net/netip"

	"github.com/awancloud/awan/internal/service/outward"
)

// outward reaches addresses that tenants name, by the rules that notifications go by.
func (c *Cloud) outward() *http.Client {
	return outward.New(func(at netip.AddrPort) bool { return c.Front != nil && c.mayPost(at) }, c.CA.Certificate)
}
