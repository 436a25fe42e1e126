package bucket

import (
	"errors"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// coded is a failure with the word that object stores have for it.
type coded struct {
	err  *fail.Error
	code string
}

func (c *coded) Error() string { return c.err.Error() }
func (c *coded) Unwrap() error { return c.err }

// CodeOf gives the word that object stores have for a failure (NoSuchKey); "" where the kind of failure says all.
func CodeOf(err error) string {
	var c *coded
	if errors.As(err, &c) {
		return c.code
	}
	return ""
}

func failed(code string, e *fail.Error) error { return &coded{e, code} }

func noSuchBucket(name string) error {
	return failed("NoSuchBucket", fail.New(fail.NotFound, "there is no bucket %q", name).Then("see awan bucket list"))
}

func noSuchKey(key string) error {
	return failed("NoSuchKey", fail.New(fail.NotFound, "there is no object %q", key).Then("list the bucket to see what is in it"))
}

func noSuchVersion(key, version string) error {
	return failed("NoSuchVersion", fail.New(fail.NotFound, "object %q has no version %s", key, version).Then("list its versions"))
}

func noSuchUpload(upload string) error {
	return failed("NoSuchUpload", fail.New(fail.NotFound, "there is no upload %s of this object: it was completed or aborted, or never begun", upload).
		Then("begin a new one"))
}

func badDigest(what string) error {
	return failed("BadDigest", fail.New(fail.Invalid, "the content has another %s than the one sent with it", what).Then("send it again"))
}

func preconditionFailed(header string) error {
	return failed("PreconditionFailed", fail.New(fail.Precondition, "the object is not as %s says", header).Then("read it again"))
}
