// Package link makes links to objects: requests of S3 that are signed beforehand, so that whoever has the link may send
// them. It may import the standard library and minio-go's signer; the console and the command line use it.
package link

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// How long a link may work. A temporary key, which signs it, lives no longer.
const (
	Least = time.Minute
	Most  = 24 * time.Hour
)

// Prefix is the path under which the cloud's listener answers S3's requests.
const Prefix = "/s3"

// Object is what a link leads to.
type Object struct{ Bucket, Key, Version string }

// Key signs links.
type Key struct{ Access, Secret, Token string }

// Check refuses a life that no link can have.
func Check(life time.Duration) error {
	if life < Least || life > Most {
		return fail.Field("for", "a link works for 1 minute to 24 hours").Then("write 1h; for longer, let others read the object by the bucket's policy")
	}
	return nil
}

// Narrow is the policy of the key that signs a link: to read this object, and nothing else.
func Narrow(o Object) json.RawMessage {
	key := strings.Map(func(r rune) rune {
		if strings.ContainsRune("? \t\n\f\r", r) { // what policies cannot name
			return '*'
		}
		return r
	}, o.Key)
	raw, err := json.Marshal(map[string]any{"Version": "1.1", "Statement": []any{map[string]any{"Effect": "Allow",
		"Action": []string{"obs:object:GetObject", "obs:object:GetObjectVersion"}, "Resource": []string{"obs:*:*:object:" + o.Bucket + "/" + key}}}})
	if err != nil {
		panic(err) // only types that cannot be written fail
	}
	return raw
}

// Make signs a link to an object that works until life has passed. base is the cloud's address without a path.
func Make(base, region string, k Key, o Object, life time.Duration) (string, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return "", fail.Field("at", "%q is no address of a cloud", base).Then("write https://HOST:PORT")
	}
	u.Path = Prefix + "/" + o.Bucket + "/" + o.Key
	u.RawPath = Prefix + "/" + o.Bucket + "/" + Escape(o.Key)
	if o.Version != "" {
		u.RawQuery = url.Values{"versionId": {o.Version}}.Encode()
	}
	r := signer.PreSignV4(http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: http.Header{}}, k.Access, k.Secret, k.Token, region, int64(life/time.Second))
	return r.URL.String(), nil
}

// Escape writes a name for a path as signatures of version 4 want it: everything is escaped but letters, digits, - . _ ~
// and the slash.
func Escape(key string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(key) {
		c := key[i]
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', strings.IndexByte("-._~/", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}
