package s3

import (
	"mime"
	"strings"
)

// confine keeps what tenants uploaded from acting in the console's name. In path style, objects have the same origin as the
// console: a page among them, opened by somebody who is logged in, could do what that person may. There a browser gets it
// in a sandbox, an origin of its own without scripts, and is not to guess types. PDF's viewer does not work in one, and has
// no scripts of the page's origin. Names of buckets and of the service are origins of their own: nothing is confined there.
func (r *request) confine() {
	if r.virtual != "" || r.custom {
		return
	}
	if label, _, _ := strings.Cut(strings.ToLower(r.Host), "."); label == "s3" || label == "obs" {
		return
	}
	h := r.w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	if typ, _, err := mime.ParseMediaType(h.Get("Content-Type")); err != nil || typ != "application/pdf" {
		h.Set("Content-Security-Policy", "sandbox")
	}
}
