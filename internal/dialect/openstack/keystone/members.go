package keystone

import (
	"slices"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// Join puts a user into a group; one that is in it stays.
func Join(x *wire.Exchange, user, group string) error {
	return changeGroups(x, user, func(in []string) ([]string, error) {
		if slices.Contains(in, group) {
			return in, nil
		}
		return append(slices.Clone(in), group), nil
	})
}

// Leave takes a user out of a group; one that is not in it gives fail.NotFound.
func Leave(x *wire.Exchange, user, group string) error {
	u, err := wire.Get(x, x.API.Kinds.User, user)
	if err != nil {
		return err
	}
	g, err := wire.Get(x, x.API.Kinds.Group, group)
	if err != nil {
		return err
	}
	return changeGroups(x, user, func(in []string) ([]string, error) {
		if !slices.Contains(in, string(g.ID)) {
			return nil, notMember(&u.Meta, &g.Meta)
		}
		return slices.DeleteFunc(slices.Clone(in), func(s string) bool { return s == string(g.ID) }), nil
	})
}

// changeGroups edits the groups a user is in, again where somebody else changed the user meanwhile.
func changeGroups(x *wire.Exchange, user string, edit func([]string) ([]string, error)) error {
	for try := 0; ; try++ {
		u, err := wire.Get(x, x.API.Kinds.User, user)
		if err != nil {
			return err
		}
		groups, err := edit(u.Spec.Groups)
		if err != nil {
			return err
		}
		_, err = x.Do(x.API.Kinds.User.D, call.Update, string(u.ID), func(c *call.Call) {
			c.IfRevision, c.Spec = u.Revision, wire.Spec{"groups": groups}.JSON()
		})
		if !fail.Is(err, fail.Conflict) || try == 5 {
			return wire.Named(err)
		}
	}
}
