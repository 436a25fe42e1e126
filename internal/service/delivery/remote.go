package delivery

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"net/url"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// RemoteSpec is a registry elsewhere.
type RemoteSpec struct {
	URL         string `json:"url" doc:"its address: https://HOST or https://HOST:PORT" required:"true" max:"255" example:"https://registry.example.org"`
	Username    string `json:"username" doc:"user name, or access key, that may push there" max:"255"`
	Password    string `json:"password" doc:"password, token or secret key; sent to that registry only" secret:"true" max:"4096"`
	CA          string `json:"ca" doc:"certificate authority in PEM form, for a registry with one of its own" max:"65536"`
	Description string `json:"description" doc:"whose it is" max:"255"`
}

// RemoteRow is a stored registry elsewhere.
type RemoteRow = kind.Row[RemoteSpec, ident.None]

func (s *Service) remoteKind() kind.Kind[RemoteSpec, ident.None] {
	return kind.Kind[RemoteSpec, ident.None]{
		Service: "registry", Name: "remote-registry", Plural: "remote-registries", Scope: kind.InProject,
		Doc:     "A registry elsewhere that speaks OCI, another cloud's region say, to which images are copied. Clients of Huawei Cloud see it as a region of its name.",
		Columns: []string{"spec.url", "spec.username", "spec.description"}, Example: RemoteSpec{URL: "https://registry.example.org", Username: "mirror", Password: "…"},
		Quota: map[ledger.Dim]func(RemoteSpec) int64{"registry.remote-registries": func(RemoteSpec) int64 { return 1 }},
		Check: s.checkRemote, CheckDelete: s.remoteUnused,
	}
}

func (s *Service) checkRemote(_ context.Context, _ store.Tx, _, row *RemoteRow) error {
	u, err := url.Parse(row.Spec.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return fail.Field("spec.url", "%q is not https://HOST or https://HOST:PORT", row.Spec.URL).Then("leave out the path and any password; images are pushed by https only")
	}
	if row.Spec.Password != "" && row.Spec.Username == "" {
		return fail.Field("spec.username", "is needed beside a password").Then("registries that take a token alone want any name: write token")
	}
	if row.Spec.CA != "" {
		b, _ := pem.Decode([]byte(row.Spec.CA))
		if b == nil {
			return fail.Field("spec.ca", "is not a certificate in PEM form").Then("give the file that begins with -----BEGIN CERTIFICATE-----")
		}
		if _, err := x509.ParseCertificate(b.Bytes); err != nil {
			return fail.Field("spec.ca", "is not a certificate: %s", err)
		}
	}
	return nil
}

func (s *Service) remoteUnused(_ context.Context, tx store.Tx, row *RemoteRow) error {
	syncs, err := s.Sync.List(tx, string(row.Project), kind.Filter{Index: "remote", Value: string(row.ID), Limit: 1})
	if err != nil || len(syncs) == 0 {
		return err
	}
	return fail.New(fail.Precondition, "image sync %s copies to it", syncs[0].Name).Then("awan image-sync delete %s first", syncs[0].ID)
}
