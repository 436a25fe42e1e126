package volume_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/awancloud/awan/catalog"
	"github.com/awancloud/awan/internal/engine/disk/sim"
	makers "github.com/awancloud/awan/internal/engine/image/sim"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/mem"
	"github.com/awancloud/awan/internal/service/image"
	"github.com/awancloud/awan/internal/service/machine"
	"github.com/awancloud/awan/internal/service/volume"
)

// world is a cloud with volumes and images on simulated engines, and two projects.
type world struct {
	*kerneltest.Kernel
	t       *testing.T
	engine  *sim.Engine
	volumes *volume.Service
	images  *image.Service
	other   id.ID // a second project of the domain
	limits  map[ledger.Dim]int64
	server  *server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	sealer, err := secret.OpenSealer(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	types, err := volume.ReadTypes(catalog.Files())
	if err != nil {
		t.Fatal(err)
	}
	entries, err := image.ReadCatalog(catalog.Files())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, engine: sim.New(sim.Options{}), limits: map[ledger.Dim]int64{}, server: &server{disks: map[id.ID]string{}}}
	limits := func(d ledger.Dim) (int64, bool) { n, ok := w.limits[d]; return n, ok }
	on, log := mem.New(), slog.New(slog.DiscardHandler)
	w.images = image.New(image.Deps{Store: on, Engine: w.engine, Maker: makers.Maker{Names: []string{"debian", "debian-small"}}, Sealer: sealer, Limits: limits,
		Now: time.Now, Log: log,
		Take: func(ctx context.Context, p id.ID, from image.Source, i id.ID) (image.Taken, error) {
			return w.volumes.Take(ctx, p, from, i)
		},
		Release: func(ctx context.Context, p id.ID, from image.Source, i id.ID) error {
			return w.volumes.Release(ctx, p, from, i)
		},
		Project: func(tx store.Tx, domain id.ID, name string) (id.ID, id.ID, error) {
			p, err := w.Ident.Kinds.Project.Find(tx, string(domain), name)
			if p == nil || err != nil {
				return "", "", err
			}
			return p.ID, p.Domain, nil
		}})
	w.server.engine = w.engine
	w.volumes = volume.New(volume.Deps{Store: on, Engine: w.engine, Machines: w.server, Images: w.images, Sealer: sealer, Limits: limits, Now: time.Now, Log: log,
		Catalogue: types, Zones: []string{"awan-1a"}, Retention: time.Hour,
		Unseal: func(m *kind.Meta, part, path, sealed string) (string, error) {
			return w.Door.Unseal(m, part, path, sealed)
		},
		Refit: func(_ context.Context, _, volume id.ID) error {
			w.server.refitted = append(w.server.refitted, volume)
			return nil
		}})
	w.Kernel = kerneltest.StartOn(t, on, limits, append(w.volumes.Kinds(), w.images.Kinds()...)...)
	w.volumes.Serve(w.Door)
	w.images.Serve(w.Door)
	if err := w.volumes.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.images.Start(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	name := "second"
	r, err := w.Door.Do(t.Context(), &call.Call{Kind: w.Ident.Kinds.Project.D, Verb: call.Create, Name: &name, Principal: w.Root, Spec: []byte(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	w.other = r.Row.M().ID
	return w
}

// do sends a call and waits for its job.
func (w *world) do(c *call.Call) (kind.AnyRow, error) {
	w.t.Helper()
	if c.Principal.Nobody() {
		c.Principal = w.Root
	}
	r, err := w.Door.Do(w.t.Context(), c)
	if err != nil {
		return nil, err
	}
	if r.Job != nil {
		j, err := w.Door.WaitJob(w.t.Context(), r.Job.ID)
		if err != nil {
			return nil, err
		}
		if j.Error != nil {
			return r.Row, j.Error.Err()
		}
	}
	if r.Row == nil || c.Verb == call.Delete {
		return r.Row, nil
	}
	var row kind.AnyRow
	err = w.Store.View(w.t.Context(), func(tx store.Tx) (err error) {
		row, err = c.Kind.Get(tx, r.Row.M().ID)
		return err
	})
	return row, err
}

func (w *world) must(c *call.Call) kind.AnyRow {
	w.t.Helper()
	row, err := w.do(c)
	if err != nil {
		w.t.Fatalf("%s %s: %v", c.Kind.FullName(), c.Verb, err)
	}
	return row
}

func create(k *kind.Def, name string, spec any) *call.Call {
	b, _ := json.Marshal(spec)
	return &call.Call{Kind: k, Verb: call.Create, Name: &name, Spec: b}
}

func act(k *kind.Def, row id.ID, verb string, in any) *call.Call {
	b, _ := json.Marshal(in)
	return &call.Call{Kind: k, Verb: verb, Target: string(row), In: b}
}

func (w *world) volume(name string, spec map[string]any) *volume.Row {
	w.t.Helper()
	return w.must(create(w.volumes.Volumes.D, name, spec)).(*volume.Row)
}

func (w *world) again(v *volume.Row) *volume.Row {
	w.t.Helper()
	var out *volume.Row
	if err := w.Store.View(w.t.Context(), func(tx store.Tx) (err error) { out, err = w.volumes.Volumes.Get(tx, v.ID); return err }); err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) write(v *volume.Row, text string) {
	w.t.Helper()
	d, err := w.volumes.Drive(w.t.Context(), v.ID)
	if err == nil {
		err = w.engine.WriteAt(d.Drive, []byte(text), 1<<20)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) holds(v *volume.Row, text string) {
	w.t.Helper()
	d, err := w.volumes.Drive(w.t.Context(), v.ID)
	b := make([]byte, len(text))
	if err == nil {
		err = w.engine.ReadAt(d.Drive, b, 1<<20)
	}
	if err != nil || string(b) != text {
		w.t.Fatalf("volume %s holds %q (%v), not %q", v.Name, b, err, text)
	}
}

func (w *world) attach(v *volume.Row, server id.ID) error {
	_, err := w.Store.Update(w.t.Context(), func(tx store.Tx) error { return w.volumes.Attached(tx, v.Project, v.ID, server, "vdb") })
	if err == nil {
		w.server.disks[v.ID] = "vdb"
	}
	return err
}

func (w *world) detach(v *volume.Row, server id.ID) {
	w.t.Helper()
	if _, err := w.Store.Update(w.t.Context(), func(tx store.Tx) error { return w.volumes.Detached(tx, v.ID, server) }); err != nil {
		w.t.Fatal(err)
	}
	delete(w.server.disks, v.ID)
}

// server is a machine that is said to run with disks.
type server struct {
	engine   *sim.Engine
	disks    map[id.ID]string
	overlaid []machine.Drive
	resized  int64
	refitted []id.ID
}

func (s *server) Observe(context.Context, id.ID) (machine.Seen, error) {
	return machine.Seen{Phase: machine.PhaseRunning, Disks: s.disks}, nil
}

func (s *server) Overlay(_ context.Context, _, _ id.ID, layer machine.Drive, _ bool) (bool, error) {
	s.overlaid = append(s.overlaid, layer)
	return true, nil
}

func (s *server) Resized(_ context.Context, _, _ id.ID, bytes int64) error {
	s.resized = bytes
	return nil
}

func refused(t *testing.T, err error, kind fail.Kind, field string) {
	t.Helper()
	if e := fail.From(err); err == nil || e.Kind != kind || e.Field != field || e.Message == "" {
		t.Fatalf("got %v, want %s of %q", err, kind, field)
	}
}

func TestVolume(t *testing.T) {
	w := newWorld(t)
	v := w.volume("data", map[string]any{"size": 10})
	if v.Spec.Type != "GPSSD" || v.Status.IOPS != 1920 || v.Status.Throughput != 105 || v.Spec.Zone != "awan-1a" || !v.Spec.Encrypted {
		t.Fatalf("the defaults are not those of the catalogue: %+v %+v", v.Spec, v.Status)
	}
	w.write(v, "first")

	snap := w.must(create(w.volumes.Snapshots.D, "before", map[string]any{"volume": "data"})).(*volume.Snapshot)
	if !snap.Status.Consistent || snap.Status.Size != 10 {
		t.Fatalf("nobody used the volume: %+v", snap.Status)
	}
	w.write(v, "later")
	w.holds(w.volume("from-snapshot", map[string]any{"source": map[string]any{"snapshot": "before"}}), "first")
	clone := w.volume("clone", map[string]any{"size": 20, "source": map[string]any{"volume": "data"}})
	w.holds(clone, "later")

	w.must(act(w.volumes.Volumes.D, v.ID, "extend", volume.ExtendIn{Size: 12}))
	w.must(act(w.volumes.Volumes.D, v.ID, "revert", volume.RevertIn{Snapshot: "before"}))
	w.holds(v, "first")
	if seen, err := w.engine.Observe(t.Context(), v.ID); err != nil || seen.Bytes != 12*volume.GiB {
		t.Fatalf("reverting made it small: %+v %v", seen, err)
	}
	w.must(act(w.volumes.Volumes.D, v.ID, "retype", volume.RetypeIn{Type: "gpssd2", IOPS: 5000, Throughput: 300}))
	if v = w.again(v); v.Spec.Type != "GPSSD2" || v.Status.IOPS != 5000 || v.Status.Throughput != 300 {
		t.Fatalf("the new type does not hold: %+v %+v", v.Spec, v.Status)
	}

	_, err := w.do(&call.Call{Kind: w.volumes.Volumes.D, Verb: call.Delete, Target: string(v.ID)})
	refused(t, err, fail.Precondition, "")
	w.must(&call.Call{Kind: w.volumes.Snapshots.D, Verb: call.Delete, Target: string(snap.ID)})
	w.must(&call.Call{Kind: w.volumes.Volumes.D, Verb: call.Delete, Target: string(v.ID)})
	if v = w.again(v); v.State != kind.Trashed {
		t.Fatalf("a deleted volume is %s, not in the trash", v.State)
	}
	w.must(&call.Call{Kind: w.volumes.Volumes.D, Verb: call.Restore, Target: string(v.ID)})
	w.holds(v, "first")
	w.must(&call.Call{Kind: w.volumes.Volumes.D, Verb: call.Delete, Target: string(v.ID), Purge: true})
	if _, err := w.engine.Observe(t.Context(), v.ID); !fail.Is(err, fail.Gone) || w.again(v) != nil {
		t.Fatalf("a purged volume is still there: %v", err)
	}
	w.holds(clone, "later") // though what it was made from is gone, keys included
	w.settled()
}

// settled checks that quota and meters equal the rows.
func (w *world) settled() {
	w.t.Helper()
	err := w.Store.View(w.t.Context(), func(tx store.Tx) error {
		used, err := ledger.Used(tx)
		if err != nil {
			return err
		}
		for _, project := range []id.ID{w.Admin.ProjectID, w.other} {
			rows, err := w.volumes.Volumes.List(tx, string(project), kind.Filter{})
			if err != nil {
				return err
			}
			var size int64
			for _, r := range rows {
				size += r.Spec.Size
			}
			if u := used[project]; u["volume.volumes"] != int64(len(rows)) || u["volume.gigabytes"] != size {
				w.t.Errorf("project %s uses %v by the quota, %d volumes of %d GiB by the rows", project, u, len(rows), size)
			}
			open, err := ledger.Open(tx, project)
			if err != nil {
				return err
			}
			for _, s := range open {
				if s.Kind == "volume/volume" {
					size -= s.Amount
				}
			}
			if size != 0 {
				w.t.Errorf("the meters of project %s miss %d GiB", project, size)
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestAttachedVolume(t *testing.T) {
	w := newWorld(t)
	v := w.volume("data", map[string]any{"size": 1, "type": "SSD"})
	one, two := id.New(), id.New()
	if err := w.attach(v, one); err != nil {
		t.Fatal(err)
	}
	refused(t, w.attach(v, two), fail.Precondition, "")
	if err := w.attach(v, one); err != nil {
		t.Fatal("saying it again:", err)
	}
	_, err := w.do(&call.Call{Kind: w.volumes.Volumes.D, Verb: call.Delete, Target: string(v.ID)})
	refused(t, err, fail.Precondition, "")
	d, err := w.volumes.Drive(t.Context(), v.ID)
	if err != nil || d.Device != "vdb" || d.IOPS != 1850 || d.Bytes != 120<<20 || len(d.Serial) != 20 || len(d.Drive.Keys) != 1 {
		t.Fatalf("the drive is %+v (%v)", d, err)
	}

	snap := w.must(create(w.volumes.Snapshots.D, "live", map[string]any{"volume": v.ID})).(*volume.Snapshot)
	if !snap.Status.Consistent || len(w.server.overlaid) != 1 {
		t.Fatalf("the machine was not told of the new layer: %+v", w.server)
	}
	if now, err := w.volumes.Drive(t.Context(), v.ID); err != nil || now.Drive.Path != w.server.overlaid[0].Path || len(now.Drive.Backing) != 1 {
		t.Fatalf("the machine writes to %v, a new one would to %v (%v)", w.server.overlaid, now.Drive, err)
	}
	w.must(act(w.volumes.Volumes.D, v.ID, "extend", volume.ExtendIn{Size: 3}))
	if w.server.resized != 3*volume.GiB || len(w.server.refitted) != 1 {
		t.Fatalf("the machine does not know of the new size and limits: %+v", w.server)
	}
	_, err = w.do(act(w.volumes.Volumes.D, v.ID, "revert", volume.RevertIn{Snapshot: "live"}))
	refused(t, err, fail.Precondition, "")
	img := w.must(create(w.images.Images.D, "of-it", map[string]any{"source": map[string]any{"volume": v.ID}})).(*image.Row)
	if img.Status.Phase != image.Usable || !img.Status.Consistent || img.Status.Server != string(one) || img.Spec.MinDisk != 3 {
		t.Fatalf("the image is %+v", img)
	}
	for s, err := range w.engine.Snapshots(t.Context()) {
		if err != nil || s != snap.ID {
			t.Fatalf("snapshot %s was left behind (%v)", s, err)
		}
	}
	w.detach(v, one)
	if err := w.attach(v, two); err != nil {
		t.Fatal(err)
	}
	stranger := *v
	stranger.Project = w.other
	refused(t, w.attach(&stranger, two), fail.NotFound, "")
}

func TestVolumeFromImage(t *testing.T) {
	w := newWorld(t)
	root := w.volume("root", map[string]any{"source": map[string]any{"image": "Ubuntu 22.04 server 64bit"}})
	if !root.Spec.Bootable || root.Spec.Size != 2 || root.Status.Image == nil || root.Status.Image.Name != "Ubuntu 22.04 server 64bit" {
		t.Fatalf("the root volume is %+v %+v", root.Spec, root.Status)
	}
	d, err := w.volumes.Drive(t.Context(), root.ID)
	text := make([]byte, 40)
	if err == nil {
		err = w.engine.ReadAt(d.Drive, text, 0)
	}
	if err != nil || !bytes.HasPrefix(text, []byte("a simulated image of debian-small\n")) {
		t.Fatalf("its content is %q (%v)", text, err)
	}
	_, err = w.do(create(w.volumes.Volumes.D, "small", map[string]any{"size": 1, "source": map[string]any{"image": "Debian 12"}}))
	refused(t, err, fail.Invalid, "spec.size")
	_, err = w.do(create(w.volumes.Volumes.D, "none", map[string]any{"size": 1, "source": map[string]any{"image": "Plan 9"}}))
	refused(t, err, fail.Invalid, "spec.source.image")

	private := w.must(create(w.images.Images.D, "own", map[string]any{})).(*image.Row)
	upload := act(w.images.Images.D, private.ID, "upload", map[string]any{})
	content := append(make([]byte, 1<<20), "of our own"...)
	upload.Stream = kind.Stream{Body: bytes.NewReader(append(content, make([]byte, 2<<20)...)), Emit: func(any) error { return nil }}
	w.must(upload)
	w.holds(w.volume("own", map[string]any{"source": map[string]any{"image": "own"}}), "of our own")
}

func TestVolumeRefusals(t *testing.T) {
	w := newWorld(t)
	w.volume("data", map[string]any{"size": 5})
	for name, c := range map[string]struct {
		spec  string
		field string
	}{
		"no size":            {`{}`, "spec.size"},
		"a negative size":    {`{"size":-1}`, "spec.size"},
		"too large for type": {`{"size":40000}`, "spec.size"},
		"no such type":       {`{"size":1,"type":"floppy"}`, "spec.type"},
		"no such zone":       {`{"size":1,"availability_zone":"mars"}`, "spec.availability_zone"},
		"iops of the size":   {`{"size":1,"type":"SSD","iops":100}`, "spec.iops"},
		"too many iops":      {`{"size":1,"type":"GPSSD2","iops":1000000}`, "spec.iops"},
		"two sources":        {`{"size":1,"source":{"image":"Debian 12","volume":"data"}}`, "spec.source"},
		"no such snapshot":   {`{"size":1,"source":{"snapshot":"x"}}`, "spec.source.snapshot"},
		"smaller than it":    {`{"size":1,"source":{"volume":"data"}}`, "spec.size"},
		"multiattach":        {`{"size":1,"multiattach":true}`, "spec.multiattach"},
	} {
		t.Run(name, func(t *testing.T) {
			n := "x"
			_, err := w.do(&call.Call{Kind: w.volumes.Volumes.D, Verb: call.Create, Name: &n, Spec: []byte(c.spec)})
			refused(t, err, fail.Invalid, c.field)
		})
	}
	w.limits["volume.gigabytes"] = 7
	_, err := w.do(create(w.volumes.Volumes.D, "more", map[string]any{"size": 3}))
	refused(t, err, fail.Quota, "")
	w.settled()
}

func TestTransfer(t *testing.T) {
	w := newWorld(t)
	v := w.volume("data", map[string]any{"size": 5})
	w.write(v, "moves")
	n := "gift"
	r, err := w.Door.Do(t.Context(), &call.Call{Kind: w.volumes.Transfers.D, Verb: call.Create, Name: &n, Spec: []byte(`{"volume":"data"}`), Principal: w.Root})
	if err != nil {
		t.Fatal(err)
	}
	offer := r.Row.(*volume.Transfer)
	if len(offer.Status.AuthKey) < 20 {
		t.Fatalf("the key is not shown: %+v", offer.Status)
	}
	refused(t, w.attach(v, id.New()), fail.Precondition, "")
	there := w.Root
	there.Project = w.other
	accept := func(key string) error {
		c := act(w.volumes.Transfers.D, "", "accept", volume.AcceptIn{Transfer: string(offer.ID), AuthKey: key})
		c.Principal, c.Stream = there, kind.Stream{Emit: func(any) error { return nil }}
		_, err := w.do(c)
		return err
	}
	refused(t, accept("guess"), fail.NotFound, "")
	w.limits["volume.gigabytes"] = 4
	refused(t, accept(offer.Status.AuthKey), fail.Quota, "")
	delete(w.limits, "volume.gigabytes")
	if err := accept(offer.Status.AuthKey); err != nil {
		t.Fatal(err)
	}
	if v = w.again(v); v.Project != w.other || v.Status.Transfer != "" {
		t.Fatalf("the volume is %+v", v)
	}
	w.holds(v, "moves")
	w.settled()
	refused(t, accept(offer.Status.AuthKey), fail.NotFound, "")
}
