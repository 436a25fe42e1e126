package s3

import (
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// absent refuses what OBS's clients ask for by a header or a name alone, and this cloud does not have: without this a fetch
// policy would be stored as an object, and a callback forgotten.
func (r *request) absent() error {
	switch {
	case strings.EqualFold(r.ext("Oef-Marker"), "yes"):
		return refuse("NotImplemented", fail.Unsupported, "fetch policies and fetch jobs are not offered").
			Then("use a mirror rule (?mirrorBackToSource): what is not there is fetched when somebody asks for it")
	case r.ext("Callback") != "":
		return refuse("NotImplemented", fail.Unsupported, "callbacks after an upload are not offered").Then("use a notification of ObjectCreated:*")
	case r.q.Has("x-image-process"):
		return refuse("NotImplemented", fail.Unsupported, "images are not processed here").Then("store them in the sizes that are needed")
	case r.q.Has("x-obs-accesslabel"):
		return refuse("NotImplemented", fail.Unsupported, "access labels of folders are not offered").Then("say who may do what in the bucket's policy, by prefix")
	}
	return nil
}
