package keystone

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
)

// s3Skew is how far the time of a signature may be from ours.
const s3Skew = 15 * time.Minute

// validateS3 tells an S3 service who signed a request: POST /v3/s3tokens with the string that was signed (signature
// version 4) and the signature. It gives out no token. Only who may read the user's credentials is told, or the user.
func validateS3(x *exchange) error {
	var b struct {
		Access    string            `json:"access"`
		Signature string            `json:"signature"`
		Token     string            `json:"token"`
		Params    map[string]string `json:"params"`
	}
	if err := x.Body("credentials", &b); err != nil {
		return err
	}
	signed, err := base64.StdEncoding.DecodeString(b.Token)
	if err != nil {
		if signed, err = base64.URLEncoding.DecodeString(b.Token); err != nil {
			return fail.Field("credentials.token", "is not the signed string in base64")
		}
	}
	wrong := fail.New(fail.Unauthenticated, "the access key is unknown, or the signature is not of it").Then("sign again, with the right secret")
	p, secretKey, err := x.API.Door.Ident.ByKey(x.R.Context(), b.Access)
	if err != nil {
		return wrong
	}
	if p.User != x.Who.User {
		c := x.Call
		c.Domain = string(p.Domain)
		if _, _, err := x.API.Door.Permit(x.R.Context(), &c, x.API.Kinds.UserCredential.D, ident.Reveal, p.UserName); fail.Is(err, fail.NotFound) {
			return wrong
		} else if err != nil {
			return err
		}
	}
	if err := checkS3(string(signed), b.Signature, secretKey, x.API.Door.Now()); err != nil {
		return err
	}
	now := x.API.Door.Now().UTC()
	t := ident.Token{User: p.User, Domain: p.Domain, Project: p.Project, Methods: []string{"ec2credential"}, Issued: now, Expires: now.Add(s3Skew), AuditID: string(id.New())}
	v, err := x.tokenView(p, t, false)
	if err == nil {
		v.Catalog, err = x.services(t.Project)
	}
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]token.Token{"token": v})
	return nil
}

// checkS3 checks a signature of version 4 over its string to sign
// (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html).
func checkS3(signed, signature, secretKey string, now time.Time) error {
	lines := strings.Split(signed, "\n")
	if len(lines) != 4 || lines[0] != "AWS4-HMAC-SHA256" {
		return fail.Field("credentials.token", "is not the string to sign of signature version 4").Then("older signatures are not taken")
	}
	at, err := time.Parse("20060102T150405Z", lines[1])
	if err != nil {
		return fail.Field("credentials.token", "has the strange time %q", lines[1])
	}
	scope := strings.Split(lines[2], "/")
	if len(scope) != 4 || scope[0] != at.Format("20060102") || scope[2] != "s3" || scope[3] != "aws4_request" {
		return fail.Field("credentials.token", "is signed for %q, which is no request to S3", lines[2])
	}
	if d := now.Sub(at); d > s3Skew || d < -s3Skew {
		return fail.New(fail.Unauthenticated, "the signature is of %s, more than %s from now", at.Format(time.RFC3339), s3Skew).Then("check the clock, and sign again")
	}
	key := []byte("AWS4" + secretKey)
	for _, part := range append(scope, signed) {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(nil)
	}
	given, err := hex.DecodeString(signature)
	if err != nil || !hmac.Equal(key, given) {
		return fail.New(fail.Unauthenticated, "the access key is unknown, or the signature is not of it").Then("sign again, with the right secret")
	}
	return nil
}
