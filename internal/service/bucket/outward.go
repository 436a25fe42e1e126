package bucket

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// checkURL refuses what is no address that the cloud calls for a tenant. Which hosts it then may reach, Deps.Outward says
// when it connects.
func checkURL(field, text string, httpsOnly bool) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && (httpsOnly || u.Scheme != "http") || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return failed("InvalidArgument", fail.Field(field, "%q is not an address that can be called", text).Then("write https://HOST/PATH, without a user name in it"))
	}
	return nil
}

// checkOutward checks the addresses that a bucket's settings name.
func checkOutward(sp *BucketSpec) error {
	for i := range sp.Notifications {
		n := &sp.Notifications[i]
		if err := checkURL("spec.notifications", n.URL, false); err != nil {
			return err
		}
	}
	for i := range sp.Mirror {
		if err := checkURL("spec.mirror", sp.Mirror[i].URL, true); err != nil {
			return err
		}
		if strings.Contains(sp.Mirror[i].URL, "?") {
			return failed("InvalidArgument", fail.Field("spec.mirror", "the rest of an object's name cannot be put behind the query of %q", sp.Mirror[i].URL))
		}
	}
	seen := map[string]bool{}
	for i := range sp.Replication {
		r := &sp.Replication[i]
		if seen[r.receiver()] {
			return failed("InvalidArgument", fail.Field("spec.replication", "two rules copy to bucket %s under the same id", r.Bucket).Then("give each an id of its own"))
		}
		seen[r.receiver()] = true
		if r.Endpoint == "" {
			continue
		}
		if err := checkURL("spec.replication", r.Endpoint, true); err != nil {
			return err
		}
		if u, _ := url.Parse(r.Endpoint); strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			return failed("InvalidArgument", fail.Field("spec.replication", "the endpoint %q has a path", r.Endpoint).Then("write https://HOST, and the bucket by itself"))
		}
		if r.AccessKey == "" || r.SecretKey == "" {
			return failed("InvalidArgument", fail.Field("spec.replication", "another store needs an access key and its secret"))
		}
	}
	return nil
}

// short names something in a key by a hash.
func short(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}
