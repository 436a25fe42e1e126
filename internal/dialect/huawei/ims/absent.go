package ims

import (
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/kernel/call"
)

// absentRoutes answer what Huawei's API has and this cloud has not: clients read why.
func (a *API) absentRoutes() []route {
	k := a.Images.Images.D
	var out []route
	add := func(method, path, verb, why, next string) {
		out = append(out, route{Method: method, Path: path, Kind: k, Verb: verb, Do: rest.NotOffered(k, verb, why, next)})
	}
	add("POST", "/v1/cloudimages/wholeimages/action", call.Create, "there are no images of whole servers here", "make one of each disk: POST /v2/cloudimages/action with instance_id and data_images")
	add("PUT", "/v1/cloudimages/{image_id}/upload", call.Update, "an image's file is named when it is made", "POST /v2/cloudimages/action with image_url")
	add("POST", "/v1/cloudimages/{image_id}/cross_region_copy", call.Create, "there is one region", "share it, or download it: awan image download")
	for _, v := range []string{"/v1", "/v2.1"} {
		add("POST", v+"/cloudimages/{image_id}/copy", call.Create, "images are not copied", "make one of a volume that was made from it: POST /v2/cloudimages/action with volume_id")
		add("POST", v+"/cloudimages/{image_id}/file", call.Get, "images are not exported into buckets", "download it, then upload the file: awan image download, awan cp")
	}
	return out
}
