package ident

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
)

// EC2 is the type of a credential whose blob is a key pair to sign with, {"access": …, "secret": …}: it works like an
// access key, in its own project only.
const EC2 = "ec2"

// Reveal is the verb that shows a credential's blob.
const Reveal = "reveal"

// UserCredentialSpec describes what a user keeps here for programs, as Keystone's credentials are.
type UserCredentialSpec struct {
	User    string `json:"user" doc:"whose it is; yours when empty" ref:"identity/user" immutable:"true"`
	Project string `json:"project" doc:"the project it is for; type ec2 needs one, and signs for that project only" ref:"identity/project"`
	Type    string `json:"type" doc:"what it is: ec2 is a key pair to sign requests with, any other word is the user's own affair" required:"true" immutable:"true" max:"255" example:"ec2"`
	Blob    string `json:"blob" doc:"what is kept; of type ec2 {\"access\": …, \"secret\": …}, made when empty" secret:"true" max:"65536"`
}

// UserCredentialStatus is what is known of it.
type UserCredentialStatus struct {
	Access string `json:"access" doc:"of type ec2: the access key id"`
}

// KeyPair is the blob of type ec2.
type KeyPair struct {
	Access string `json:"access"`
	Secret string `json:"secret"`
}

type userCredentialRow = kind.Row[UserCredentialSpec, UserCredentialStatus]

func (k *Kinds) userCredentialKind() kind.Kind[UserCredentialSpec, UserCredentialStatus] {
	return kind.Kind[UserCredentialSpec, UserCredentialStatus]{Service: "identity", Name: "user-credential", Scope: kind.InDomain, AnyName: true,
		Doc:     "What a user keeps for programs: EC2 keys to sign with in one project, or whatever else. It can be read again by its user.",
		Columns: []string{"spec.type", "spec.user", "spec.project", "status.access"}, Example: UserCredentialSpec{Type: EC2, Project: "awan-1"},
		Index: map[string]func(*userCredentialRow) []string{
			"user":    func(r *userCredentialRow) []string { return []string{r.Spec.User} },
			"project": func(r *userCredentialRow) []string { return some(r.Spec.Project) },
			"access":  func(r *userCredentialRow) []string { return some(r.Status.Access) }},
		Prepare: makeUserCredential, Defaults: k.userCredentialOwner, Check: k.checkUserCredential, Changed: k.userCredentialChanged,
		Actions: []kind.Action[UserCredentialSpec, UserCredentialStatus]{{Verb: Reveal, Doc: "show what is kept; that is audited", Level: kind.Admin, Serve: k.reveal}}}
}

var accessPattern = regexp.MustCompile(`^[A-Za-z0-9_.=@-]{4,128}$`)

// makeUserCredential makes a key pair where none is given, and checks one that is.
func makeUserCredential(_ context.Context, old, row *userCredentialRow) error {
	if row.Spec.Type != EC2 {
		if row.Spec.Blob == "" {
			return fail.Field("spec.blob", "say what is kept")
		}
		return nil
	}
	if row.Spec.Blob == "" {
		pair, err := json.Marshal(KeyPair{Access: secret.NewAccessKey(), Secret: secret.NewSecretKey()})
		if err != nil {
			return err
		}
		row.Spec.Blob = string(pair)
	}
	if old != nil && row.Spec.Blob == old.Spec.Blob { // as it is stored
		return nil
	}
	pair, err := PairOf(row.Spec.Blob)
	switch {
	case err != nil:
		return fail.Field("spec.blob", "is no key pair").Then(`send {"access": "…", "secret": "…"} as text, or nothing to have one made`)
	case !accessPattern.MatchString(pair.Access) || strings.HasPrefix(pair.Access, temporaryStart):
		return fail.Field("spec.blob", "the access key id has 4 to 128 letters, digits and _.=@-, and does not begin with %s", temporaryStart)
	case len(pair.Secret) < 8:
		return fail.Field("spec.blob", "the secret has fewer than 8 characters").Then("leave the blob out to have a good one made")
	}
	row.Status.Access = pair.Access
	return nil
}

