package s3

import "github.com/awancloud/awan/internal/kernel/fail"

// absent refuses what OBS's clients ask for by a parameter beside an operation, and this cloud does not have: without this it
// would be forgotten.
func (r *request) absent() error {
	switch {
	case r.ext("Callback") != "" && (r.ext("Copy-Source") != "" || r.q.Has("append") || r.q.Has("modify")):
		return refuse("NotImplemented", fail.Unsupported, "callbacks follow PutObject, CompleteMultipartUpload and forms only").Then("use a notification of ObjectCreated:*")
	case r.q.Has("x-image-process"):
		return refuse("NotImplemented", fail.Unsupported, "images are not processed here").Then("store them in the sizes that are needed")
	case r.q.Has("x-obs-accesslabel"):
		return refuse("NotImplemented", fail.Unsupported, "access labels of folders are not offered").Then("say who may do what in the bucket's policy, by prefix")
	}
	return nil
}
