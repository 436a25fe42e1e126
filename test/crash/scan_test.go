package crash

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/sirupsen/logrus"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fault"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/kernel/store/mem"
	"github.com/awancloud/awan/internal/service/registry"
	"github.com/awancloud/awan/internal/service/scan"
)

// scanned is a registry with scans: what outlives the process.
type scanned struct {
	t     testing.TB
	store store.Store
	dir   string
	admin *ident.Admin
}

// scanLife is one life of the process.
type scanLife struct {
	*scanned
	store store.Store
	reg   *registry.Registry
	scan  *scan.Service
	door  *call.Door
	root  ident.Principal
	kinds []*kind.Def
}

func (w *scanned) live(plan *fault.Plan) *scanLife {
	in := &scanLife{scanned: w, store: fault.Store(w.store, plan)}
	log := slog.New(slog.DiscardHandler)
	sealer, err := secret.OpenSealer(w.dir + "/keys")
	if err != nil {
		w.t.Fatal(err)
	}
	identity := ident.New(in.store, secret.NewPasswords(kerneltest.Cheap), sealer, time.Now)
	if w.admin == nil {
		if w.admin, err = ident.New(w.store, secret.NewPasswords(kerneltest.Cheap), sealer, time.Now).Bootstrap(w.t.Context(), "awan", "awan-1"); err != nil {
			w.t.Fatal(err)
		}
	}
	in.reg, err = registry.New(registry.Options{Dir: w.dir + "/registry", Host: "registry.test", Store: in.store, Logger: log,
		Authorize: func(*http.Request, string, []string) (ident.Principal, error) { return ident.System(), nil },
		Project: func(tx store.Tx, project id.ID) (id.ID, error) {
			row, err := identity.Kinds.Project.Get(tx, project)
			if row == nil || err != nil {
				return "", err
			}
			return row.Domain, nil
		}})
	if err != nil {
		w.t.Fatal(err)
	}
	images := registry.NewKinds(registry.KindDeps{Registry: in.reg})
	in.scan = scan.New(scan.Deps{Store: in.store, Registry: in.reg, Kinds: images, Dir: w.dir + "/scan", Now: time.Now, Log: log,
		Wake: func(kind string) {
			if in.door != nil {
				in.door.Wake(kind)
			}
		}})
	in.kinds = slices.Concat(images.All(), in.scan.All())
	door := call.NewDoor(call.Options{Store: in.store, Ident: identity, Kinds: slices.Concat(in.kinds, identity.Kinds.All()), Region: "awan-1", Now: time.Now, Log: log})
	in.root = ident.Principal{User: w.admin.UserID, UserName: "admin", Domain: w.admin.DomainID, DomainName: "awan", Project: w.admin.ProjectID, Method: ident.ByPassword}
	in.door = door
	for _, start := range []func(context.Context) error{in.reg.Start, in.scan.Start, door.Start} {
		if err := start(context.Background()); err != nil && plan.Live() == nil {
			w.t.Fatal(err)
		}
	}
	return in
}

func (in *scanLife) close() {
	in.door.Close()
	_ = in.reg.Close()
}

// push sends the one image, and sends it again however often.
func (in *scanLife) push() error {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range [][2]string{{"etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n"},
		{"var/lib/dpkg/status", "Package: libssl3\nStatus: install ok installed\nSource: openssl\nVersion: 3.0.11-1\n"}} {
		file, text := f[0], f[1]
		if err := w.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		_, _ = w.Write([]byte(text))
	}
	if err := w.Close(); err != nil {
		return err
	}
	im, err := mutate.AppendLayers(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON),
		static.NewLayer(b.Bytes(), types.OCIUncompressedLayer))
	if err != nil {
		return err
	}
	project := string(in.admin.ProjectID)
	ref, err := name.ParseReference("registry.test/" + project + "/web:v1")
	if err != nil {
		return err
	}
	return remote.Write(ref, im, remote.WithTransport(in.reg.Transport(project)), remote.WithRetryBackoff(remote.Backoff{Steps: 1}))
}

// load loads a list of so many flaws.
func (in *scanLife) load(flaws int) error {
	var docs []any
	for i := range flaws {
		docs = append(docs, map[string]any{"id": fmt.Sprintf("CVE-%d", i), "database_specific": map[string]string{"severity": "HIGH"},
			"affected": []any{map[string]any{"package": map[string]string{"ecosystem": "Debian:12", "name": "openssl"},
				"ranges": []any{map[string]any{"type": "ECOSYSTEM", "events": []any{map[string]string{"introduced": "0"}, map[string]string{"fixed": "3.1"}}}}}}})
	}
	b, err := json.Marshal(docs)
	if err != nil {
		return err
	}
	name, _ := json.Marshal(scan.LoadIn{Name: "debian"})
	_, err = in.door.Do(context.Background(), &call.Call{Kind: in.scan.List.D, Verb: "load", In: name, Principal: in.root,
		Stream: kind.Stream{Body: bytes.NewReader(b), Emit: func(any) error { return nil }}})
	return err
}

