package keystone

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what OAuth 1.0a signs with; as a MAC it is not broken
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/secret"
)

// signed is a request signed by OAuth 1.0a (RFC 5849): its parameters, as the header Authorization and the query have them.
type signed struct {
	method, base string      // as the client sent it
	all          [][2]string // without oauth_signature
	of           map[string]string
	signature    string
}

// readSigned reads the header; the query's parameters are signed too.
func readSigned(method, base, header string, query url.Values) (*signed, error) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(header), " ")
	if !strings.EqualFold(scheme, "OAuth") {
		return nil, fail.New(fail.Unauthenticated, "this request has to be signed by OAuth 1.0a").Then("send Authorization: OAuth oauth_consumer_key=\"…\", …, oauth_signature=\"…\"")
	}
	s := &signed{method: strings.ToUpper(method), base: base, of: map[string]string{}}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		plain, err := url.PathUnescape(strings.Trim(value, `"`))
		if !ok || err != nil {
			return nil, fail.New(fail.Unauthenticated, "the header Authorization is not written as OAuth 1.0a has it").Because(err)
		}
		if _, twice := s.of[name]; twice {
			return nil, fail.New(fail.Unauthenticated, "the header Authorization says %.40q twice", name)
		}
		s.of[name] = plain
		switch name {
		case "realm":
		case "oauth_signature":
			s.signature = plain
		default:
			s.all = append(s.all, [2]string{name, plain})
		}
	}
	for name, values := range query {
		for _, v := range values {
			s.all = append(s.all, [2]string{name, v})
		}
	}
	for _, name := range []string{"oauth_consumer_key", "oauth_signature_method", "oauth_signature"} {
		if s.of[name] == "" {
			return nil, fail.New(fail.Unauthenticated, "the header Authorization lacks %s", name)
		}
	}
	if v := s.of["oauth_version"]; v != "" && v != "1.0" {
		return nil, fail.New(fail.Unauthenticated, "oauth_version %.10q is not known here", v).Then("use 1.0")
	}
	return s, nil
}

// at is when it was signed.
func (s *signed) at() (time.Time, error) {
	n, err := strconv.ParseInt(s.of["oauth_timestamp"], 10, 64)
	if err != nil || s.of["oauth_nonce"] == "" {
		return time.Time{}, fail.New(fail.Unauthenticated, "a signed request has an oauth_timestamp, in seconds since 1970, and an oauth_nonce")
	}
	return time.Unix(n, 0), nil
}

// verify checks the signature with the consumer's secret and the token's, which is empty where there is none.
func (s *signed) verify(consumer, token string) error {
	key := escape(consumer) + "&" + escape(token)
	want := ""
	mac := func(h func() hash.Hash) string {
		m := hmac.New(h, []byte(key))
		m.Write([]byte(s.text()))
		return base64.StdEncoding.EncodeToString(m.Sum(nil))
	}
	switch s.of["oauth_signature_method"] {
	case "HMAC-SHA1":
		want = mac(sha1.New)
	case "HMAC-SHA256":
		want = mac(sha256.New)
	case "PLAINTEXT": // the secrets themselves: the listener speaks TLS only
		want = key
	default:
		return fail.New(fail.Unauthenticated, "oauth_signature_method %.20q is not known here", s.of["oauth_signature_method"]).Then("use HMAC-SHA256 or HMAC-SHA1")
	}
	if !secret.Equal(want, s.signature) {
		return fail.New(fail.Unauthenticated, "the OAuth signature is wrong").Then("check the consumer's secret and the token's, and that the address signed is %s", s.base)
	}
	return nil
}

// text is what is signed (RFC 5849, 3.4.1).
func (s *signed) text() string {
	pairs := make([]string, 0, len(s.all))
	for _, p := range s.all {
		pairs = append(pairs, escape(p[0])+"="+escape(p[1]))
	}
	slices.Sort(pairs)
	u, err := url.Parse(s.base)
	if err != nil {
		return ""
	}
	host := strings.ToLower(u.Host)
	if p := u.Port(); p == "443" && u.Scheme == "https" || p == "80" && u.Scheme == "http" {
		host = strings.TrimSuffix(host, ":"+p)
	}
	return s.method + "&" + escape(u.Scheme+"://"+host+u.EscapedPath()) + "&" + escape(strings.Join(pairs, "&"))
}

// escape is RFC 3986's, as RFC 5849 wants it: the query's plus for a space is none.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
