package token

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

// SubjectHeader carries the token a request is about: the new one in an answer, the one to look at in a request.
const SubjectHeader = "X-Subject-Token"

// AuthHeader carries the caller's token.
const AuthHeader = "X-Auth-Token"

// Time prints as Keystone does: UTC with microseconds. The zero time is null.
type Time time.Time

// MarshalJSON prints the time.
func (t Time) MarshalJSON() ([]byte, error) {
	if time.Time(t).IsZero() {
		return []byte("null"), nil
	}
	return time.Time(t).UTC().AppendFormat(make([]byte, 0, 32), `"2006-01-02T15:04:05.000000Z"`), nil
}

// Ref is an id with its name.
type Ref struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// ScopedRef is an id with its name and domain.
type ScopedRef struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Domain Ref    `json:"domain"`
}

// TokenUser is the user a token was given to.
type TokenUser struct {
	ScopedRef
	PasswordExpires Time        `json:"password_expires_at"`
	Federation      *Federation `json:"OS-FEDERATION,omitempty"`
}

// Federation tells where a federated user comes from.
type Federation struct {
	Provider ID   `json:"identity_provider"`
	Protocol ID   `json:"protocol"`
	Groups   []ID `json:"groups"`
}

// ID is an id alone.
type ID struct {
	ID string `json:"id"`
}

// Token is what a token says. One of Project, Domain and System is set, or none (unscoped).
type Token struct {
	Methods    []Method   `json:"methods"`
	User       TokenUser  `json:"user"`
	AuditIDs   []string   `json:"audit_ids"`
	Issued     Time       `json:"issued_at"`
	Expires    Time       `json:"expires_at"`
	Project    *ScopedRef `json:"project,omitempty"`
	Domain     *Ref       `json:"domain,omitempty"`
	System     *System    `json:"system,omitempty"`
	IsDomain   *bool      `json:"is_domain,omitempty"` // with Project: whether that project stands for a domain; ours never
	Roles      []Ref      `json:"roles,omitempty"`
	Catalog    []Service  `json:"catalog,omitempty"`
	Written    []byte     `json:"-"`                    // or the catalog as JSON, where it was written before
	Assumed    *Assumed   `json:"assumed_by,omitempty"` // who acts through the agency that User then is (Huawei's)
	Trust      *Trust     `json:"OS-TRUST:trust,omitempty"`
	Credential *Confined  `json:"application_credential,omitempty"`
	OAuth      *OAuth     `json:"OS-OAUTH1,omitempty"`
}

// System is the scope of the whole cloud.
type System struct {
	All bool `json:"all"`
}

// Trust is the trust that a token was had with.
type Trust struct {
	ID            string `json:"id"`
	Impersonation bool   `json:"impersonation"`
	Trustor       ID     `json:"trustor_user"`
	Trustee       ID     `json:"trustee_user"`
}

// OAuth is the access token that a token was had with, and whose it is.
type OAuth struct {
	AccessToken string `json:"access_token_id"`
	Consumer    string `json:"consumer_id"`
}

// Confined is the application credential that a token was had with. Services that check tokens keep it to its rules.
type Confined struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Restricted bool   `json:"restricted"`
	Rules      []Rule `json:"access_rules,omitempty"`
}

// Rule is a request that it may make.
type Rule struct {
	Service string `json:"service"`
	Method  string `json:"method"`
	Path    string `json:"path"`
}

// Assumed is who acts through an agency.
type Assumed struct {
	User ScopedRef `json:"user"`
}

// Service is one entry of the catalog: a type ("compute") at its endpoints.
type Service struct {
	ID        string     `json:"id"`
	Type      string     `json:"type"`
	Name      string     `json:"name"`
	Endpoints []Endpoint `json:"endpoints"`
}

// Endpoint is an address of a service.
type Endpoint struct {
	ID        string `json:"id"`
	Interface string `json:"interface"` // "public", "internal", "admin"
	Region    string `json:"region"`
	RegionID  string `json:"region_id"`
	URL       string `json:"url"`
}

// Links are those of a list, or of one thing (Self only).
type Links struct {
	Self     string  `json:"self"`
	Previous *string `json:"previous"`
	Next     *string `json:"next"`
}

// SelfLink is the link of one thing.
type SelfLink struct {
	Self string `json:"self"`
}

// DomainView is a domain as clients read it.
type DomainView struct {
	ID          string         `json:"id"`
	Name        string         `json:"name"`
	Description string         `json:"description"`
	Enabled     bool           `json:"enabled"`
	Tags        []string       `json:"tags"`
	Options     map[string]any `json:"options"`
	Links       SelfLink       `json:"links"`
}

// ProjectView is a project as clients read it.
type ProjectView struct {
	ID          string         `json:"id"`
	Name        string         `json:"name"`
	DomainID    string         `json:"domain_id"`
	ParentID    string         `json:"parent_id"`
	Description string         `json:"description"`
	Enabled     bool           `json:"enabled"`
	IsDomain    bool           `json:"is_domain"`
	Tags        []string       `json:"tags"`
	Options     map[string]any `json:"options"`
	Links       SelfLink       `json:"links"`
}

