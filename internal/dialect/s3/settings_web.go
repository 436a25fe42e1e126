package s3

import (
	"encoding/xml"
	"slices"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/service/bucket"
)

type corsXML struct {
	XMLName xml.Name      `xml:"CORSConfiguration"`
	Xmlns   string        `xml:"xmlns,attr,omitempty"`
	Rules   []corsRuleXML `xml:"CORSRule"`
}

type corsRuleXML struct {
	ID      string   `xml:"ID,omitempty"`
	Methods []string `xml:"AllowedMethod"`
	Origins []string `xml:"AllowedOrigin"`
	Headers []string `xml:"AllowedHeader"`
	MaxAge  *int     `xml:"MaxAgeSeconds"`
	Expose  []string `xml:"ExposeHeader"`
}

func readCORS(r *request, row *bucket.Row) (any, error) {
	if len(row.Spec.CORS) == 0 {
		return nil, missing("NoSuchCORSConfiguration", "the CORS configuration does not exist")
	}
	out := corsXML{Xmlns: r.space()}
	for _, c := range row.Spec.CORS {
		x := corsRuleXML{c.ID, c.Methods, c.Origins, c.Headers, nil, c.Expose}
		if c.MaxAge > 0 {
			x.MaxAge = &c.MaxAge
		}
		out.Rules = append(out.Rules, x)
	}
	return out, nil
}

func writeCORS(r *request) (func(*bucket.Row) error, error) {
	var doc corsXML
	if err := r.read(&doc); err != nil {
		return nil, err
	}
	if len(doc.Rules) == 0 || len(doc.Rules) > 100 {
		return nil, malformedXML("a CORS configuration has 1 to 100 rules")
	}
	var rules []bucket.CORS
	for _, x := range doc.Rules {
		if len(x.Methods) == 0 || len(x.Origins) == 0 {
			return nil, malformedXML("a CORS rule needs AllowedMethod and AllowedOrigin")
		}
		for _, m := range x.Methods {
			if !slices.Contains([]string{"GET", "PUT", "POST", "DELETE", "HEAD"}, m) {
				return nil, badRule("found unsupported HTTP method in CORS config. Unsupported method is %s", m)
			}
		}
		for _, o := range append(slices.Clone(x.Origins), x.Headers...) {
			if strings.Count(o, "*") > 1 {
				return nil, badRule("%q can not have more than one wildcard", o)
			}
		}
		c := bucket.CORS{ID: x.ID, Origins: x.Origins, Methods: x.Methods, Headers: x.Headers, Expose: x.Expose}
		if x.MaxAge != nil {
			c.MaxAge = *x.MaxAge
		}
		rules = append(rules, c)
	}
	return func(row *bucket.Row) error { row.Spec.CORS = rules; return nil }, nil
}

type websiteXML struct {
	XMLName xml.Name     `xml:"WebsiteConfiguration"`
	Xmlns   string       `xml:"xmlns,attr,omitempty"`
	All     *allXML      `xml:"RedirectAllRequestsTo"`
	Index   *suffixXML   `xml:"IndexDocument"`
	Error   *documentXML `xml:"ErrorDocument"`
	Routes  *[]routeXML  `xml:"RoutingRules>RoutingRule"`
}

type allXML struct {
	Host     string `xml:"HostName"`
	Protocol string `xml:"Protocol,omitempty"`
}

type suffixXML struct {
	Suffix string `xml:"Suffix"`
}

type documentXML struct {
	Key string `xml:"Key"`
}

type routeXML struct {
	Condition *whenXML `xml:"Condition"`
	Redirect  thenXML  `xml:"Redirect"`
}

type whenXML struct {
	Prefix string `xml:"KeyPrefixEquals,omitempty"`
	Status string `xml:"HttpErrorCodeReturnedEquals,omitempty"`
}

type thenXML struct {
	Protocol      string `xml:"Protocol,omitempty"`
	Host          string `xml:"HostName,omitempty"`
	ReplacePrefix string `xml:"ReplaceKeyPrefixWith,omitempty"`
	ReplaceKey    string `xml:"ReplaceKeyWith,omitempty"`
	Code          string `xml:"HttpRedirectCode,omitempty"`
}

func noWebsite() error {
	return missing("NoSuchWebsiteConfiguration", "the bucket does not have a website configuration")
}

