package rest

import (
	"strings"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// Guard lets nobody learn what is wrong with a request who may not send it, or about a thing that is not there: handlers
// read bodies before they ask the door. path is the route's, whose first placeholder is the row of kind k.
func Guard(x *Exchange, k *kind.Def, verb, path string, err error) error {
	if k == nil || !fail.Is(err, fail.Invalid) {
		return err
	}
	if e := Permitted(x, k, verb); fail.Is(e, fail.Denied) || fail.Is(e, fail.NotFound) || fail.Is(e, fail.Unauthenticated) {
		return e
	}
	_, rest, ok := strings.Cut(path, "{")
	name, _, closed := strings.Cut(rest, "}")
	if !ok || !closed || k.Scope != kind.InProject {
		return err
	}
	if _, e := Do(x, k, call.Get, x.Param(name), nil); fail.Is(e, fail.NotFound) || fail.Is(e, fail.Denied) {
		return e
	}
	return err
}
