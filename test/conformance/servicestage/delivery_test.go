package servicestage_test

import (
	"context"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sirupsen/logrus"

	"github.com/awancloud/awan/internal/cloud"
	"github.com/awancloud/awan/internal/engine/workload/sim"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/registry"
)

// stored finds images in the registry alone.
type stored struct {
	images
	registry *registry.Registry
}

func (s stored) Resolve(ctx context.Context, project id.ID, image string) (string, error) {
	return s.registry.Locate(ctx, project, image)
}

// openRegistry opens a cloud that runs what is in its registry, and may push to others on this machine.
func openRegistry(t *testing.T) *stage {
	t.Helper()
	logrus.SetOutput(io.Discard) // the registry library's own request log
	s := openWith(t, func(o *cloud.Options) {
		o.WebhookAllow = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		o.Engines = func(_ context.Context, c *cloud.Cloud) (cloud.Engines, error) {
			e := sim.New(sim.Options{})
			return cloud.Engines{Workload: e, Builder: stored{registry: c.Registry}, Close: e.Close}, nil
		}
	})
	s.ask("POST", "/v2/manage/namespaces", object{"namespace": "team"}, 201)
	return s
}

// push stores a random image and gives its digest.
func (s *stage) push(image string) string {
	s.t.Helper()
	im, err := random.Image(512, 2)
	if err != nil {
		s.t.Fatal(err)
	}
	ref, err := name.ParseReference(s.Registry.Host() + "/" + image)
	if err == nil {
		err = remote.Write(ref, im, remote.WithTransport(s.Registry.Transport("")))
	}
	d, derr := im.Digest()
	if err != nil || derr != nil {
		s.t.Fatal(err, derr)
	}
	return d.String()
}

// TestAPushIsReleased by a trigger, as often as it fits, and never what was there before.
func TestAPushIsReleased(t *testing.T) {
	s := openRegistry(t)
	repo, components := "/v2/manage/namespaces/team/repos/shop", "/awan/v1/projects/"+s.project+"/app/components"
	first := s.push("team/shop:v1")
	s.ask("POST", components, object{"name": "shop", "spec": object{"source": object{"image": "team/shop:v1"}, "probe": object{"type": "none"}}}, 202)
	runs := func(digest string) func() bool {
		return func() bool {
			r := s.ask("GET", components+"/shop", nil, 200)["resource"].(object)
			return r["state"] == "active" && strings.HasSuffix(r["status"].(object)["image"].(string), digest)
		}
	}
	s.until("first release", runs(first))
	trigger := object{"action": "update", "app_type": "deployments", "application": "shop", "cluster_ns": "default", "condition": "v[0-9]+", "enable": "true", "name": "live",
		"trigger_mode": "cce", "trigger_type": "regular"}
	for field, wrong := range map[string]string{"application": "none", "condition": "v[", "trigger_type": "most", "app_type": "statefulsets", "trigger_mode": "cci", "enable": "yes"} {
		bad := object{}
		for k, v := range trigger {
			bad[k] = v
		}
		bad[field] = wrong
		if e := s.ask("POST", repo+"/triggers", bad, 400); !strings.Contains(e["error_msg"].(string), field) {
			t.Errorf("%s: %v", field, e)
		}
	}
	s.ask("POST", repo+"/triggers", trigger, 201)
	s.ask("POST", repo+"/triggers", trigger, 409)
	s.push("team/shop:latest") // does not fit
	second := s.push("team/shop:v2")
	s.until("release of the push", runs(second))
	if is := s.spec(components + "/shop")["source"].(object)["image"]; is != "team/shop:v2@"+second {
		t.Errorf("source: %v", is)
	}
	var is object
	s.until("history", func() bool {
		is = s.ask("GET", repo+"/triggers/live", nil, 200)
		h := is["trigger_history"].(list)
		return len(h) == 1 && h[0].(object)["tag"] == "v2" && h[0].(object)["result"] == "success"
	})
	s.has(is, "application", "shop", "enable", "true", "condition", "v[0-9]+", "trigger_type", "regular", "cluster_ns", "default")
	releases := s.ask("GET", "/awan/v1/projects/"+s.project+"/app/releases", nil, 200)["items"].(list)
	if len(releases) != 2 {
		t.Errorf("%d releases", len(releases))
	}
	moved := s.push("team/shop:v2") // the same tag, another image
	s.until("release of the moved tag", runs(moved))
	s.ask("PATCH", repo+"/triggers/live", object{"enable": "false"}, 201)
	s.push("team/shop:v3")
	s.ask("PATCH", repo+"/triggers/live", object{"enable": "true"}, 201)
	last := s.push("team/shop:v4")
	s.until("release once it is on again", runs(last))
	s.ask("DELETE", repo+"/triggers/live", nil, 204)
	s.ask("GET", repo+"/triggers/live", nil, 404)
}

