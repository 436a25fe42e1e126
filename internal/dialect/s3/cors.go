package s3

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

// cors answers a browser's question before a request to another origin (OPTIONS), and adds to other answers what lets
// the page read them.
func (r *request) cors() error {
	origin := r.Header.Get("Origin")
	preflight := r.Method == http.MethodOptions
	switch {
	case origin == "" && !preflight, r.bucket == "" && !preflight:
		return nil
	case preflight && origin == "":
		return refuse("BadRequest", fail.Invalid, "insufficient information: the Origin request header is needed")
	}
	method := r.Method
	var headers []string
	if preflight {
		if method = r.Header.Get("Access-Control-Request-Method"); !slices.Contains([]string{"GET", "PUT", "HEAD", "POST", "DELETE"}, method) {
			return refuse("BadRequest", fail.Invalid, "invalid Access-Control-Request-Method: %q", method)
		}
		for _, line := range r.Header.Values("Access-Control-Request-Headers") {
			for name := range strings.SplitSeq(line, ",") {
				if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
					headers = append(headers, name)
				}
			}
		}
	}
	rule := r.corsRule(origin, method, headers)
	h := r.w.Header()
	if rule == nil {
		if preflight {
			return refuse("AccessForbidden", fail.Denied, "CORSResponse: this CORS request is not allowed. This is usually because the evaluation of Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec")
		}
		return nil
	}
	if slices.Contains(rule.Origins, "*") {
		h.Set("Access-Control-Allow-Origin", "*")
	} else {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	h.Set("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method")
	h.Set("Access-Control-Allow-Methods", strings.Join(rule.Methods, ", "))
	if len(rule.Expose) > 0 {
		h.Set("Access-Control-Expose-Headers", strings.Join(rule.Expose, ", "))
	}
	if rule.MaxAge > 0 {
		h.Set("Access-Control-Max-Age", strconv.Itoa(rule.MaxAge))
	}
	if !preflight {
		return nil
	}
	if len(headers) > 0 {
		h.Set("Access-Control-Allow-Headers", strings.Join(headers, ", "))
	}
	return r.ok(http.StatusOK)
}

// corsRule gives the first rule of the bucket that fits; nil when there is none, or no bucket.
func (r *request) corsRule(origin, method string, headers []string) *bucket.CORS {
	if r.bucket == "" {
		return nil
	}
	row, err := r.api.Buckets.Bucket(r.Context(), r.newCaller(), r.bucket, "")
	if err != nil {
		return nil
	}
	for i := range row.Spec.CORS {
		rule := &row.Spec.CORS[i]
		if !slices.Contains(rule.Methods, method) || !slices.ContainsFunc(rule.Origins, func(p string) bool { return wild(p, origin) }) {
			continue
		}
		all := true
		for _, name := range headers {
			all = all && slices.ContainsFunc(rule.Headers, func(p string) bool { return wild(strings.ToLower(p), name) })
		}
		if all {
			return rule
		}
	}
	return nil
}

// wild compares with a pattern of at most one star.
func wild(pattern, s string) bool {
	before, after, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == s
	}
	return len(s) >= len(before)+len(after) && strings.HasPrefix(s, before) && strings.HasSuffix(s, after)
}