// state says what is stored: the scans with what they found, the lists with what they hold, and what belongs to neither.
func (in *scanLife) state() (scans []string, entries int, strange string) {
	_ = in.store.View(context.Background(), func(tx store.Tx) error {
		rows, err := in.scan.Scan.List(tx, "", kind.Filter{})
		if err != nil {
			return err
		}
		for _, r := range rows {
			scans = append(scans, fmt.Sprintf("%s %d", r.Status.Verdict, len(r.Status.Findings)))
		}
		lists, err := in.scan.List.List(tx, "-", kind.Filter{})
		if err != nil {
			return err
		}
		held := map[string]int{}
		for k := range tx.Scan("vulnerability/", "") {
			version, _, _ := strings.Cut(strings.TrimPrefix(k, "vulnerability/"), "/")
			held[version]++
		}
		for _, l := range lists {
			if entries += l.Status.Entries; held[string(l.Status.Version)] != l.Status.Entries {
				strange = fmt.Sprintf("list %s says %d flaws and holds %d", l.Name, l.Status.Entries, held[string(l.Status.Version)])
			}
			delete(held, string(l.Status.Version))
		}
		for v, n := range held {
			strange = fmt.Sprintf("%d flaws of %s belong to no list", n, v)
		}
		for k := range tx.Scan("jobdue/", "") {
			strange = "job " + k
		}
		return nil
	})
	return scans, entries, strange
}

// settles waits until the one image was scanned against the list there is.
func (in *scanLife) settles(what string) {
	in.t.Helper()
	why := ""
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		scans, entries, strange := in.state()
		if why = strange; why == "" && (len(scans) != 1 || !strings.HasSuffix(scans[0], fmt.Sprintf(" %d", entries)) || strings.HasPrefix(scans[0], "waiting")) {
			why = fmt.Sprintf("the scans are %q, the list has %d flaws", scans, entries)
		}
		if why == "" {
			return
		}
	}
	in.t.Fatalf("%s: %s", what, why)
}

// TestDieAtEveryMomentOfAScan: an image whose push was acknowledged is scanned, once; a list is there whole or not at all; what
// was scanned before a list changed is scanned again.
func TestDieAtEveryMomentOfAScan(t *testing.T) {
	logrus.SetOutput(io.Discard) // the registry's own log of requests
	const width = 32
	for from := 1; ; from += width {
		fired := make([]bool, width)
		var lives sync.WaitGroup
		for i := range width {
			lives.Go(func() { t.Run(fmt.Sprint(from+i), func(t *testing.T) { fired[i] = dieScanning(t, from+i) }) })
		}
		lives.Wait()
		if slices.Contains(fired, false) || t.Failed() {
			return
		}
		if testing.Short() {
			t.Log("short: the rest of the moments is not swept")
			return
		}
	}
}

func dieScanning(t *testing.T, n int) bool {
	w := &scanned{t: t, store: mem.New(), dir: t.TempDir()}
	plan := fault.At(n, fault.Die)
	in := w.live(plan)
	during, loaded := "", 0
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"the push", in.push},
		{"the first list", func() error { err := in.load(2); loaded = 2; return err }},
		{"the second list", func() error { err := in.load(3); loaded = 3; return err }},
		{"the scan", func() error {
			for plan.Live() == nil {
				if scans, _, _ := in.state(); len(scans) == 1 && strings.HasSuffix(scans[0], " 3") {
					return nil
				}
				time.Sleep(5 * time.Millisecond)
			}
			return nil
		}},
	} {
		if plan.Live() != nil {
			break
		}
		during = step.name
		if err := step.do(); err != nil && plan.Live() == nil {
			t.Fatalf("%s: %v", step.name, err)
		}
	}
	in.close()
	if !plan.Fired() {
		return false
	}
	what := fmt.Sprintf("died during %s, %s", during, plan.Moment())
	in = w.live(fault.Never())
	defer in.close()
	if during == "the push" { // which nobody acknowledged: it is sent again
		if err := in.push(); err != nil {
			t.Fatalf("%s: the push again: %v", what, err)
		}
	}
	in.settles(what)
	if _, entries, _ := in.state(); entries != loaded && entries != max(loaded-1, 0) && !(loaded == 2 && entries == 0) {
		t.Errorf("%s: the list has %d flaws", what, entries)
	}
	if err := in.load(4); err != nil {
		t.Fatalf("%s: another list: %v", what, err)
	}
	in.settles(what + ", then another list")
	err := in.store.View(context.Background(), func(tx store.Tx) error { return countsAreRight(t, tx, w.admin, in.kinds, what) })
	if err != nil {
		t.Error(err)
	}
	return true
}
