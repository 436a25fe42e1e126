package registry

import (
	"context"
	"regexp"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Storage is the quota dimension of what repositories hold, in MiB.
const Storage ledger.Dim = "registry.storage"

// Permissions of a member, the lesser contained in the greater.
const (
	Read   = "read"   // pulls
	Write  = "write"  // pulls and pushes
	Manage = "manage" // deletes too
)

// OrganizationSpec describes an organisation.
type OrganizationSpec struct {
	Description string            `json:"description" doc:"what it is for" max:"255"`
	Members     map[string]string `json:"members" doc:"what users of the domain may do with all its images, beside what policies give them: user id or name to read, write or manage" max:"200"`
}

// OrganizationStatus is empty: an organisation is a name and its members.
type OrganizationStatus struct{}

// Share lets another domain pull from a repository.
type Share struct {
	Domain      string    `json:"domain" doc:"name of the domain that may pull" required:"true"`
	Until       time.Time `json:"until,omitzero" doc:"when it ends; empty: never"`
	Description string    `json:"description" doc:"why" max:"1000"`
	Created     time.Time `json:"created,omitzero" doc:"since when"`
}

// RepositorySpec describes a repository.
type RepositorySpec struct {
	Description string            `json:"description" doc:"what its images are" max:"30000"`
	Category    string            `json:"category" doc:"what kind of software it is" enum:"app_server,linux,framework_app,database,lang,other,windows,arm" default:"other"`
	Public      bool              `json:"public" doc:"every user of the cloud may pull"`
	Members     map[string]string `json:"members" doc:"what users of the domain may do with it, beside what policies and its organisation give them: user id or name to read, write or manage" max:"200"`
	Shares      []Share           `json:"shares" doc:"other domains that may pull" max:"200"`
}

// RepositoryStatus is what it holds.
type RepositoryStatus struct {
	Path   string    `json:"path" doc:"the name images are pushed and pulled by, behind the registry's host"`
	Bytes  int64     `json:"bytes" doc:"what its layers and manifests take" unit:"bytes"`
	Images int       `json:"images" doc:"manifests stored"`
	Tags   int       `json:"tags" doc:"tags"`
	Newest string    `json:"newest,omitempty" doc:"the tag pushed last"`
	Pushed time.Time `json:"pushed,omitzero" doc:"when something was pushed last"`
}

type (
	organizationRow = kind.Row[OrganizationSpec, OrganizationStatus]
	// RepositoryRow is a stored repository.
	RepositoryRow = kind.Row[RepositorySpec, RepositoryStatus]
	// OrganizationRow is a stored organisation.
	OrganizationRow = organizationRow
)

// Kinds are the registry's resources.
type Kinds struct {
	Organization kind.Table[OrganizationSpec, OrganizationStatus]
	Repository   kind.Table[RepositorySpec, RepositoryStatus]
	Retention    kind.Table[RetentionSpec, RetentionStatus]

	registry *Registry // nil where kinds are only described
	user     func(tx store.Tx, domain id.ID, nameOrID string) (id.ID, error)
	needed   func(tx store.Tx) (map[string]string, error)
}

// KindDeps are what the kinds need of others; the zero value is enough to describe them.
type KindDeps struct {
	Registry *Registry
	// User finds a user of a domain by name or id; "" when there is none.
	User func(tx store.Tx, domain id.ID, nameOrID string) (id.ID, error)
	// Needed names the images (repository@digest) that must stay, with what needs them.
	Needed func(tx store.Tx) (map[string]string, error)
}

// NewKinds describes the resources.
func NewKinds(d KindDeps) *Kinds {
	k := &Kinds{registry: d.Registry, user: d.User, needed: d.Needed}
	k.Organization = kind.TableOf[OrganizationSpec, OrganizationStatus](k.organization().Def())
	k.Repository = kind.TableOf[RepositorySpec, RepositoryStatus](k.repository().Def())
	k.Retention = kind.TableOf[RetentionSpec, RetentionStatus](k.retention().Def())
	if d.Registry != nil {
		k.Serve(d.Registry)
	}
	return k
}

// Serve gives the kinds their registry, where it is opened after they were described.
func (k *Kinds) Serve(r *Registry) { k.registry, r.kinds = r, k }

// All lists the kinds.
func (k *Kinds) All() []*kind.Def {
	return []*kind.Def{k.Repository.D, k.Organization.D, k.Retention.D}
}

// organizationKey holds who has an organisation's name: it is the first part of images' names, so there is one in the
// whole cloud.
func organizationKey(name string) string { return "registry/organization/" + name }

func (k *Kinds) organization() kind.Kind[OrganizationSpec, OrganizationStatus] {
	return kind.Kind[OrganizationSpec, OrganizationStatus]{
		Service: "registry", Name: "organization", Scope: kind.InProject, NoRename: true,
		NamePat: `^[a-z][a-z0-9]*((\.|_|__|-)[a-z0-9]+)*$`,
		Doc:     "The first part of images' names, with those who may use them: organization/image. A project's own is its id, and is always there.",
		Columns: []string{"spec.description"}, Example: OrganizationSpec{Description: "the shop's images"},
		Quota: map[ledger.Dim]func(OrganizationSpec) int64{"registry.organizations": func(OrganizationSpec) int64 { return 1 }},
		Check: k.checkOrganization, CheckDelete: k.organizationEmpty, Changed: organizationChanged,
	}
}

func (k *Kinds) checkOrganization(_ context.Context, tx store.Tx, old, row *organizationRow) error {
	if _, isID := id.Parse(row.Name); isID || row.Name == Shared || row.Name == "manage" || len(row.Name) > 64 {
		return fail.Field("name", "%q cannot be an organisation's name", row.Name).Then("choose another, of at most 64 characters")
	}
	if old == nil {
		if _, taken, err := tx.Get(organizationKey(row.Name)); err != nil {
			return err
		} else if taken {
			return &fail.Error{Kind: fail.Exists, Field: "name", Message: "an organisation called " + row.Name + " is there already, in this project or another",
				Next: "choose another name: it is the first part of images' names in the whole cloud"}
		}
	}
	return k.members(tx, row.Domain, row.Spec.Members)
}

// members replaces names by ids, so that a new user of an old name gets nothing.
func (k *Kinds) members(tx store.Tx, domain id.ID, members map[string]string) error {
	for who, may := range members {
		if may != Read && may != Write && may != Manage {
			return fail.Field("spec.members."+who, "%q is not a permission", may).Then("write read, write or manage")
		}
		found, err := k.user(tx, domain, who)
		if err != nil {
			return err
		}
		if found == "" {
			return fail.Field("spec.members."+who, "there is no user %q in this domain", who).Then("see awan user list")
		}
		delete(members, who)
		members[string(found)] = may
	}
	return nil
}

func organizationChanged(_ context.Context, tx store.Tx, old, row *organizationRow) error {
	if row == nil {
		return tx.Delete(organizationKey(old.Name))
	}
	return tx.Put(organizationKey(row.Name), []byte(row.ID))
}

func (k *Kinds) organizationEmpty(_ context.Context, tx store.Tx, row *organizationRow) error {
	in := func(r kind.AnyRow) bool { return namespaceOf(r.(*RepositoryRow).Status.Path) == row.Name }
	rows, err := k.Repository.List(tx, string(row.Project), kind.Filter{Where: in, Limit: 1})
	if err != nil {
		return err
	}
	if len(rows) > 0 {
		return fail.New(fail.Precondition, "repository %s is still in it", rows[0].Name).Then("delete its repositories first")
	}
	return nil
}

var repositoryName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)

