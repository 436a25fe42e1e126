package volume

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Entry is a line of catalog/volumes.json.
type Entry struct {
	Name string `json:"name"`
	TypeSpec
}

// ReadTypes reads volumes.json.
func ReadTypes(files fs.FS) ([]Entry, error) {
	b, err := fs.ReadFile(files, "volumes.json")
	if err != nil {
		return nil, err
	}
	var out []Entry
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, fmt.Errorf("catalog/volumes.json: %w", err)
	}
	return out, nil
}

// classes names what volumes may be billed as.
func (s *Service) classes() []string {
	var out []string
	for _, e := range s.Deps.Catalogue {
		out = append(out, e.Name)
	}
	return out
}

func (s *Service) describeTypes() {
	s.Types = kind.TableOf[TypeSpec, TypeStatus](kind.Kind[TypeSpec, TypeStatus]{
		Service: "volume", Name: "volume-type", Scope: kind.InCloud, Public: true, NamePat: `^[A-Za-z0-9]([A-Za-z0-9 ._-]{0,61}[A-Za-z0-9])?$`,
		Doc: "How much volumes may do per second. All of them lie on the same disks; the limits are enforced for each volume.",
		Columns: []string{"spec.description", "spec.iops", "spec.iops_per_gib", "spec.max_iops", "spec.throughput", "spec.max_throughput",
			"spec.default", "spec.disabled"},
		Example: TypeSpec{Class: "GPSSD", IOPS: 1800, IOPSPerGiB: 12, MaxIOPS: 20000, Throughput: 100, MaxThroughput: 250},
		Check:   s.checkType,
		CheckDelete: func(_ context.Context, tx store.Tx, row *Type) error {
			if row.Status.Catalogue {
				return fail.New(fail.Precondition, "%s comes with the cloud", row.Name).Then("disable it instead: awan volume-type update %s --disabled", row.Name)
			}
			used, err := s.Volumes.List(tx, "", kind.Filter{Limit: 1, Where: func(r kind.AnyRow) bool { return r.(*Row).Spec.Type == row.Name }})
			if err == nil && len(used) > 0 {
				err = fail.New(fail.Precondition, "there are volumes of type %s", row.Name).Then("disable it instead: awan volume-type update %s --disabled", row.Name)
			}
			return err
		}}.Def())
}

func (s *Service) checkType(_ context.Context, tx store.Tx, old, row *Type) error {
	if old == nil {
		row.Status = TypeStatus{}
	} else if old.Name != row.Name && row.Status.Catalogue {
		return fail.Field("name", "%s comes with the cloud", old.Name).Then("create another type")
	}
	t := row.Spec
	switch {
	case !slices.Contains(s.classes(), t.Class):
		return fail.Field("spec.class", "%q is not a type of the catalogue", t.Class).Then("use one of %s", strings.Join(s.classes(), ", "))
	case t.MaxIOPS > 0 && t.MaxIOPS < t.IOPS:
		return fail.Field("spec.max_iops", "is less than iops, %d", t.IOPS)
	case t.MaxThroughput > 0 && t.MaxThroughput < t.Throughput:
		return fail.Field("spec.max_throughput", "is less than throughput, %d", t.Throughput)
	case t.ThroughputPerGiB < 0:
		return fail.Field("spec.throughput_per_gib", "is negative")
	case t.ChooseIOPS && t.MaxIOPS == 0:
		return fail.Field("spec.max_iops", "is required where one may choose")
	case t.ChooseThroughput && t.MaxThroughput == 0:
		return fail.Field("spec.max_throughput", "is required where one may choose")
	case t.Default && t.Private:
		return fail.Field("spec.default", "a private type cannot be the default")
	case t.Default && t.Disabled:
		return fail.Field("spec.default", "a disabled type cannot be the default")
	}
	if !t.Default {
		return nil
	}
	all, err := s.Types.List(tx, "-", kind.Filter{}) // there is one default
	for _, other := range all {
		if err != nil || other.ID == row.ID || !other.Spec.Default {
			continue
		}
		other.Spec.Default = false
		err = s.Types.Put(tx, other)
	}
	return err
}

// typeOf finds a type that a project may use ("": any), or one that is disabled, by id or name; the default one for "".
func (s *Service) typeOf(tx store.Tx, project id.ID, name string) (*Type, error) {
	seen := func(t *Type) bool { return project == "" || t.Spec.Disabled || t.Spec.For(project) }
	if name != "" {
		t, err := s.Types.Find(tx, "-", name)
		if err != nil || t != nil && seen(t) {
			return t, err
		}
	}
	all, err := s.Types.List(tx, "-", kind.Filter{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, t := range all {
		if name == "" && t.Spec.Default || name != "" && strings.EqualFold(t.Name, name) && seen(t) {
			return t, nil
		}
		if t.Spec.For(project) {
			names = append(names, t.Name)
		}
	}
	if name == "" {
		return nil, fail.Field("spec.type", "is required, because this cloud has no default type").Then("use one of %s", strings.Join(names, ", "))
	}
	return nil, fail.Field("spec.type", "there is no volume type %q", name).Then("use one of %s", strings.Join(names, ", "))
}

// allowed works out what a volume of the type may do.
func allowed(t *Type, spec *Spec) (iops, throughput int64, err error) {
	p := t.Spec
	iops = p.IOPS + p.IOPSPerGiB*spec.Size
	throughput = p.Throughput + int64(p.ThroughputPerGiB*float64(spec.Size))
	if p.MaxIOPS > 0 {
		iops = min(iops, p.MaxIOPS)
	}
	if p.MaxThroughput > 0 {
		throughput = min(throughput, p.MaxThroughput)
	}
	if spec.IOPS > 0 {
		if !p.ChooseIOPS {
			return 0, 0, fail.Field("spec.iops", "volumes of type %s have theirs by size", t.Name).Then("leave it out, or choose another type")
		}
		if spec.IOPS < p.IOPS || spec.IOPS > p.MaxIOPS {
			return 0, 0, fail.Field("spec.iops", "must be %d to %d for type %s", p.IOPS, p.MaxIOPS, t.Name)
		}
		iops = spec.IOPS
	}
	if spec.Throughput > 0 {
		if !p.ChooseThroughput {
			return 0, 0, fail.Field("spec.throughput", "volumes of type %s have theirs by size", t.Name).Then("leave it out, or choose another type")
		}
		if spec.Throughput < p.Throughput || spec.Throughput > p.MaxThroughput {
			return 0, 0, fail.Field("spec.throughput", "must be %d to %d for type %s", p.Throughput, p.MaxThroughput, t.Name)
		}
		throughput = spec.Throughput
	}
	return iops, throughput, nil
}

// Start brings the catalogue's types into the cloud. What the operator changed of one stays.
func (s *Service) Start(ctx context.Context) error {
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		for _, e := range s.Deps.Catalogue {
			row, err := s.Types.Find(tx, "-", e.Name)
			if err != nil {
				return err
			}
			if row != nil {
				continue
			}
			now := s.Now().UTC()
			row = &Type{Meta: kind.Meta{ID: id.New(), Kind: s.Types.D.FullName(), Name: e.Name, State: kind.Active, Made: true, Generation: 1,
				Created: now, Updated: now, CreatedBy: "awan"}, Spec: e.TypeSpec, Status: TypeStatus{Catalogue: true}}
			row.Domain, row.Spec.Class = row.ID, e.Name
			if row.Spec.MaxSize == 0 {
				row.Spec.MaxSize = 32768
			}
			if err := s.Types.Put(tx, row); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}