// TestImagesAreCopied to another organisation, and to another cloud beside this one.
func TestImagesAreCopied(t *testing.T) {
	here, there := openRegistry(t), openRegistry(t)
	repo := "/v2/manage/namespaces/team/repos/shop"
	has := func(s *stage, repository, tag, digest string) func() bool {
		return func() bool {
			im, err := s.Registry.Resolve(t.Context(), repository, tag)
			return err == nil && im.Digest == digest
		}
	}
	old := here.push("team/shop:v1")
	to := func(region, organization string, more object) object {
		b := object{"remoteRegionId": region, "remoteNamespace": organization}
		for k, v := range more {
			b[k] = v
		}
		return b
	}
	auto := object{"syncAuto": true}
	for region, words := range map[string]string{"cn-north-4": "this cloud is one region", cloud.DefaultRegion: "no organisation"} {
		if e := here.ask("POST", repo+"/sync_repo", to(region, "mirror", auto), 400); !strings.Contains(e["error_msg"].(string), words) {
			t.Errorf("%s: %v", region, e)
		}
	}
	remotes := "/awan/v1/projects/" + here.project + "/registry/remote-registries"
	elsewhere := object{"url": there.URL(), "username": there.admin["AWAN_ACCESS_KEY"], "password": there.admin["AWAN_SECRET_KEY"], "ca": string(there.CA.Certificate())}
	here.ask("POST", remotes, object{"name": "north", "spec": elsewhere}, 201)
	wrong := object{"url": there.URL(), "username": "admin", "password": "guess", "ca": string(there.CA.Certificate())}
	here.ask("POST", remotes, object{"name": "locked", "spec": wrong}, 201)
	here.ask("POST", "/v2/manage/namespaces", object{"namespace": "mirror"}, 201)
	here.ask("POST", repo+"/sync_repo", to("north", "team", auto), 200)
	here.ask("POST", repo+"/sync_repo", to(cloud.DefaultRegion, "mirror", auto), 200)

	fresh := here.push("team/shop:v2")
	here.until("copy in another organisation", has(here, "mirror/shop", "v2", fresh))
	here.until("copy in another cloud", has(there, "team/shop", "v2", fresh))
	if has(there, "team/shop", "v1", old)() {
		t.Error("what was pushed before is copied")
	}
	here.ask("POST", repo+"/sync_images", to("north", "team", object{"imageTag": list{"v1"}}), 200)
	here.until("copy that was asked for", has(there, "team/shop", "v1", old))
	here.ask("POST", repo+"/sync_images", to("north", "team", object{"imageTag": list{"none"}}), 404)

	theirs := there.push("team/shop:v3")
	ours := here.push("team/shop:v3")
	job := func(region, tag string) string {
		for _, j := range here.list(repo + "/sync_job?filter=limit::100|offset::0") {
			if j.(object)["remoteRegionId"] == region && j.(object)["tag"] == tag {
				return j.(object)["status"].(string)
			}
		}
		return ""
	}
	here.until("word that the tag there stays", func() bool { return job("north", "v3") == "existed" })
	if !has(there, "team/shop", "v3", theirs)() {
		t.Error("the tag there was overwritten")
	}
	here.ask("POST", repo+"/sync_images", to("north", "team", object{"imageTag": list{"v3"}, "override": true}), 200)
	here.until("copy over it", has(there, "team/shop", "v3", ours))

	here.ask("POST", repo+"/sync_images", to("locked", "team", object{"imageTag": list{"v2"}}), 200)
	here.until("refusal", func() bool { return job("locked", "v2") == "failed" })
	for _, r := range here.ask("GET", "/awan/v1/projects/"+here.project+"/registry/image-syncs", nil, 200)["items"].(list) {
		last, _ := r.(object)["status"].(object)["last"].(string)
		if strings.HasPrefix(r.(object)["status"].(object)["target"].(string), "locked") && !strings.Contains(last, "does not take team/shop") {
			t.Errorf("last: %s", last)
		}
	}
	if n := len(here.list(repo + "/sync_repo")); n != 2 {
		t.Errorf("%d syncs", n)
	}
	here.ask("DELETE", repo+"/sync_repo", to("north", "team", nil), 200)
	here.ask("DELETE", repo+"/sync_repo", to("north", "team", nil), 404)
	if n := len(here.list(repo + "/sync_repo")); n != 1 {
		t.Errorf("%d syncs", n)
	}
}