func (k *Kinds) repository() kind.Kind[RepositorySpec, RepositoryStatus] {
	mib := func(_ RepositorySpec, s RepositoryStatus) int64 { return inMiB(s.Bytes) }
	return kind.Kind[RepositorySpec, RepositoryStatus]{
		Service: "registry", Name: "repository", Plural: "repositories", Scope: kind.InProject, NoRename: true, NamePat: repositoryName.String(),
		Doc:     "Images of one name. A first push makes it; its name is image, or organization/image.",
		Columns: []string{"status.tags", "status.newest", "status.bytes", "spec.public", "status.pushed"},
		Example: RepositorySpec{Description: "the web shop", Public: true},
		Quota:   map[ledger.Dim]func(RepositorySpec) int64{"registry.repositories": func(RepositorySpec) int64 { return 1 }},
		Holds:   map[ledger.Dim]func(RepositorySpec, RepositoryStatus) int64{Storage: mib},
		Meter:   map[ledger.Dim]func(RepositorySpec, RepositoryStatus) int64{Storage: mib},
		Index: map[string]func(*RepositoryRow) []string{
			"path": func(r *RepositoryRow) []string { return []string{r.Status.Path} }},
		Defaults: func(_ context.Context, _ store.Tx, r *RepositoryRow) error {
			r.Status.Path = pathOf(r.Project, r.Name)
			return nil
		},
		Check: k.checkRepository, CheckDelete: k.repositoryUnused,
		Delete:  job.Flow[RepositoryRow]{{Name: "remove images", Do: k.removeImages}},
		Actions: k.repositoryActions(),
	}
}

