package proxy

import (
	"net"
	"net/http"
	"strconv"
	"strings"
)

// policy is the first that fits the request; nil when none does.
func (c *Listener) policy(r *http.Request) *Policy {
	for i := range c.Policies {
		if c.Policies[i].fits(r) {
			return &c.Policies[i]
		}
	}
	return nil
}

func (p *Policy) fits(r *http.Request) bool {
	for i := range p.Rules {
		if p.Rules[i].fits(r) == p.Rules[i].Invert {
			return false
		}
	}
	return true
}

func (x *Rule) fits(r *http.Request) bool {
	var found []string
	switch x.Of {
	case "host":
		found = []string{hostOf(r.Host)}
	case "path":
		found = []string{r.URL.Path}
	case "method":
		found = []string{r.Method}
	case "header":
		found = r.Header.Values(x.Key)
	case "query":
		found = r.URL.Query()[x.Key]
	case "cookie":
		if c, err := r.Cookie(x.Key); err == nil {
			found = []string{c.Value}
		}
	case "source":
		from := source(r)
		for _, n := range x.Nets {
			if n.Contains(from) {
				return true
			}
		}
		return false
	}
	for _, v := range found {
		if x.matches(v) {
			return true
		}
	}
	return false
}

func (x *Rule) matches(v string) bool {
	for _, re := range x.Regexes {
		if re.MatchString(v) {
			return true
		}
	}
	for _, want := range x.Values {
		switch {
		case x.Compare == "prefix" && strings.HasPrefix(v, want), x.Compare == "suffix" && strings.HasSuffix(v, want),
			x.Compare == "contains" && strings.Contains(v, want):
			return true
		case x.Compare == "equal" && x.Of == "host":
			if _, rest, _ := strings.Cut(v, "."); strings.EqualFold(v, want) || strings.HasPrefix(want, "*.") && strings.EqualFold("*."+rest, want) {
				return true
			}
		case x.Compare == "equal" && v == want:
			return true
		}
	}
	return false
}

// hostOf is the host of a Host header, without its port, in lower case.
func hostOf(h string) string {
	if host, _, err := net.SplitHostPort(h); err == nil {
		h = host
	}
	return strings.ToLower(h)
}

// location is where a client is sent. What the policy does not say stays as the request has it.
func (p *Policy) location(r *http.Request, cfg *Listener) string {
	u := *r.URL
	u.Scheme, u.Host = cfg.Protocol, hostOf(r.Host)
	if p.Scheme != "" {
		u.Scheme = p.Scheme
	}
	if p.Host != "" {
		u.Host = p.Host
	}
	port := p.Port
	if port == "" && p.Scheme == "" {
		port = strconv.Itoa(int(cfg.At.Port()))
	}
	if port != "" && (u.Scheme != "https" || port != "443") && (u.Scheme != "http" || port != "80") {
		u.Host = net.JoinHostPort(strings.Trim(u.Host, "[]"), port)
	}
	if p.Path != "" {
		u.Path, u.RawPath = p.Path, ""
	}
	if p.Query != "" {
		u.RawQuery = p.Query
	}
	return u.String()
}
