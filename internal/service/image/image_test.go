package image_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/awancloud/awan/catalog"
	"github.com/awancloud/awan/internal/engine/disk/sim"
	makers "github.com/awancloud/awan/internal/engine/image/sim"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/mem"
	"github.com/awancloud/awan/internal/service/image"
)

// world is a cloud with images on a simulated engine, and two projects.
type world struct {
	*kerneltest.Kernel
	t      *testing.T
	engine *sim.Engine
	images *image.Service
	there  ident.Principal // in the second project
	limits map[ledger.Dim]int64
	made   atomic.Int32
}

func newWorld(t *testing.T) *world {
	t.Helper()
	sealer, err := secret.OpenSealer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, engine: sim.New(sim.Options{}), limits: map[ledger.Dim]int64{}}
	limits := func(d ledger.Dim) (int64, bool) { n, ok := w.limits[d]; return n, ok }
	on := mem.New()
	maker := makers.Maker{Names: []string{"debian", "debian-small"}, Before: func(context.Context, string) error { w.made.Add(1); return nil }}
	w.images = image.New(image.Deps{Store: on, Engine: w.engine, Maker: maker, Sealer: sealer, Limits: limits, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Object: func(_ context.Context, _ id.ID, bucket, object string) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(bucket + "/" + object)), nil
		},
		Project: func(tx store.Tx, domain id.ID, name string) (id.ID, id.ID, error) {
			p, err := w.Ident.Kinds.Project.Find(tx, string(domain), name)
			if p == nil || err != nil {
				return "", "", err
			}
			return p.ID, p.Domain, nil
		}})
	w.Kernel = kerneltest.StartOn(t, on, limits, w.images.Kinds()...)
	w.images.Serve(w.Door)
	w.seed()
	name := "second"
	r, err := w.Door.Do(t.Context(), &call.Call{Kind: w.Ident.Kinds.Project.D, Verb: call.Create, Name: &name, Principal: w.Root, Spec: []byte(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	w.there = w.Root
	w.there.Project = r.Row.M().ID
	return w
}

func (w *world) seed() {
	w.t.Helper()
	entries, err := image.ReadCatalog(catalog.Files())
	if err == nil {
		err = w.images.Start(w.t.Context(), entries)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) do(as ident.Principal, k *kind.Def, verb, target string, in any) (*image.Row, error) {
	w.t.Helper()
	c := &call.Call{Kind: k, Verb: verb, Target: target, Principal: as, Stream: kind.Stream{Emit: func(any) error { return nil }}}
	b, _ := json.Marshal(in)
	if c.In = b; verb == call.Create {
		c.Name, c.Target, c.Spec, c.In = &target, "", b, nil
	} else if verb == call.Update {
		c.Spec, c.In = b, nil
	}
	r, err := w.Door.Do(w.t.Context(), c)
	if err != nil {
		return nil, err
	}
	if r.Job != nil {
		j, err := w.Door.WaitJob(w.t.Context(), r.Job.ID)
		if err != nil || j.Error != nil {
			return nil, errors.Join(err, j.Error.Err())
		}
	}
	row, _ := r.Row.(*image.Row)
	if row != nil && verb != call.Delete {
		row = w.get(row.ID)
	}
	return row, nil
}

func (w *world) must(as ident.Principal, k *kind.Def, verb, target string, in any) *image.Row {
	w.t.Helper()
	row, err := w.do(as, k, verb, target, in)
	if err != nil {
		w.t.Fatalf("%s %s %s: %v", verb, k.FullName(), target, err)
	}
	return row
}

func (w *world) get(i id.ID) (row *image.Row) {
	w.t.Helper()
	if err := w.Store.View(w.t.Context(), func(tx store.Tx) (err error) { row, err = w.images.Get(tx, i); return err }); err != nil {
		w.t.Fatal(err)
	}
	return row
}

func (w *world) locate(project id.ID, name string) (row *image.Row, err error) {
	err = w.Store.View(w.t.Context(), func(tx store.Tx) (err error) { row, err = w.images.Locate(tx, project, name); return err })
	return row, err
}

func refused(t *testing.T, err error, kind fail.Kind, field string) {
	t.Helper()
	if e := fail.From(err); err == nil || e.Kind != kind || e.Field != field {
		t.Fatalf("got %v, want %s of %q", err, kind, field)
	}
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func TestUploadAndDownload(t *testing.T) {
	w := newWorld(t)
	own := w.images.Images.D
	row := w.must(w.Root, own, call.Create, "golden", image.Spec{OSType: "linux", Architecture: "x86_64", Firmware: "bios"})
	if row.State != kind.Active || row.Status.Phase != image.Queued {
		t.Fatalf("a new image is %s, %s", row.State, row.Status.Phase)
	}
	refused(t, w.images.Ready(t.Context(), row.ID), fail.Precondition, "")
	content := append(bytes.Repeat([]byte("awan"), 1000), make([]byte, 5<<20)...)

	_, err := w.images.Upload(t.Context(), row, bytes.NewReader(content), strings.Repeat("0", 64), nil)
	refused(t, err, fail.Invalid, "sha256")
	_, err = w.images.Upload(t.Context(), row, io.MultiReader(bytes.NewReader(content), iotest.ErrReader(io.ErrUnexpectedEOF)), "", nil)
	refused(t, err, fail.Canceled, "")
	if row = w.get(row.ID); row.Status.Phase != image.Queued || row.Status.Note == "" {
		t.Fatalf("after failed uploads it is %+v", row.Status)
	}
	w.limits["image.storage"] = 3
	_, err = w.images.Upload(t.Context(), row, bytes.NewReader(content), "", nil)
	refused(t, err, fail.Quota, "")
	delete(w.limits, "image.storage")
	if row, err = w.images.Upload(t.Context(), row, bytes.NewReader(content), sum(content), nil); err != nil {
		t.Fatal(err)
	}
	if st := row.Status; st.Phase != image.Usable || st.Size != int64(len(content)) || st.SHA256 != sum(content) || st.Format != "raw" || len(st.MD5) != 32 {
		t.Fatalf("it is %+v", st)
	}
	_, err = w.images.Upload(t.Context(), row, bytes.NewReader(content), "", nil)
	refused(t, err, fail.Conflict, "")
	var out bytes.Buffer
	var size int64
	if err := w.images.Download(t.Context(), row, "raw", func(n int64) { size = n }, &out); err != nil || !bytes.Equal(out.Bytes(), content) || size != int64(len(content)) {
		t.Fatalf("what came back differs: %d of %d bytes (%v)", out.Len(), len(content), err)
	}
	if used := w.used("image.storage"); used != 6 {
		t.Fatalf("the quota says %d MiB", used)
	}

	w.must(w.Root, own, "deactivate", string(row.ID), nil)
	refused(t, w.images.Ready(t.Context(), row.ID), fail.Precondition, "")
	w.must(w.Root, own, "reactivate", string(row.ID), nil)
	w.must(w.Root, own, call.Update, string(row.ID), map[string]any{"protected": true})
	_, err = w.do(w.Root, own, call.Delete, string(row.ID), nil)
	refused(t, err, fail.Precondition, "")
	w.must(w.Root, own, call.Update, string(row.ID), map[string]any{"protected": false})
	w.must(w.Root, own, call.Delete, string(row.ID), nil)
	if _, err := w.engine.ObserveImage(t.Context(), row.ID); !fail.Is(err, fail.Gone) || w.get(row.ID) != nil || w.used("image.storage") != 0 {
		t.Fatalf("a deleted image is still there (%v)", err)
	}
}

func (w *world) used(dim ledger.Dim) (n int64) {
	w.t.Helper()
	err := w.Store.View(w.t.Context(), func(tx store.Tx) error {
		all, err := ledger.Used(tx)
		n = all[w.Admin.ProjectID][dim]
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

func TestFromObject(t *testing.T) {
	w := newWorld(t)
	row := w.must(w.Root, w.images.Images.D, call.Create, "from-object", map[string]any{"source": image.Source{Bucket: "b", Object: "o.img"}})
	if row.Status.Phase != image.Usable || row.Status.SHA256 != sum([]byte("b/o.img")) || w.used("image.storage") != 1 {
		t.Fatalf("it is %+v", row.Status)
	}
	_, err := w.do(w.Root, w.images.Images.D, call.Create, "x", map[string]any{"source": image.Source{Bucket: "b"}})
	refused(t, err, fail.Invalid, "spec.source")
	_, err = w.do(w.Root, w.images.Images.D, call.Create, "x", map[string]any{"recipe": "debian"})
	refused(t, err, fail.Invalid, "spec.recipe")
}

func TestCatalogue(t *testing.T) {
	w := newWorld(t)
	alias, err := w.locate(w.there.Project, "Ubuntu 22.04 server 64bit")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(alias.Spec.Description, "stand for Debian 12 small") {
		t.Fatalf("an alias does not say what it is: %q", alias.Spec.Description)
	}
	errs := make(chan error)
	for range 4 { // at once: it is made once
		go func() { errs <- w.images.Ready(context.Background(), alias.ID) }()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if n := w.made.Load(); n != 1 {
		t.Fatalf("it was made %d times", n)
	}
	to, err := w.locate("", "Debian 12 small")
	if err != nil || to.Status.Phase != image.Usable || to.Status.Size != 1<<20 {
		t.Fatalf("it is %+v (%v)", to, err)
	}

	public := w.images.Public.D
	_, err = w.do(w.Root, public, call.Delete, "Debian 12", nil)
	refused(t, err, fail.Precondition, "")
	w.must(w.Root, public, call.Update, "Ubuntu 22.04 server 64bit", map[string]any{"alias": "Debian 12"})
	w.seed() // the next start keeps what the operator chose
	if alias = w.get(alias.ID); alias.Spec.Alias != "Debian 12" {
		t.Fatalf("it stands for %q", alias.Spec.Alias)
	}
	_, err = w.do(w.Root, public, call.Create, "Fedora", map[string]any{"alias": "Ubuntu 22.04 server 64bit"})
	refused(t, err, fail.Invalid, "spec.alias")
	mine := w.must(w.Root, w.images.Images.D, call.Create, "Debian 12", map[string]any{})
	if found, err := w.locate(w.Admin.ProjectID, "Debian 12"); err != nil || found.ID != mine.ID {
		t.Fatalf("an own image does not go before the cloud's: %+v (%v)", found, err)
	}
}

func TestSharing(t *testing.T) {
	w := newWorld(t)
	own := w.images.Images.D
	row := w.must(w.Root, own, call.Create, "golden", map[string]any{})
	_, err := w.locate(w.there.Project, string(row.ID))
	refused(t, err, fail.NotFound, "")
	_, err = w.do(w.Root, own, "share", string(row.ID), map[string]string{"project": "nowhere"})
	refused(t, err, fail.Invalid, "project")
	w.must(w.Root, own, "share", string(row.ID), map[string]string{"project": "second"})
	_, err = w.do(w.Root, own, "share", string(row.ID), map[string]string{"project": "second"})
	refused(t, err, fail.Exists, "")
	_, err = w.locate(w.there.Project, string(row.ID)) // offered is not accepted
	refused(t, err, fail.NotFound, "")

	r, err := w.Door.Do(t.Context(), &call.Call{Kind: w.images.Offers.D, Verb: call.List, Principal: w.there})
	if err != nil || len(r.Rows) != 1 {
		t.Fatalf("offers: %v (%v)", r.Rows, err)
	}
	offer := string(r.Rows[0].M().ID)
	w.must(w.there, w.images.Offers.D, "accept", offer, nil)
	for _, name := range []string{"golden", string(row.ID)} {
		if found, err := w.locate(w.there.Project, name); err != nil || found.ID != row.ID {
			t.Fatalf("an accepted image is not found as %s: %v", name, err)
		}
	}
	if m := w.get(row.ID).Status.Members; len(m) != 1 || m[0].State != image.Accepted || m[0].Project != w.there.Project {
		t.Fatalf("its owner sees %+v", m)
	}
	_, err = w.do(w.there, own, call.Delete, string(row.ID), nil)
	refused(t, err, fail.NotFound, "")
	w.must(w.there, w.images.Offers.D, "reject", offer, nil)
	_, err = w.locate(w.there.Project, "golden")
	refused(t, err, fail.NotFound, "")
	w.must(w.there, w.images.Offers.D, "accept", offer, nil)
	w.must(w.Root, own, "unshare", string(row.ID), map[string]string{"project": "second"})
	_, err = w.locate(w.there.Project, "golden")
	refused(t, err, fail.NotFound, "")
	w.must(w.Root, own, "share", string(row.ID), map[string]string{"project": "second"})
	w.must(w.Root, own, call.Delete, string(row.ID), nil)
	if r, err := w.Door.Do(t.Context(), &call.Call{Kind: w.images.Offers.D, Verb: call.List, Principal: w.there}); err != nil || len(r.Rows) != 0 {
		t.Fatalf("the offer outlives the image: %v (%v)", r.Rows, err)
	}
}

func TestCutUpload(t *testing.T) {
	w := newWorld(t)
	row := w.must(w.Root, w.images.Images.D, call.Create, "golden", map[string]any{})
	_, err := w.Store.Update(t.Context(), func(tx store.Tx) error { // as a process that died left it
		row.Status.Phase = image.Saving
		return w.images.Images.Put(tx, row)
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.images.Upload(t.Context(), row, strings.NewReader("x"), "", nil)
	refused(t, err, fail.Conflict, "")
	w.seed()
	if row, err = w.images.Upload(t.Context(), row, strings.NewReader("x"), "", nil); err != nil || row.Status.Phase != image.Usable {
		t.Fatalf("it cannot be uploaded again: %v", err)
	}
}
