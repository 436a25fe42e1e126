package scan

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// ListSpec describes a loaded list.
type ListSpec struct{}

// ListStatus is what is in it.
type ListStatus struct {
	Entries    int       `json:"entries" doc:"vulnerabilities of packages"`
	Ecosystems []string  `json:"ecosystems" doc:"what it covers, as OSV names it"`
	Loaded     time.Time `json:"loaded" doc:"when it was loaded"`
	Version    id.ID     `json:"version" doc:"changes with every load"`
}

// LoadIn names the list to load.
type LoadIn struct {
	Name string `json:"name" doc:"the list's name; one of that name is replaced" required:"true" pattern:"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$" example:"debian"`
}

type listRow = kind.Row[ListSpec, ListStatus]

// Keys: vulnerability/<list version>/<ecosystem>/<package>/<id>.
func advisoryPrefix(version id.ID, eco, pkg string) string {
	esc := strings.NewReplacer("%", "%25", "/", "%2F")
	return "vulnerability/" + string(version) + "/" + esc.Replace(eco) + "/" + esc.Replace(pkg) + "/"
}

// maxList bounds a list, in bytes as it is sent.
const maxList = 4 << 30

func (s *Service) listKind() kind.Kind[ListSpec, ListStatus] {
	return kind.Kind[ListSpec, ListStatus]{
		Service: "registry", Name: "vulnerability-list", Scope: kind.InCloud, ReadOnly: true,
		Doc:     "Known vulnerabilities of packages, loaded by the operator: zip files from osv.dev, OSV JSON, or the data of Debian's security tracker.",
		Columns: []string{"status.entries", "status.ecosystems", "status.loaded"},
		Actions: []kind.Action[ListSpec, ListStatus]{
			{Verb: "load", Doc: "load a list, in the place of one of the same name", Level: kind.Admin, Collection: true, In: LoadIn{}, Serve: s.load},
			{Verb: "unload", Doc: "take a list away", Level: kind.Admin, Serve: func(ctx context.Context, r *listRow, _ any, st kind.Stream) error {
				if err := s.unload(ctx, r); err != nil {
					return err
				}
				return st.Emit(map[string]string{"unloaded": r.Name})
			}},
		},
	}
}

// load reads a list into the store under a version of its own, and then lets it take the old one's place: until then
// the old one holds, and a load that breaks off leaves nothing that is looked at.
func (s *Service) load(ctx context.Context, _ *listRow, in any, st kind.Stream) error {
	name := in.(*LoadIn).Name
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fail.Wrap(err, fail.NoSpace, "the list cannot be kept while it is read")
	}
	f, err := os.CreateTemp(s.Dir, "list-*")
	if err != nil {
		return fail.Wrap(err, fail.NoSpace, "the list cannot be kept while it is read")
	}
	defer func() { _ = os.Remove(f.Name()) }()
	defer func() { _ = f.Close() }()
	size, err := io.Copy(f, io.LimitReader(st.Body, maxList+1))
	if err != nil {
		return fail.Wrap(err, fail.Unavailable, "the list cannot be read to its end")
	}
	if size > maxList {
		return fail.New(fail.TooLarge, "the list is larger than %d GiB", maxList>>30)
	}
	version := id.New()
	ecos := map[string]bool{}
	count := 0
	var batch []entry
	flush := func() error {
		_, err := s.Store.Update(ctx, func(tx store.Tx) error {
			for _, e := range batch {
				b, err := json.Marshal(e.advisory)
				if err != nil {
					return err
				}
				if err := tx.Put(advisoryPrefix(version, e.eco, e.pkg)+e.ID, b); err != nil {
					return err
				}
			}
			return nil
		})
		count += len(batch)
		batch = batch[:0]
		return err
	}
	err = read(f, size, func(all []entry) error {
		for _, e := range all {
			ecos[e.eco] = true
			if batch = append(batch, e); len(batch) >= 500 {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err == nil && count == 0 {
		err = fail.New(fail.Invalid, "the list names no vulnerability of a package")
	}
	if err != nil {
		_ = s.erase(context.WithoutCancel(ctx), version)
		return err
	}
	covered := []string{}
	for e := range ecos {
		covered = append(covered, e)
	}
	slices.Sort(covered)
	var old id.ID
	var row *listRow
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		was, err := s.List.Find(tx, "-", name)
		if err != nil {
			return err
		}
		now := s.Now().UTC()
		row = &listRow{Meta: kind.Meta{ID: id.New(), Kind: s.List.D.FullName(), Name: name, State: kind.Active, Made: true, Generation: 1, Created: now,
			Updated: now, CreatedBy: ident.From(ctx).UserName}}
		if old = ""; was != nil {
			row.Meta, old = was.Meta, was.Status.Version
			row.Updated = now
			row.Generation++
		}
		row.Domain = row.ID
		row.Status = ListStatus{Entries: count, Ecosystems: covered, Loaded: now, Version: version}
		return s.List.Put(tx, row)
	})
	if err != nil {
		_ = s.erase(context.WithoutCancel(ctx), version)
		return err
	}
	if old != "" {
		if err := s.erase(ctx, old); err != nil {
			return err
		}
	}
	if s.Wake != nil {
		s.Wake(s.Scan.D.FullName())
	}
	return st.Emit(row)
}

func (s *Service) unload(ctx context.Context, r *listRow) error {
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		was, err := s.List.Get(tx, r.ID)
		if err != nil || was == nil {
			return err
		}
		return s.List.Remove(tx, was)
	})
	if err != nil {
		return err
	}
	if s.Wake != nil {
		s.Wake(s.Scan.D.FullName())
	}
	return s.erase(ctx, r.Status.Version)
}

// erase takes the entries of a version away, some at a time.
func (s *Service) erase(ctx context.Context, version id.ID) error {
	for {
		n := 0
		_, err := s.Store.Update(ctx, func(tx store.Tx) error {
			n = 0
			var keys []string
			for k := range tx.Scan("vulnerability/"+string(version)+"/", "") {
				if keys = append(keys, k); len(keys) >= 1000 {
					break
				}
			}
			if err := tx.ScanErr(); err != nil {
				return err
			}
			for _, k := range keys {
				if err := tx.Delete(k); err != nil {
					return err
				}
			}
			n = len(keys)
			return nil
		})
		if err != nil || n == 0 {
			return err
		}
	}
}

// Start takes away what a load that broke off left.
func (s *Service) Start(ctx context.Context) error {
	var stray []id.ID
	err := s.Store.View(ctx, func(tx store.Tx) error {
		lists, err := s.List.List(tx, "-", kind.Filter{})
		if err != nil {
			return err
		}
		known := map[string]bool{}
		for _, l := range lists {
			known[string(l.Status.Version)] = true
		}
		const prefix = "vulnerability/"
		for after := ""; ; {
			version := ""
			for k := range tx.Scan(prefix, after) {
				version = k[len(prefix):][:32]
				break
			}
			if err := tx.ScanErr(); err != nil || version == "" {
				return err
			}
			if !known[version] {
				stray = append(stray, id.ID(version))
			}
			after = prefix + version + "/\xff"
		}
	})
	for _, v := range stray {
		if err == nil {
			err = s.erase(ctx, v)
		}
	}
	return err
}