func readWebsite(r *request, row *bucket.Row) (any, error) {
	w := row.Spec.Website
	if w == nil {
		return nil, noWebsite()
	}
	out := websiteXML{Xmlns: r.space()}
	if w.RedirectAll != "" {
		out.All = &allXML{w.RedirectAll, w.Protocol}
		return out, nil
	}
	if w.Index != "" {
		out.Index = &suffixXML{w.Index}
	}
	if w.Error != "" {
		out.Error = &documentXML{w.Error}
	}
	var routes []routeXML
	for _, x := range w.Routes {
		route := routeXML{Redirect: thenXML{x.Protocol, x.Host, x.ReplacePrefix, x.ReplaceKey, ""}}
		if x.Prefix != "" || x.Status > 0 {
			route.Condition = &whenXML{Prefix: x.Prefix}
			if x.Status > 0 {
				route.Condition.Status = strconv.Itoa(x.Status)
			}
		}
		if x.Code > 0 {
			route.Redirect.Code = strconv.Itoa(x.Code)
		}
		routes = append(routes, route)
	}
	if len(routes) > 0 {
		out.Routes = &routes
	}
	return out, nil
}

func writeWebsite(r *request) (func(*bucket.Row) error, error) {
	var doc websiteXML
	if err := r.read(&doc); err != nil {
		return nil, err
	}
	w := bucket.Website{}
	switch {
	case doc.All != nil && doc.All.Host != "":
		w.RedirectAll, w.Protocol = doc.All.Host, strings.ToLower(doc.All.Protocol)
	case doc.Index == nil || doc.Index.Suffix == "":
		return nil, badRule("a website needs an index document or RedirectAllRequestsTo")
	case strings.Contains(doc.Index.Suffix, "/"):
		return nil, badRule("the index document suffix is not well formed: it has no slash")
	default:
		w.Index = doc.Index.Suffix
	}
	if doc.Error != nil {
		w.Error = doc.Error.Key
	}
	if doc.Routes != nil {
		for _, x := range *doc.Routes {
			route, err := x.parse()
			if err != nil {
				return nil, err
			}
			w.Routes = append(w.Routes, route)
		}
	}
	return func(row *bucket.Row) error { row.Spec.Website = &w; return nil }, nil
}

func (x routeXML) parse() (bucket.WebsiteRoute, error) {
	t := x.Redirect
	route := bucket.WebsiteRoute{Protocol: strings.ToLower(t.Protocol), Host: t.Host, ReplacePrefix: t.ReplacePrefix, ReplaceKey: t.ReplaceKey}
	if t.ReplacePrefix != "" && t.ReplaceKey != "" {
		return route, malformedXML("a redirect has ReplaceKeyPrefixWith or ReplaceKeyWith, not both")
	}
	number := func(s string, lo, hi int) (int, error) {
		if s == "" {
			return 0, nil
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < lo || n > hi {
			return 0, badRule("the status %q is not from %d to %d", s, lo, hi)
		}
		return n, nil
	}
	var err error
	if route.Code, err = number(t.Code, 301, 399); err != nil {
		return route, err
	}
	if x.Condition != nil {
		route.Prefix = x.Condition.Prefix
		route.Status, err = number(x.Condition.Status, 400, 599)
	}
	return route, err
}

type loggingXML struct {
	XMLName xml.Name    `xml:"BucketLoggingStatus"`
	Xmlns   string      `xml:"xmlns,attr,omitempty"`
	Agency  string      `xml:"Agency,omitempty"` // OBS
	Enabled *loggedXMLs `xml:"LoggingEnabled"`
}

type loggedXMLs struct {
	Bucket string     `xml:"TargetBucket"`
	Prefix string     `xml:"TargetPrefix"`
	Grants []grantXML `xml:"TargetGrants>Grant"`
}

func readLogging(r *request, row *bucket.Row) (any, error) {
	out := loggingXML{Xmlns: r.space()}
	if l := row.Spec.Logging; l != nil {
		if r.obs {
			out.Agency = l.Agency
		}
		out.Enabled = &loggedXMLs{l.Bucket, l.Prefix, r.grantsXML(l.Grants, r.names("", ""), false)}
	}
	return out, nil
}

func writeLogging(r *request) (func(*bucket.Row) error, error) {
	var doc loggingXML
	if err := r.read(&doc); err != nil {
		return nil, err
	}
	if doc.Enabled == nil {
		return func(row *bucket.Row) error { row.Spec.Logging = nil; return nil }, nil
	}
	list, err := grants(doc.Enabled.Grants)
	if err != nil {
		return nil, err
	}
	l := bucket.Logging{Bucket: doc.Enabled.Bucket, Prefix: doc.Enabled.Prefix, Agency: doc.Agency, Grants: list}
	return func(row *bucket.Row) error { row.Spec.Logging = &l; return nil }, nil
}