func (k *Kinds) checkRepository(_ context.Context, tx store.Tx, old, row *RepositoryRow) error {
	if len(row.Status.Path) > 255 {
		return fail.Field("name", "is longer than 255 characters with its organisation")
	}
	if n := nameOf(row.Project, row.Name); n != row.Name {
		return fail.Field("name", "leave the project's id out").Then("write %s", n)
	}
	ns := namespaceOf(row.Status.Path)
	if ns != string(row.Project) && old == nil {
		org, err := k.Organization.Find(tx, string(row.Project), ns)
		if err != nil {
			return err
		}
		if org == nil {
			return fail.Field("name", "there is no organisation %q in this project", ns).Then("awan organization create %s, or leave the part before the slash out", ns)
		}
	}
	seen := map[string]bool{}
	for i := range row.Spec.Shares {
		sh := &row.Spec.Shares[i]
		if sh.Domain == "" || seen[sh.Domain] {
			return fail.Field("spec.shares", "each share names another domain, once")
		}
		seen[sh.Domain] = true
		if sh.Created.IsZero() {
			sh.Created = row.Updated
		}
	}
	return k.members(tx, row.Domain, row.Spec.Members)
}

// repositoryUnused refuses to take away what releases run on.
func (k *Kinds) repositoryUnused(_ context.Context, tx store.Tx, row *RepositoryRow) error {
	return k.unneeded(tx, row.Status.Path, "")
}

// unneeded refuses when something needs the image, or any image of the repository for digest "".
func (k *Kinds) unneeded(tx store.Tx, repository, digest string) error {
	if k.needed == nil {
		return nil
	}
	needed, err := k.needed(tx)
	if err != nil {
		return err
	}
	for image, by := range needed {
		if at := repository + "@" + digest; image == at || digest == "" && len(image) > len(at) && image[:len(at)] == at {
			return fail.New(fail.Precondition, "%s needs %s", by, image).Then("delete the component, or deploy another image first")
		}
	}
	return nil
}

func (k *Kinds) removeImages(ctx context.Context, row *RepositoryRow) error {
	return k.registry.Remove(ctx, row.Status.Path)
}

// pathOf is the name by which clients know a repository: names without a slash are in the project's own organisation.
func pathOf(project id.ID, name string) string {
	for _, c := range name {
		if c == '/' {
			return name
		}
	}
	return string(project) + "/" + name
}

// nameOf is the reverse: only <project>/<one part> is shortened, so that each path has one name.
func nameOf(project id.ID, path string) string {
	own := string(project) + "/"
	if rest, ok := cutPrefix(path, own); ok && namespaceOf(rest) == rest {
		return rest
	}
	return path
}

func inMiB(bytes int64) int64 { return (bytes + 1<<20 - 1) >> 20 }
