package rest

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Request is an exchange with the microversion that it asks for.
type Request struct {
	*Exchange
	Minor int
	users map[string]string
}

// Since tells whether the client speaks a microversion or a newer one.
func (x *Request) Since(minor int) bool { return x.Minor >= minor }

// View reads in one look at the store.
func (x *Request) View(fn func(tx store.Tx) error) error {
	return x.API.Door.Store.View(x.R.Context(), fn)
}

// List answers with a list, and the address of the next page where more follows after the entry called last.
func (x *Request) List(plural string, items []any, more bool, last string) error {
	if items == nil {
		items = []any{}
	}
	out := map[string]any{plural: items}
	if more {
		out[plural+"_links"] = []token.Link{{Rel: "next", Href: x.API.Base(x.R) + Next(x.Exchange, last)}}
	}
	wire.Write(x.W, http.StatusOK, out)
	return nil
}

// User is the id of who made a row; its name where that user is gone.
func (x *Request) User(m *kind.Meta) string {
	if u, ok := x.users[m.CreatedBy]; ok {
		return u
	}
	out := m.CreatedBy
	_ = x.View(func(tx store.Tx) error {
		u, err := x.API.Kinds.User.Find(tx, string(m.Domain), m.CreatedBy)
		if u != nil {
			out = string(u.ID)
		}
		return err
	})
	if x.users == nil {
		x.users = map[string]string{}
	}
	x.users[m.CreatedBy] = out
	return out
}

// Actions are what POST …/action does with a thing, by the names under which their input stands; X is the service's request.
type Actions[X any] map[string]func(x X, in json.RawMessage) error

// Do does the one action that a body names. there looks for the thing that it would be done to; why says what else there is no action for.
func (a Actions[X]) Do(x X, body Object, there func() error, why string) error {
	for name, in := range body {
		if do := a[name]; do != nil && len(body) == 1 {
			return do(x, in)
		}
	}
	if err := there(); err != nil {
		return err
	}
	known := strings.Join(slices.Sorted(maps.Keys(a)), ", ")
	if len(body) != 1 {
		return fail.New(fail.Invalid, "the body must hold one action").Then("send one of %s", known)
	}
	return fail.New(fail.Invalid, "there is no such action: %s", slices.Collect(maps.Keys(body))[0]).Then("this cloud has %s%s", known, why)
}

// Decode reads an action's input, which stood under name; none reads as an empty one.
func Decode(in json.RawMessage, name string, v any) error {
	if len(in) == 0 || string(in) == "null" {
		return nil
	}
	return kind.DecodeStrict(in, v, name, kind.FieldsOf(v))
}
