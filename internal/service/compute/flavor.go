package compute

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"reflect"
	"slices"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// FlavorSpec is how large a server is.
type FlavorSpec struct {
	CPUs        int               `json:"cpus" doc:"virtual processors" required:"true" min:"1" max:"128" immutable:"true"`
	Memory      int64             `json:"memory" doc:"memory" unit:"MiB" required:"true" min:"1" max:"4194304" immutable:"true"`
	Disk        int               `json:"disk" doc:"size of the disk it boots from where nobody says another; 0: the image's" unit:"GiB" min:"0" max:"32768" immutable:"true"`
	MilliCPU    int               `json:"milli_cpu,omitempty" doc:"how much of a processor each of its processors may use, in thousandths; 0: all of it" min:"0" max:"1000" immutable:"true"`
	Bandwidth   int               `json:"bandwidth,omitempty" doc:"what its cards carry at most; 0: no limit" unit:"Mbit/s" min:"0" immutable:"true"`
	Disabled    bool              `json:"disabled" doc:"no new server may have it; those that do go on"`
	Hidden      bool              `json:"hidden" doc:"only those who name it find it"`
	Description string            `json:"description" doc:"what it is for" max:"255"`
	Extra       map[string]string `json:"extra,omitempty" doc:"extra specs that clients look for"`
	Alias       string            `json:"alias,omitempty" doc:"another id that clients know it by" max:"255" immutable:"true"`
	Private     bool              `json:"private,omitempty" doc:"only servers of the projects named may have it" immutable:"true"`
	Projects    []string          `json:"projects,omitempty" doc:"ids of the projects that a private one is for" max:"1000"`
}

// FlavorStatus tells where it comes from.
type FlavorStatus struct {
	Catalogue bool `json:"catalogue" doc:"comes with the cloud"`
}

type flavorRow = kind.Row[FlavorSpec, FlavorStatus]

func (s *Service) describeFlavors() {
	s.Flavor = kind.TableOf[FlavorSpec, FlavorStatus](kind.Kind[FlavorSpec, FlavorStatus]{
		Service: "compute", Name: "flavor", Scope: kind.InCloud, Public: true,
		NamePat: `^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`,
		Doc:     "How large a server may be: processors and memory. The operator adds, disables and deletes them.",
		Columns: []string{"spec.cpus", "spec.memory", "spec.description", "spec.disabled"},
		Example: FlavorSpec{CPUs: 1, Memory: 1024},
		CheckDelete: func(_ context.Context, tx store.Tx, r *flavorRow) error {
			if r.Status.Catalogue {
				return fail.New(fail.Precondition, "%s comes with the cloud", r.Name).Then("disable it instead: awan flavor update %s --disabled", r.Name)
			}
			return nil // servers keep their size when their flavour is gone
		}}.Def())
}

// catalogFlavor is a line of catalog/flavors.json.
type catalogFlavor struct {
	Name string `json:"name"`
	FlavorSpec
}

// ReadFlavors reads the catalogue's flavours.
func ReadFlavors(files fs.FS) (map[string]FlavorSpec, error) {
	b, err := fs.ReadFile(files, "flavors.json")
	if err != nil {
		return nil, err
	}
	var lines []catalogFlavor
	if err := json.Unmarshal(b, &lines); err != nil {
		return nil, fmt.Errorf("catalog/flavors.json: %w", err)
	}
	out := map[string]FlavorSpec{}
	for _, l := range lines {
		out[l.Name] = l.FlavorSpec
	}
	return out, nil
}

// syncFlavors makes the catalogue's flavours rows. What the operator switched off stays off.
func (s *Service) syncFlavors(ctx context.Context) error {
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		there, err := s.Flavor.List(tx, "-", kind.Filter{})
		if err != nil {
			return err
		}
		byName := map[string]*flavorRow{}
		for _, r := range there {
			byName[r.Name] = r
		}
		for name, spec := range s.Flavors {
			row := byName[name]
			if row == nil {
				row = &flavorRow{Meta: kind.Meta{ID: id.New(), Kind: s.Flavor.D.FullName(), Name: name, State: kind.Active, Made: true, Generation: 1,
					Created: s.Now().UTC(), Updated: s.Now().UTC()}}
				row.Domain = row.ID
			} else {
				if !row.Status.Catalogue {
					continue // the operator's own
				}
				spec.Disabled, spec.Hidden = row.Spec.Disabled, row.Spec.Hidden
				if reflect.DeepEqual(row.Spec, spec) {
					continue
				}
			}
			row.Spec, row.Status.Catalogue = spec, true
			if err := s.Flavor.Put(tx, row); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// flavor finds one that a new server of the project may have.
func (s *Service) flavor(tx store.Tx, project id.ID, name, field string) (*flavorRow, error) {
	f, err := s.Flavor.Find(tx, "-", name)
	switch {
	case err != nil:
		return nil, err
	case f == nil, f.Spec.Private && !slices.Contains(f.Spec.Projects, string(project)):
		return nil, fail.Field(field, "there is no flavour %q", name).Then("choose one from awan flavor list")
	case f.Spec.Disabled:
		return nil, fail.Field(field, "the flavour %s is not offered any more", name).Then("choose another from awan flavor list")
	}
	return f, nil
}

// sizeOf is the flavour that a server has; the zero one when that is gone, which limits nothing.
func (s *Service) sizeOf(tx store.Tx, row *serverRow) (FlavorSpec, error) {
	f, err := s.Flavor.Find(tx, "-", row.Spec.Flavor)
	if err != nil || f == nil {
		return FlavorSpec{}, err
	}
	return f.Spec, nil
}

// limit holds a server's port to what its flavour lets its cards carry, if it says so.
func (s *Service) limit(tx store.Tx, row *serverRow, port id.ID) error {
	f, err := s.sizeOf(tx, row)
	if err != nil || f.Bandwidth == 0 {
		return err
	}
	return s.Networks.Limit(tx, port, f.Bandwidth)
}
