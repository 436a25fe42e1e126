package security_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/dialect/huawei/ecs"
	"github.com/awancloud/awan/internal/dialect/huawei/evs"
	"github.com/awancloud/awan/internal/dialect/huawei/ims"
	"github.com/awancloud/awan/internal/dialect/huawei/kps"
	"github.com/awancloud/awan/internal/dialect/openstack/cinder"
	"github.com/awancloud/awan/internal/dialect/openstack/glance"
	"github.com/awancloud/awan/internal/dialect/openstack/nova"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// machineDialects are the APIs of servers, disks, images and key pairs, in OpenStack's words and in Huawei's, and what placeholders of their
// paths stand for.
func (v *town) machineDialects(o wire.Options) map[string][]wire.Route {
	m := v.IaaS
	return map[string][]wire.Route{
		"/compute": nova.New(nova.Options{Options: o, Compute: m.Servers, KeyPairs: m.Keypairs.D, Images: m.Images, Cards: nova.Networks(m.Networks)}).Routes(),
		"/volume":  cinder.New(cinder.Options{Options: o, Volumes: m.Volumes, Zone: m.Zone(), Host: m.HostName}).Routes(),
		"/image":   glance.New(glance.Options{Options: o, Images: m.Images}).Routes(),
		"/ecs":     ecs.New(ecs.Options{Door: o.Door, Auth: o.Auth, Region: o.Region, Compute: m.Servers, Network: m.Networks, KeyPair: m.Keypairs.D}).Routes(),
		"/evs":     evs.New(evs.Options{Door: o.Door, Auth: o.Auth, Region: o.Region, Volumes: m.Volumes}).Routes(),
		"/ims":     ims.New(ims.Options{Door: o.Door, Auth: o.Auth, Region: o.Region, Images: m.Images, Compute: m.Servers}).Routes(),
		"/kms":     kps.New(kps.Options{Door: o.Door, Auth: o.Auth, Region: o.Region, KeyPair: m.Keypairs.D}).Routes(),
	}
}

// named gives the placeholders their values.
func (v *town) named(path string) string {
	dashed := func(k string) string { return id.ID(v.rows[k]).Dashed() }
	return strings.NewReplacer("{project_id}", v.project, "{target_project_id}", v.project, "{quota_project}", v.project, "{usage_project}", v.project, "{member_id}", v.project,
		"{server_id}", dashed("compute/server"), "{server_group_id}", dashed("compute/server-group"), "{flavor_id}", "s6.small.1", "{keypair_name}", "door",
		"{volume_id}", dashed("volume/volume"), "{snapshot_id}", dashed("volume/snapshot"), "{transfer_id}", dashed("volume/volume-transfer"), "{type_id}", dashed("volume/volume-type"),
		"{image_id}", dashed("image/image"), "{port_id}", dashed("network/port"), "{nic_id}", dashed("network/port"), "{attachment_id}", strings.Repeat("0", 32),
		"{launch_template_id}", "x", "{request_id}", "req-x", "{id}", "x", "{job_id}", strings.Repeat("0", 32), "{key}", "role", "{tag}", "1", "{network}", "web",
		"{class}", "default", "{alias}", "os-keypairs", "{hypervisor_id}", "1", "{schema}", "image").Replace(path)
}

// coverMachines: whose project a token is for decides, in these APIs, which rows a list shows: mallory's are empty. What a path names is there for
// its owners only.
func (v *town) coverMachines(t *testing.T, o wire.Options) {
	for prefix, routes := range v.machineDialects(o) {
		t.Run(prefix[1:], func(t *testing.T) {
			v.t = t
			for _, r := range routes {
				if r.Open {
					continue
				}
				path, body := prefix+v.named(r.Path), ""
				if strings.ContainsAny(path, "{}") {
					t.Errorf("%s %s: there is no value for a placeholder", r.Method, r.Path)
					continue
				}
				if r.Method != http.MethodGet && r.Method != http.MethodDelete {
					body = "{}"
				}
				v.coverMachine(r, path, body)
			}
			t.Logf("%d routes", len(routes))
		})
	}
}

// absent is what those get who may look at a row, and take something away from it that it does not have.
func absent(r wire.Route) []int {
	if r.Method == http.MethodDelete && strings.HasSuffix(r.Path, "}") && strings.Count(strings.TrimPrefix(r.Path, "/v3/{project_id}"), "{") > 1 {
		return []int{404}
	}
	return nil
}

func (v *town) coverMachine(r wire.Route, path, body string) {
	v.t.Helper()
	var header []string
	if strings.HasPrefix(path, "/ims/") { // its clients name the project so
		header = []string{"X-Project-Id", v.project}
	}
	try := func(person string, want ...int) { v.try(attempt{person, r.Method, path, body, header, want}) }
	try(nobody, 401)
	switch {
	case strings.Contains(r.Path, "{quota_project}"), strings.Contains(r.Path, "{usage_project}"): // the ledger's, no kind's
		try(fresh, 403)
		try(mallory, 404, 403)
		if r.Method != http.MethodGet {
			try(reader, 403)
		}
		return
	case strings.Contains(r.Path, "os-hypervisors"), strings.Contains(r.Path, "/os-services"), strings.HasSuffix(r.Path, "os-availability-zone/detail"): // for operators
		for _, person := range []string{fresh, mallory, reader} {
			try(person, 403, 404)
		}
		return
	case r.Kind == nil:
		return
	}
	try(fresh, 403)
	if writes(v.t, r.Kind, r.Verb) {
		try(reader, append([]int{403}, absent(r)...)...)
	}
	named := strings.Contains(r.Path, "{")
	switch {
	case r.Kind.Scope == kind.InCloud && !writes(v.t, r.Kind, r.Verb):
		try(mallory, 200, 404)
	case r.Kind.Scope == kind.InCloud:
		try(mallory, 403, 404)
	case named:
		try(mallory, 404)
	default: // hers: a list that is empty, or a request for which something is missing
		got := v.ask(r.Method, path, body, "X-Auth-Token", v.token[mallory])
		if got.status >= 500 {
			v.t.Errorf("%s %s as mallory: %d\n  %s", r.Method, path, got.status, got.body)
		}
		for k, row := range v.rows {
			if v.Door.KindOf(k).Scope == kind.InProject && (strings.Contains(got.body, row) || strings.Contains(got.body, id.ID(row).Dashed())) {
				v.t.Errorf("%s %s shows the victim's %s to mallory: %s", r.Method, path, k, got.body)
			}
		}
	}
}
