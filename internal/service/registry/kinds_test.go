package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// house is a registry whose repositories are rows of a kernel.
type house struct {
	*kerneltest.Kernel
	*Kinds
	t      *testing.T
	r      *Registry
	needed map[string]string
	mu     sync.Mutex // guards now
	now    time.Time
}

func settle(t *testing.T, limits ledger.Limits) *house {
	t.Helper()
	h := &house{t: t, needed: map[string]string{}, now: time.Now()}
	h.Kinds = NewKinds(KindDeps{User: func(tx store.Tx, domain id.ID, who string) (id.ID, error) {
		u, err := h.Ident.Kinds.User.Find(tx, string(domain), who)
		if u == nil || err != nil {
			return "", err
		}
		return u.ID, nil
	}, Needed: func(store.Tx) (map[string]string, error) { return h.needed, nil }})
	h.Kernel = kerneltest.Start(t, limits, h.Kinds.All()...)
	var err error
	h.r, err = New(Options{Dir: t.TempDir(), Host: "registry.test", Store: h.Store, Limits: limits,
		Authorize: func(*http.Request, string, []string) (ident.Principal, error) { return h.Root, nil },
		Project: func(tx store.Tx, project id.ID) (id.ID, error) {
			p, err := h.Ident.Kinds.Project.Get(tx, project)
			if p == nil || err != nil {
				return "", err
			}
			return p.Domain, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.r.Close() })
	h.Serve(h.r)
	h.r.now = func() time.Time { h.mu.Lock(); defer h.mu.Unlock(); return h.now }
	return h
}

func (h *house) later(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

func (h *house) do(k *kind.Def, verb, target, spec string) (call.Reply, error) {
	c := &call.Call{Kind: k, Verb: verb, Target: target, Spec: json.RawMessage(spec), In: json.RawMessage(spec), Principal: h.Root,
		Stream: kind.Stream{Emit: func(any) error { return nil }}}
	if verb == call.Create {
		c.Name, c.Target, c.In = &target, "", nil
	}
	r, err := h.Door.Do(context.Background(), c)
	if err == nil && r.Job != nil {
		j, werr := h.Door.WaitJob(context.Background(), r.Job.ID)
		if err = werr; err == nil && j.Error != nil {
			err = j.Error.Err()
		}
	}
	return r, err
}

func (h *house) push(path string, bytes int64) (v1.Image, error) {
	im, err := random.Image(bytes, 1)
	if err != nil {
		h.t.Fatal(err)
	}
	return im, h.write(path, im)
}

func (h *house) write(path string, im v1.Image) error {
	ref, err := name.ParseReference("registry.test/" + path)
	if err != nil {
		h.t.Fatal(err)
	}
	return remote.Write(ref, im, remote.WithTransport(h.r.Transport("")))
}

func (h *house) row(path string) *RepositoryRow {
	h.t.Helper()
	var p *Place
	err := h.Store.View(context.Background(), func(tx store.Tx) (err error) {
		p, err = h.Place(tx, path)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	if p == nil {
		return nil
	}
	return p.Row
}

// used is the project's quota of storage.
func (h *house) used() int64 {
	var n int64
	_ = h.Store.View(context.Background(), func(tx store.Tx) error {
		all, err := ledger.Used(tx)
		n = all[h.Admin.ProjectID][Storage]
		return err
	})
	return n
}

// TestRepositories: a push makes the row, its bytes are in quota and meter, and are given back with the repository.
func TestRepositories(t *testing.T) {
	h := settle(t, nil)
	project := string(h.Admin.ProjectID)
	if _, err := h.do(h.Organization.D, call.Create, "team", `{"members":{"admin":"write"}}`); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{project + "/web:1": "web", project + "/deep/er:1": project + "/deep/er", "team/shop:1": "team/shop"} {
		if _, err := h.push(path, 3<<20); err != nil {
			t.Fatal(path, err)
		}
		row := h.row(strings.TrimSuffix(path, ":1"))
		if row == nil || row.Name != want || row.Status.Tags != 1 || row.Status.Images != 1 || row.Status.Newest != "1" || row.Status.Bytes < 3<<20 {
			t.Errorf("%s: %+v", path, row)
		}
	}
	if n := h.used(); n != 12 {
		t.Errorf("%d MiB are counted", n)
	}
	if _, err := h.push("nowhere/x:1", 10); err != nil {
		t.Log(err) // the cloud itself may; such a repository has no owner and no row
	}
	h.needed["team/shop@"+digestOf(t, h, "team/shop", "1")] = "component shop"
	if _, err := h.do(h.Repository.D, call.Delete, "team/shop", ""); !fail.Is(err, fail.Precondition) {
		t.Errorf("a repository that a component needs: %v", err)
	}
	if _, err := h.do(h.Repository.D, "delete-image", "team/shop", `{"tag":"`+digestOf(t, h, "team/shop", "1")+`"}`); !fail.Is(err, fail.Precondition) {
		t.Errorf("an image that a component needs: %v", err)
	}
	clear(h.needed)
	if _, err := h.do(h.Organization.D, call.Delete, "team", ""); !fail.Is(err, fail.Precondition) {
		t.Errorf("an organisation that is not empty: %v", err)
	}
	for _, n := range []string{"web", project + "/deep/er", "team/shop"} {
		if _, err := h.do(h.Repository.D, call.Delete, n, ""); err != nil {
			t.Errorf("%s: %v", n, err)
		}
	}
	if n := h.used(); n != 0 {
		t.Errorf("%d MiB are left in the quota", n)
	}
	if images, _ := h.r.Images(context.Background(), "team/shop"); len(images) != 0 {
		t.Errorf("images are left: %v", images)
	}
	for target, spec := range map[string]string{"library": `{}`, "manage": `{}`, "team-2": `{"members":{"nobody":"read"}}`, "team-3": `{"members":{"admin":"own"}}`, "team": `{}`} {
		if _, err := h.do(h.Organization.D, call.Create, target, spec); err == nil {
			t.Errorf("organisation %s %s was made", target, spec)
		}
	}
	for _, bad := range []string{"none/x", project + "/x", "UPPER", "a//b"} {
		if _, err := h.do(h.Repository.D, call.Create, bad, `{}`); !fail.Is(err, fail.Invalid) {
			t.Errorf("repository %s: %v", bad, err)
		}
	}
}

func digestOf(t *testing.T, h *house, repository, tag string) string {
	t.Helper()
	im, err := h.r.Resolve(context.Background(), repository, tag)
	if err != nil {
		t.Fatal(err)
	}
	return im.Digest
}

// TestOverQuota: a push over quota is refused with words that docker shows, and takes nothing.
func TestOverQuota(t *testing.T) {
	h := settle(t, func(d ledger.Dim) (int64, bool) { return 4, d == Storage })
	path := string(h.Admin.ProjectID) + "/web"
	if _, err := h.push(path+":small", 1<<20); err != nil {
		t.Fatal(err)
	}
	for i, size := range []int64{3 << 20, 8 << 20} { // refused at the end, and on the way
		_, err := h.push(fmt.Sprintf("%s:%d", path, i), size)
		if err == nil || !strings.Contains(err.Error(), "DENIED") || !strings.Contains(err.Error(), "registry.storage") {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if n := h.used(); n != 2 {
		t.Errorf("%d MiB are counted after refusals", n)
	}
	if row := h.row(path); row.Status.Tags != 1 {
		t.Errorf("%+v", row.Status)
	}
	if _, err := h.push(path+":fits", 1<<20); err != nil {
		t.Errorf("what fits is refused: %v", err)
	}
}

// TestRetention keeps the newest, what a label or a pattern names, and what a release needs.
func TestRetention(t *testing.T) {
	h := settle(t, nil)
	path := string(h.Admin.ProjectID) + "/web"
	base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var images []Image
	for i := range 6 {
		images = append(images, Image{Tag: fmt.Sprintf("v%d", 6-i), Pushed: base.Add(-time.Duration(i) * 24 * time.Hour)})
	}
	for _, c := range []struct {
		rule RetentionSpec
		gone string
	}{
		{RetentionSpec{Rule: Newest, Number: 4}, "v2 v1"},
		{RetentionSpec{Rule: Newest, Number: 4, Keep: []string{"v6", "v1"}}, ""},
		{RetentionSpec{Rule: Newest, Number: 1, Patterns: []string{"v[1-4]"}}, "v5"},
		{RetentionSpec{Rule: Age, Number: 3}, "v3 v2 v1"},
		{RetentionSpec{Rule: Age, Number: 30}, ""},
	} {
		var gone []string
		for _, im := range surplus(images, c.rule, base) {
			gone = append(gone, im.Tag)
		}
		if got := strings.Join(gone, " "); got != c.gone {
			t.Errorf("%+v removes %q, want %q", c.rule, got, c.gone)
		}
	}
	for i := range 4 {
		if _, err := h.push(fmt.Sprintf("%s:v%d", path, i), 1000); err != nil {
			t.Fatal(err)
		}
	}
	all, err := h.r.Images(context.Background(), path)
	if err != nil || len(all) != 4 {
		t.Fatal(all, err)
	}
	oldest := all[len(all)-1]
	h.needed[path+"@"+oldest.Digest] = "component web"
	r, err := h.do(h.Retention.D, call.Create, "", `{"repository":"web","rule":"newest","number":1}`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.do(h.Retention.D, "run", string(r.Row.M().ID), ""); err != nil {
		t.Fatal(err)
	}
	left, _ := h.r.Images(context.Background(), path)
	if len(left) != 2 || left[1].Tag != oldest.Tag {
		t.Errorf("left: %v", left)
	}
	if row := h.row(path); row.Status.Tags != 2 {
		t.Errorf("%+v", row.Status)
	}
}

// TestReferrers: artifacts about an image are found by it, by type, and stay as long as it does.
func TestReferrers(t *testing.T) {
	h := settle(t, nil)
	ctx := context.Background()
	path := string(h.Admin.ProjectID) + "/web"
	im, err := h.push(path+":v1", 1000)
	if err != nil {
		t.Fatal(err)
	}
	d, _ := im.Digest()
	size, _ := im.Size()
	mt, _ := im.MediaType()
	note, _ := random.Image(100, 1)
	about := mutate.Subject(mutate.ConfigMediaType(note, "application/vnd.example.sbom"), v1.Descriptor{Digest: d, Size: size, MediaType: mt}).(v1.Image)
	ad, _ := about.Digest()
	if err := h.write(path+"@"+ad.String(), about); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h.r)
	defer server.Close()
	for query, want := range map[string]int{"": 1, "?artifactType=application/vnd.example.sbom": 1, "?artifactType=other/type": 0} {
		a, err := http.Get(server.URL + "/v2/" + path + "/referrers/" + d.String() + query)
		if err != nil {
			t.Fatal(err)
		}
		var index v1.IndexManifest
		b, _ := io.ReadAll(a.Body)
		a.Body.Close()
		if err := json.Unmarshal(b, &index); err != nil || len(index.Manifests) != want || (query != "") != (a.Header.Get("OCI-Filters-Applied") != "") {
			t.Errorf("%s: %s", query, b)
		}
	}
	h.later(8 * 24 * time.Hour)
	if _, err := h.r.Collect(ctx, time.Hour); err != nil {
		t.Fatal(err)
	}
	if !h.r.Has(ctx, path, digest.Digest(ad.String())) {
		t.Error("what is about a tagged image was collected")
	}
	if err := h.r.untag(ctx, path, "v1", change{}); err != nil {
		t.Fatal(err)
	}
	h.needed[path+"@"+d.String()] = "component web"
	h.later(8 * 24 * time.Hour)
	if _, err := h.r.Collect(ctx, time.Hour); err != nil || !h.r.Has(ctx, path, digest.Digest(d.String())) {
		t.Errorf("an untagged image that a release needs was collected: %v", err)
	}
	clear(h.needed)
	h.later(8 * 24 * time.Hour)
	if did, err := h.r.Collect(ctx, time.Hour); err != nil || did.Manifests != 2 || h.used() != 0 {
		t.Errorf("%+v %v, %d MiB", did, err, h.used())
	}
}

// TestCollectWhilePushing: what is pushed while the collection runs is whole afterwards.
func TestCollectWhilePushing(t *testing.T) {
	h := settle(t, nil)
	ctx := context.Background()
	project := string(h.Admin.ProjectID)
	shared, err := random.Image(1000, 2) // pushed and deleted again and again: its blobs are what the collection is after
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var pushing sync.RWMutex
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			pushing.Lock() // no push takes longer than the grace: between two, all that was relied on is long past
			h.later(10 * 24 * time.Hour)
			pushing.Unlock()
			if _, err := h.r.Collect(ctx, time.Hour); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var pushers sync.WaitGroup
	broken := make(chan string, 100)
	for i := range 3 {
		pushers.Go(func() {
			for n := range 8 {
				repository := fmt.Sprintf("%s/p%d", project, i)
				pushing.RLock()
				err := h.write(repository+":v", shared)
				pushing.RUnlock()
				if err != nil {
					continue // the client is told, and sends it again
				}
				ref, _ := name.ParseReference("registry.test/" + repository + ":v")
				im, err := remote.Image(ref, remote.WithTransport(h.r.Transport("")))
				if err == nil {
					err = readAll(im)
				}
				if err != nil {
					broken <- fmt.Sprintf("push %d of %s was taken and is not whole: %v", n, repository, err)
				}
				d, _ := shared.Digest()
				if err := h.r.Delete(ctx, repository, d.String()); err != nil {
					broken <- err.Error()
				}
			}
		})
	}
	pushers.Wait()
	close(stop)
	wg.Wait()
	close(broken)
	for b := range broken {
		t.Error(b)
	}
}

func readAll(im v1.Image) error {
	layers, err := im.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		b, err := l.Compressed()
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, b); err != nil {
			return err
		}
		b.Close()
	}
	return nil
}
