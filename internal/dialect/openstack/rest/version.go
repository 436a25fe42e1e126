package rest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// Micros are the microversions that a service speaks: major.from to major.to.
type Micros struct {
	Type            string // "compute": before the version in OpenStack-API-Version
	Header          string // an older header that means the same; may be empty
	Major, From, To int
}

// Asked reads which microversion a request asks for, says in the answer which it gets, and refuses those that are not spoken.
func (m Micros) Asked(x *Exchange) (int, error) {
	minor, err := m.read(x.R)
	if err != nil {
		return 0, err
	}
	h := x.W.Header()
	v := fmt.Sprintf("%d.%d", m.Major, minor)
	h.Set("OpenStack-API-Version", m.Type+" "+v)
	h.Set("Vary", "OpenStack-API-Version")
	if m.Header != "" {
		h.Set(m.Header, v)
		h.Add("Vary", m.Header)
	}
	return minor, nil
}

// NotSpoken is a microversion that a service does not have: 406, a status that no kind of failure has.
type NotSpoken struct{ Message string }

func (e NotSpoken) Error() string { return e.Message }

func (m Micros) read(r *http.Request) (int, error) {
	said := ""
	for _, v := range r.Header.Values("OpenStack-API-Version") {
		for _, one := range strings.Split(v, ",") {
			if name, version, ok := strings.Cut(strings.TrimSpace(one), " "); ok && strings.EqualFold(name, m.Type) {
				said = strings.TrimSpace(version)
			}
		}
	}
	if said == "" && m.Header != "" {
		said = r.Header.Get(m.Header)
	}
	switch said {
	case "":
		return m.From, nil
	case "latest":
		return m.To, nil
	}
	major, minor, ok := strings.Cut(said, ".")
	a, err1 := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	if !ok || err1 != nil || err2 != nil {
		return 0, fail.New(fail.Invalid, "API version string %s is of an invalid format", said).Then("send a version as %d.%d", m.Major, m.To)
	}
	if a != m.Major || b < m.From || b > m.To {
		return 0, NotSpoken{fmt.Sprintf("Version %s is not supported by the API. Minimum is %d.%d and maximum is %d.%d.", said, m.Major, m.From, m.Major, m.To)}
	}
	return b, nil
}

// Version describes the versions at an address (…/v2.1/).
func (m Micros) Version(id, href string) token.Version {
	return token.Version{ID: id, Status: "CURRENT", Updated: "2013-07-23T11:33:21Z", Version: fmt.Sprintf("%d.%d", m.Major, m.To),
		MinVersion: fmt.Sprintf("%d.%d", m.Major, m.From), Links: []token.Link{{Rel: "self", Href: href}},
		MediaTypes: []token.MediaType{{Base: "application/json", Type: "application/vnd.openstack." + m.Type + "+json;version=" + strings.TrimPrefix(id, "v")}}}
}
