// Package scan looks for packages with known flaws in images: what an image holds (Debian and Alpine packages, Go
// programs, npm, Python and Java packages) is compared with lists of vulnerabilities that the operator loads, for the
// cloud asks nobody outside. Policies refuse releases by what is found.
// It may import the kernel and service/registry.
package scan

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/registry"
)

// Deps are what the service stands on; the zero value is enough to describe its kinds.
type Deps struct {
	Store    store.Store
	Registry *registry.Registry
	Kinds    *registry.Kinds
	// Dir is for files that are looked into: programs, jars.
	Dir string
	// Wake makes a kind's loop run now.
	Wake func(fullName string)
	Now  clock.Clock
	Log  *slog.Logger
}

// Spec names the image.
type Spec struct {
	Image  string `json:"image" doc:"the image: repository:tag or repository@digest" required:"true" immutable:"true" max:"512" example:"web:v1"`
	Digest string `json:"digest" doc:"its digest; found by the tag where it is not given" max:"128" immutable:"true"`
}

// Finding is a flaw that the lists know of a package.
type Finding struct {
	ID       string   `json:"id" doc:"of the vulnerability, as the list names it"`
	Aliases  []string `json:"aliases,omitempty"`
	Package  string   `json:"package"`
	Version  string   `json:"version" doc:"in the image"`
	Fixed    string   `json:"fixed,omitempty" doc:"the first version without it; empty: none is known"`
	Severity Severity `json:"severity"`
	Summary  string   `json:"summary,omitempty"`
	Where    string   `json:"where,omitempty" doc:"the file that tells of the package"`
	Eco      string   `json:"ecosystem"`
}

// Status is what was found.
type Status struct {
	Verdict   string           `json:"verdict" doc:"what came of it, in a sentence"`
	Packages  int              `json:"packages" doc:"packages in the image"`
	Counts    map[Severity]int `json:"counts,omitempty" doc:"findings by severity"`
	Findings  []Finding        `json:"findings,omitempty" doc:"the gravest first, at most 500"`
	Unchecked []string         `json:"unchecked,omitempty" doc:"ecosystems with packages in the image that no loaded list covers, and what could not be read"`
	Lists     string           `json:"lists,omitempty" doc:"the state of the lists it was compared with"`
	Scanned   time.Time        `json:"scanned,omitzero" doc:"when"`
}

// maxFindings bounds what a row holds.
const maxFindings = 500

type row = kind.Row[Spec, Status]

// Service scans.
type Service struct {
	Deps
	Scan   kind.Table[Spec, Status]
	List   kind.Table[ListSpec, ListStatus]
	Policy kind.Table[PolicySpec, PolicyStatus]
}

// New makes the service.
func New(d Deps) *Service {
	s := &Service{Deps: d}
	s.Scan = kind.TableOf[Spec, Status](kind.Kind[Spec, Status]{
		Service: "registry", Name: "scan", Scope: kind.InProject, AnyName: true,
		Doc:     "What the vulnerability lists know of the packages in an image. Made by every push, and again when a list changes.",
		Columns: []string{"spec.image", "status.verdict", "status.scanned"}, Example: Spec{Image: "web:v1"},
		Index:    map[string]func(*row) []string{"digest": func(r *row) []string { return []string{r.Spec.Digest} }},
		Defaults: s.named,
		Create:   job.Flow[row]{{Name: "scan", Do: s.scanRow, Deadline: 30 * time.Minute}},
		Changed:  s.scanChanged,
		Loop:     job.Loop[row]{Every: 30 * time.Second, Do: s.refresh},
		Actions: []kind.Action[Spec, Status]{
			{Verb: "again", Doc: "scan again", Level: kind.Write, Flow: job.Flow[row]{{Name: "scan", Do: s.scanRow, Deadline: 30 * time.Minute}}},
			{Verb: "sbom", Doc: "the image's packages as CycloneDX JSON", Level: kind.Read, Serve: s.serveSBOM},
		},
	}.Def())
	s.List = kind.TableOf[ListSpec, ListStatus](s.listKind().Def())
	s.Policy = kind.TableOf[PolicySpec, PolicyStatus](s.policyKind().Def())
	if d.Registry != nil {
		d.Registry.OnPush(s.pushed)
	}
	return s
}

// All lists the kinds.
func (s *Service) All() []*kind.Def { return []*kind.Def{s.Scan.D, s.Policy.D, s.List.D} }

// named gives a scan the name of its image.
func (s *Service) named(_ context.Context, _ store.Tx, r *row) error {
	if r.Name == "" || r.Name == string(r.ID) {
		r.Name = strings.ReplaceAll(r.Spec.Image, "/", " ")
	}
	return nil
}

// split gives the parts of an image's name.
func split(image string) (repository, ref string) {
	if at := strings.LastIndexByte(image, '@'); at >= 0 {
		return image[:at], image[at+1:]
	}
	if c := strings.LastIndexByte(image, ':'); c > strings.LastIndexByte(image, '/') {
		return image[:c], image[c+1:]
	}
	return image, "latest"
}

// pushed notes that an image waits to be scanned: a stored row that the loop takes up.
func (s *Service) pushed(repository, ref string, d digest.Digest) {
	ctx := context.Background()
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		place, err := s.Kinds.Place(tx, repository)
		if err != nil || place == nil {
			return err
		}
		there, err := s.Scan.List(tx, string(place.Project), kind.Filter{Index: "digest", Value: string(d), Limit: 1})
		if err != nil || len(there) > 0 {
			return err
		}
		now := s.Now().UTC()
		image := place.Name + ":" + ref
		if strings.HasPrefix(ref, "sha256:") {
			image = place.Name + "@" + ref
		}
		r := &row{Meta: kind.Meta{ID: id.New(), Kind: s.Scan.D.FullName(), Domain: place.Domain, Project: place.Project, State: kind.Active, Made: true,
			Name: strings.ReplaceAll(image, "/", " "), Generation: 1, Created: now, Updated: now, CreatedBy: "awan"},
			Spec: Spec{Image: image, Digest: string(d)}, Status: Status{Verdict: waiting}}
		return s.Scan.D.Put(tx, nil, r)
	})
	if err != nil {
		s.Log.Error("an image cannot be put down to be scanned", "repository", repository, "err", err)
		return
	}
	if s.Wake != nil {
		s.Wake(s.Scan.D.FullName())
	}
}

func inventoryKey(d string) string { return "scan/inventory/" + d }

// scanChanged forgets an image's packages with its last scan.
func (s *Service) scanChanged(_ context.Context, tx store.Tx, old, r *row) error {
	if r != nil {
		return nil
	}
	others, err := s.Scan.List(tx, "", kind.Filter{Where: func(o kind.AnyRow) bool { return o.M().ID != old.ID && o.(*row).Spec.Digest == old.Spec.Digest }, Limit: 1})
	if err != nil || len(others) > 0 {
		return err
	}
	return tx.Delete(inventoryKey(old.Spec.Digest))
}
