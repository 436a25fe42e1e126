package keystone

import (
	"errors"
	"io"
	"net/http"
	"slices"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// Plain reads a body that is not wrapped in a name into v; no body reads as an empty one.
func (x *Exchange) Plain(v any) error {
	b, err := io.ReadAll(http.MaxBytesReader(x.W, x.R.Body, MaxBody))
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return fail.New(fail.TooLarge, "the body is larger than %d bytes", MaxBody)
	}
	if err != nil {
		return fail.Wrap(err, fail.Invalid, "the body could not be read to its end")
	}
	return kind.DecodeStrict(b, v, "", kind.FieldsOf(v))
}

// Join puts a user into a group; one that is in it stays.
func (x *Exchange) Join(user, group string) error {
	return x.changeGroups(user, func(in []string) ([]string, error) {
		if slices.Contains(in, group) {
			return in, nil
		}
		return append(slices.Clone(in), group), nil
	})
}

// Leave takes a user out of a group; one that is not in it gives fail.NotFound.
func (x *Exchange) Leave(user, group string) error {
	u, err := Get(x, x.API.Kinds.User, user)
	if err != nil {
		return err
	}
	g, err := Get(x, x.API.Kinds.Group, group)
	if err != nil {
		return err
	}
	return x.changeGroups(user, func(in []string) ([]string, error) {
		if !slices.Contains(in, string(g.ID)) {
			return nil, notMember(&u.Meta, &g.Meta)
		}
		return slices.DeleteFunc(slices.Clone(in), func(s string) bool { return s == string(g.ID) }), nil
	})
}
