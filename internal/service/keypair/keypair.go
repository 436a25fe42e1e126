// Package keypair holds SSH key pairs. It is also the smallest service there is: this description is all that is written
// for it, and routes, OpenAPI, validation, CLI verbs, console pages, policy actions, audit names and quota follow.
// It may import the kernel.
package keypair

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
)

// Spec describes a key pair.
type Spec struct {
	PublicKey   string `json:"public_key" doc:"public key in OpenSSH form; empty: a pair is generated and the private key shown once" max:"16384" immutable:"true"`
	Description string `json:"description" doc:"what it is for" max:"255"`
}

// Status is what a key pair consists of.
type Status struct {
	Fingerprint string `json:"fingerprint" doc:"SHA-256 fingerprint, as ssh prints it"`
	Type        string `json:"type" doc:"ssh-ed25519, ssh-rsa, …"`
	PrivateKey  string `json:"private_key,omitempty" doc:"private key in OpenSSH form; shown once, and only when it was generated here" secret:"true"`
}

// Kind describes the resource.
func Kind() *kind.Def {
	return kind.Kind[Spec, Status]{
		Service: "keypair", Name: "keypair", Scope: kind.InProject,
		NamePat: `^[A-Za-z0-9][A-Za-z0-9._@ -]{0,62}$`, // what Nova and Huawei Cloud let one be called
		Doc:     "An SSH key pair, for logging in to servers.",
		Columns: []string{"status.type", "status.fingerprint"},
		Quota:   map[ledger.Dim]func(Spec) int64{"keypair.keypairs": func(Spec) int64 { return 1 }},
		Prepare: prepare,
	}.Def()
}

func prepare(_ context.Context, old, row *kind.Row[Spec, Status]) error {
	if old != nil {
		return nil
	}
	if row.Spec.PublicKey == "" {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		block, err := ssh.MarshalPrivateKey(private, row.Name)
		if err != nil {
			return err
		}
		key, err := ssh.NewPublicKey(public)
		if err != nil {
			return err
		}
		row.Status.PrivateKey = string(pem.EncodeToMemory(block))
		row.Spec.PublicKey = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))) + " " + row.Name
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(row.Spec.PublicKey))
	if err != nil {
		return fail.Field("spec.public_key", "is not a public key in OpenSSH form").Then("paste the content of a file like ~/.ssh/id_ed25519.pub")
	}
	row.Status.Fingerprint, row.Status.Type = ssh.FingerprintSHA256(key), key.Type()
	return nil
}
