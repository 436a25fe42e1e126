package ims

import (
	"maps"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/kernel/call"
)

func (a *API) placeRoutes() []route {
	k := a.Images.Images.D
	return []route{
		{Method: "GET", Path: "/v1/cloudimages/quota", Kind: k, Verb: call.List, Alias: "ims:quotas:get", Do: a.quota},
		{Method: "GET", Path: "/v1/cloudimages/os_version", Kind: k, Verb: call.List, Alias: "ims:images:listOsVersions", Do: a.versions},
	}
}

// quota tells how many images a project may have, and has; -1 is no limit.
func (a *API) quota(x *exchange) error {
	if err := rest.May(x, a.Images.Images.D, call.List, "*"); err != nil {
		return err
	}
	c := x.Call
	quotas, err := a.Door.Quotas(x.R.Context(), &c)
	if err != nil {
		return err
	}
	limit, used := int64(-1), int64(0)
	for _, q := range quotas {
		if q.Dim == "image.images" {
			limit, used = q.Limit, q.Used
		}
	}
	return rest.OK(x, map[string]any{"quotas": map[string]any{"resources": []any{map[string]any{"type": "image", "used": used, "quota": limit, "min": 0, "max": limit}}}})
}

// versions lists the systems that images of this cloud say they hold.
func (a *API) versions(x *exchange) error {
	rows, _, err := a.visible(x)
	if err != nil {
		return err
	}
	of := map[string]map[string]string{} // platform → version → family
	for _, r := range rows {
		if r.Spec.OSVersion == "" {
			continue
		}
		p := platform(r)
		if of[p] == nil {
			of[p] = map[string]string{}
		}
		of[p][r.Spec.OSVersion] = r.Spec.OSType
	}
	out := []any{}
	for _, p := range slices.Sorted(maps.Keys(of)) {
		list := []any{}
		for _, v := range slices.Sorted(maps.Keys(of[p])) {
			list = append(list, map[string]any{"platform": p, "os_version_key": v, "os_version": v, "os_bit": 64, "os_type": strings.ToUpper(of[p][v][:1]) + of[p][v][1:]})
		}
		out = append(out, map[string]any{"platform": p, "version_list": list})
	}
	return rest.OK(x, out)
}