// UserView is a user as clients read it; never with a password.
type UserView struct {
	ID              string         `json:"id"`
	Name            string         `json:"name"`
	DomainID        string         `json:"domain_id"`
	Description     string         `json:"description"`
	Email           string         `json:"email,omitempty"`
	Enabled         bool           `json:"enabled"`
	DefaultProject  string         `json:"default_project_id,omitempty"`
	PasswordExpires Time           `json:"password_expires_at"`
	Options         map[string]any `json:"options"`
	Links           SelfLink       `json:"links"`
}

// Version is one entry of a version document.
type Version struct {
	ID         string      `json:"id"`     // "v3.14"
	Status     string      `json:"status"` // Keystone: "stable"; the others: "CURRENT", "SUPPORTED"
	Updated    string      `json:"updated,omitempty"`
	Links      []Link      `json:"links"`
	MediaTypes []MediaType `json:"media-types,omitempty"`
	Version    string      `json:"version,omitempty"`     // the others: highest microversion
	MinVersion string      `json:"min_version,omitempty"` // and lowest
}

// Link is a link with its meaning.
type Link struct {
	Rel  string `json:"rel"`
	Href string `json:"href"`
}

// MediaType tells in which form an API speaks.
type MediaType struct {
	Base string `json:"base"`
	Type string `json:"type"`
}

// Keystone is the identity API's version, at base (…/v3/).
func Keystone(base string) Version {
	return Version{
		ID: "v3.14", Status: "stable", Updated: "2020-04-07T00:00:00Z",
		Links:      []Link{{Rel: "self", Href: base}},
		MediaTypes: []MediaType{{Base: "application/json", Type: "application/vnd.openstack.identity-v3+json"}},
	}
}

// CatalogEntry is a service of the catalog.
type CatalogEntry struct {
	Type, Name string // "compute", "nova"
	// URL is where it is reached, for a client that reached identity by r; project is "" in a token without one.
	URL func(r *http.Request, project id.ID) string
}

// WriteToken answers with a token: 201 when it is new, 200 when it was only looked at.
func WriteToken(w http.ResponseWriter, status int, subject string, t Token) {
	w.Header().Set(SubjectHeader, subject)
	w.Header().Set("Vary", AuthHeader)
	w.Header().Set("Cache-Control", "no-store")
	body, err := json.Marshal(struct {
		Token *Token `json:"token"`
	}{&t})
	if end, ok := bytes.CutSuffix(body, []byte("}}")); ok && len(t.Written) > 0 {
		body = slices.Concat(end, []byte(`,"catalog":`), t.Written, []byte("}}"))
	}
	wire.WriteBody(w, status, body, err)
}

// WriteVersions answers GET / of identity: 300 with Keystone's nested form.
func WriteVersions(w http.ResponseWriter, versions ...Version) {
	wire.Write(w, http.StatusMultipleChoices, map[string]any{"versions": map[string]any{"values": versions}})
}

// WriteVersion answers GET /v3.
func WriteVersion(w http.ResponseWriter, v Version) {
	wire.Write(w, http.StatusOK, map[string]Version{"version": v})
}

// WriteServiceVersions answers GET on the base of any other service's endpoint, in the flat form they share.
func WriteServiceVersions(w http.ResponseWriter, versions ...Version) {
	wire.Write(w, http.StatusOK, map[string]any{"versions": versions})
}

// WriteList answers with a list under its plural name ("projects"), a nil list as an empty one.
func WriteList[T any](w http.ResponseWriter, plural string, items []T, links Links) {
	if items == nil {
		items = []T{}
	}
	wire.Write(w, http.StatusOK, map[string]any{plural: items, "links": links})
}

// WriteError answers with an error in Keystone's form, which all OpenStack clients read.
func WriteError(w http.ResponseWriter, err error) {
	e := fail.From(err)
	status := Status(e.Kind)
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Keystone uri="/v3"`)
	}
	wire.Write(w, status, map[string]any{"error": map[string]any{
		"code": status, "message": e.Public(), "title": http.StatusText(status),
	}})
}

// Status is the HTTP status of an error kind in OpenStack's APIs.
func Status(k fail.Kind) int {
	switch k {
	case fail.Invalid:
		return http.StatusBadRequest
	case fail.Unauthenticated:
		return http.StatusUnauthorized
	case fail.Denied, fail.Quota:
		return http.StatusForbidden
	case fail.NotFound, fail.Gone:
		return http.StatusNotFound
	case fail.Exists, fail.Conflict, fail.Precondition:
		return http.StatusConflict
	case fail.TooLarge:
		return http.StatusRequestEntityTooLarge
	case fail.RateLimited:
		return http.StatusTooManyRequests
	case fail.Unsupported:
		return http.StatusNotImplemented
	case fail.NoSpace, fail.Unavailable:
		return http.StatusServiceUnavailable
	case fail.Timeout, fail.Canceled:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}
