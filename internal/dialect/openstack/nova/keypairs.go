package nova

import (
	"math"
	"net/http"

	"golang.org/x/crypto/ssh"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/keypair"
)

// Key pairs belong to a project here; Nova's belong to a user. Clients see those of the project that their token is for,
// as if they were the user's own: whoever may use the project's servers may use its key pairs.
type keyRow = kind.Row[keypair.Spec, keypair.Status]

func (a *API) keyRoutes() []route {
	d := a.o.KeyPairs
	return []route{
		{"GET", "/os-keypairs", d, call.List, listKeys},
		{"POST", "/os-keypairs", d, call.Create, createKey},
		{"GET", "/os-keypairs/{keypair_name}", d, call.Get, showKey},
		{"DELETE", "/os-keypairs/{keypair_name}", d, call.Delete, deleteKey},
	}
}

func (x *exchange) keyView(r *keyRow) map[string]any {
	v := map[string]any{"name": r.Name, "public_key": r.Spec.PublicKey, "fingerprint": fingerprint(r)}
	if x.Since(2) {
		v["type"] = "ssh"
	}
	return v
}

// fingerprint is Nova's: MD5, in pairs of digits.
func fingerprint(r *keyRow) string {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(r.Spec.PublicKey))
	if err != nil {
		return r.Status.Fingerprint
	}
	return ssh.FingerprintLegacyMD5(key)
}

func listKeys(x *exchange) error {
	t := kind.Table[keypair.Spec, keypair.Status]{D: x.api.o.KeyPairs}
	rows, _, err := wire.Rows(x.Exchange, t, "", kind.Filter{})
	if err != nil {
		return err
	}
	limit, err := x.Number("limit", 0, 0, math.MaxInt)
	if err != nil {
		return err
	}
	if !x.Since(35) || limit == 0 {
		limit = len(rows) + 1
	}
	marker, last := x.Query("marker"), ""
	items, more := []any{}, false
	seen := marker == "" || !x.Since(35)
	for _, r := range rows {
		if !seen {
			seen = r.Name == marker
			continue
		}
		if more = len(items) == limit; more {
			break
		}
		items, last = append(items, map[string]any{"keypair": x.keyView(r)}), r.Name
	}
	if !seen {
		return fail.Field("marker", "marker [%s] not found", marker)
	}
	return x.List("keypairs", items, more, last)
}

func createKey(x *exchange) error {
	var in struct {
		Name      string  `json:"name"`
		PublicKey *string `json:"public_key"`
		Type      string  `json:"type"`
		User      *string `json:"user_id"`
	}
	if err := rest.Body(x.Exchange, "keypair", &in); err != nil {
		return err
	}
	if in.Type != "" && in.Type != "ssh" {
		return fail.Field("keypair.type", "%q is not offered", in.Type).Then("say ssh")
	}
	if in.User != nil && *in.User != string(x.Who.User) {
		return fail.New(fail.Denied, "key pairs belong to the project here, not to a user").Then("log in to the project, and leave user_id out")
	}
	spec := keypair.Spec{}
	if in.PublicKey != nil {
		spec.PublicKey = *in.PublicKey
	}
	row, err := x.Do(x.api.o.KeyPairs, call.Create, "", func(c *call.Call) {
		c.Name, c.Spec = &in.Name, rest.Spec{"public_key": spec.PublicKey}.JSON()
	})
	if err != nil {
		return err
	}
	r := row.(*keyRow)
	v := x.keyView(r)
	v["user_id"] = string(x.Who.User)
	if r.Status.PrivateKey != "" {
		v["private_key"] = r.Status.PrivateKey
	}
	status := http.StatusOK
	if x.Since(2) {
		status = http.StatusCreated
	}
	return x.One(status, "keypair", v)
}

// noKey says that there is none, in Nova's words.
func noKey(err error, name string) error {
	if fail.Is(err, fail.NotFound) {
		return fail.New(fail.NotFound, "Keypair %s not found", name)
	}
	return err
}

func showKey(x *exchange) error {
	name := x.Param("keypair_name")
	row, err := x.Do(x.api.o.KeyPairs, call.Get, name, nil)
	if err != nil {
		return noKey(err, name)
	}
	r := row.(*keyRow)
	v := x.keyView(r)
	v["user_id"], v["id"], v["created_at"] = string(x.Who.User), number(r.ID), rest.Micro(r.Created)
	v["updated_at"], v["deleted"], v["deleted_at"] = nil, false, nil
	return x.One(http.StatusOK, "keypair", v)
}

func deleteKey(x *exchange) error {
	name := x.Param("keypair_name")
	if _, err := x.Do(x.api.o.KeyPairs, call.Delete, name, nil); err != nil {
		return noKey(err, name)
	}
	if x.Since(2) {
		return x.NoContent()
	}
	return rest.Accepted(x.Exchange)
}