// PairOf reads the blob of type ec2.
func PairOf(blob string) (p KeyPair, err error) {
	err = json.Unmarshal([]byte(blob), &p)
	return p, err
}

func (k *Kinds) userCredentialOwner(ctx context.Context, _ store.Tx, row *userCredentialRow) error {
	if row.Spec.User == "" {
		row.Spec.User = string(From(ctx).User)
	}
	return nil
}

func (k *Kinds) checkUserCredential(ctx context.Context, tx store.Tx, _, row *userCredentialRow) error {
	if p := From(ctx); p.Lent() && !p.Manages {
		return fail.New(fail.Denied, "this application credential or trust cannot make keys").Then("use a token of the user")
	}
	if err := ref(tx, k.User, row.Domain, "spec.user", &row.Spec.User); err != nil {
		return err
	}
	if err := ref(tx, k.Project, row.Domain, "spec.project", &row.Spec.Project); err != nil {
		return err
	}
	if row.Spec.Type != EC2 {
		return nil
	}
	if err := k.guardUserID(ctx, tx, row.Spec.User); err != nil {
		return err
	}
	if row.Spec.Project == "" {
		return fail.Field("spec.project", "a key pair of type ec2 is for one project").Then("say which")
	}
	u, err := k.User.Get(tx, id.ID(row.Spec.User))
	if err == nil && u != nil && u.Spec.AccessMode == ConsoleOnly {
		return fail.Field("spec.user", "%s may use the console only", u.Name).Then("change its access_mode first")
	}
	if err != nil {
		return err
	}
	other, taken, err := tx.Get(keyPrefix + row.Status.Access)
	if err == nil && taken && id.ID(other) != row.ID {
		return fail.New(fail.Exists, "the access key id %s is taken", row.Status.Access).Then("choose another, or leave the blob out to have one made")
	}
	return err
}

func (k *Kinds) userCredentialChanged(_ context.Context, tx store.Tx, old, row *userCredentialRow) error {
	if old != nil && old.Status.Access != "" {
		if err := tx.Delete(keyPrefix + old.Status.Access); err != nil {
			return err
		}
	}
	if row != nil && row.Status.Access != "" {
		if err := tx.Put(keyPrefix+row.Status.Access, []byte(row.ID)); err != nil {
			return err
		}
	}
	return bump(tx)
}

func (k *Kinds) reveal(_ context.Context, row *userCredentialRow, _ any, s kind.Stream) error {
	blob, err := k.unseal(row.Domain, "spec.blob", row.ID, row.Spec.Blob)
	if err != nil {
		return err
	}
	return s.Emit(map[string]string{"blob": blob})
}

// readPair is readKey for a key pair of type ec2.
func (s *Service) readPair(tx store.Tx, row id.ID) (g signer, found bool, err error) {
	c, err := s.Kinds.UserCredential.Get(tx, row)
	if err != nil || c == nil {
		return g, false, err
	}
	var u *userRow
	if g.principal, u, err = s.user(tx, id.ID(c.Spec.User)); err != nil {
		return g, true, err
	}
	if u.Spec.AccessMode == ConsoleOnly {
		return g, true, fail.New(fail.Unauthenticated, "this user may use the console only").Then("ask an administrator of your domain")
	}
	g.principal.Project = id.ID(c.Spec.Project)
	blob, err := s.unseal(c.Domain, "spec.blob", c.ID, c.Spec.Blob)
	if err != nil {
		return g, true, err
	}
	pair, err := PairOf(blob)
	g.secret = pair.Secret
	return g, true, err
}

// forgetUserCredentials removes those that an index holds under a value.
func (k *Kinds) forgetUserCredentials(tx store.Tx, domain id.ID, index, value string) error {
	rows, err := k.UserCredential.List(tx, string(domain), kind.Filter{Index: index, Value: value})
	if err != nil {
		return err
	}
	for _, r := range rows {
		if r.Status.Access != "" {
			if err := tx.Delete(keyPrefix + r.Status.Access); err != nil {
				return err
			}
		}
		if err := k.UserCredential.Remove(tx, r); err != nil {
			return err
		}
	}
	return nil
}
