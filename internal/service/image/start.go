package image

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Entry is a line of catalog/images.json.
type Entry struct {
	Name        string `json:"name"`
	Recipe      string `json:"recipe"`
	Alias       string `json:"alias"`
	Description string `json:"description"`
	OS          string `json:"os"`
	OSVersion   string `json:"os_version"`
	User        string `json:"user"`
	MinDisk     int64  `json:"min_disk"`
	MinMemory   int64  `json:"min_memory"`
	KVM         bool   `json:"kvm"` // without KVM it starts too slowly to be offered
}

// Needs is the property that says what of the machine an image needs: NeedsKVM. An operator who takes it away offers the
// image all the same.
const (
	Needs    = "awan_needs"
	NeedsKVM = "kvm"
)

// ReadCatalog reads images.json.
func ReadCatalog(files fs.FS) ([]Entry, error) {
	b, err := fs.ReadFile(files, "images.json")
	if err != nil {
		return nil, err
	}
	var out []Entry
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, fmt.Errorf("catalog/images.json: %w", err)
	}
	return out, nil
}

// Start brings the catalogue's images into the cloud, and takes back uploads that a stop cut short. What the operator
// changed of an image (protection, memory, which image a name stands for) stays.
func (s *Service) Start(ctx context.Context, catalogue []Entry) error {
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		for _, e := range catalogue {
			if err := s.seed(tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.takeBackUploads(ctx)
}

func (s *Service) seed(tx store.Tx, e Entry) error {
	if e.Recipe != "" && (s.Maker == nil || !slices.Contains(s.Maker.Recipes(), e.Recipe)) {
		return nil
	}
	row, err := s.Public.Find(tx, "-", e.Name)
	if err != nil || row != nil {
		return err
	}
	now := s.Now().UTC()
	row = &Row{Meta: kind.Meta{ID: id.New(), Kind: s.Public.D.FullName(), Name: e.Name, State: kind.Active, Made: true, Generation: 1,
		Created: now, Updated: now, CreatedBy: "awan"}}
	row.Domain = row.ID
	kind.SetDefaults(&row.Spec, s.Public.D.Spec)
	row.Spec.Description, row.Spec.OS, row.Spec.OSVersion, row.Spec.User = e.Description, e.OS, e.OSVersion, e.User
	row.Spec.MinDisk, row.Spec.MinMemory, row.Spec.Recipe = e.MinDisk, e.MinMemory, e.Recipe
	row.Status.Phase = OnDemand
	if e.KVM {
		row.Spec.Properties = map[string]string{Needs: NeedsKVM}
	}
	if e.Alias != "" {
		to, err := s.Public.Find(tx, "-", e.Alias)
		if err != nil || to == nil {
			return err // what it stands for cannot be made here
		}
		row.Spec.Alias, row.Status.Phase = to.Name, Usable
		row.Spec.MinDisk, row.Spec.MinMemory = to.Spec.MinDisk, to.Spec.MinMemory
		row.Spec.Description = aliasText(to)
	}
	return s.Public.Put(tx, row)
}

// takeBackUploads lets images be uploaded again whose upload was cut short. Jobs that make images go on by themselves.
func (s *Service) takeBackUploads(ctx context.Context) error {
	var cut []*Row
	err := s.Store.View(ctx, func(tx store.Tx) error {
		for _, t := range []kind.Table[Spec, Status]{s.Images, s.Public} {
			rows, err := t.List(tx, "", kind.Filter{Where: func(r kind.AnyRow) bool {
				return r.(*Row).Status.Phase == Saving && r.M().Job == ""
			}})
			if err != nil {
				return err
			}
			cut = append(cut, rows...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, row := range cut {
		if s.Engine != nil {
			if err := s.Engine.DestroyImage(ctx, row.ID); err != nil {
				return err
			}
		}
		_, err := s.edit(ctx, &row.Meta, func(_ store.Tx, row *Row) error {
			row.Status.Phase, row.Status.Note = Queued, "the upload was cut short; upload it again"
			return nil
		})
		if err != nil && !gone(err) {
			return err
		}
	}
	return nil
}
