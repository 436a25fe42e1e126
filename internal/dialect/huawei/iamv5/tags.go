package iamv5

import (
	"maps"
	"net/http"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

func tagRoutes(a *wire.API) []wire.Route {
	k, all := a.Kinds.User.D, "/v5/{resource_type}/{resource_id}/tags"
	return []wire.Route{
		{Method: "GET", Path: all, Kind: k, Verb: call.Get, Do: listTags},
		{Method: "POST", Path: all + "/create", Kind: k, Verb: call.Update, Do: setTags},
		{Method: "DELETE", Path: all + "/delete", Kind: k, Verb: call.Update, Do: removeTags},
		{Method: "POST", Path: all + "/delete", Kind: k, Verb: call.Update, Do: removeTags}, // which the Terraform provider sends too
	}
}

// tagged reads the row whose tags are asked for.
func tagged(x *wire.Exchange) (*kind.Def, kind.AnyRow, error) {
	of := x.Param("resource_type")
	for _, s := range subjects(x.API) {
		if s.name == of && s.name != "group" {
			row, err := x.Do(s.kind, call.Get, x.Param("resource_id"), nil)
			return s.kind, row, err
		}
	}
	return nil, nil, fail.New(fail.NotFound, "nothing of the type %q has tags here", of).Then("use user or agency")
}

func listTags(x *wire.Exchange) error {
	_, row, err := tagged(x)
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusOK, map[string]any{"tags": tagsOf(row.M())})
	return nil
}

// changeTags edits the tags of the path's row, again where somebody else changed it meanwhile.
func changeTags(x *wire.Exchange, edit func(map[string]string) error) (kind.AnyRow, error) {
	for try := 0; ; try++ {
		k, row, err := tagged(x)
		if err != nil {
			return nil, err
		}
		tags := maps.Clone(row.M().Tags)
		if tags == nil {
			tags = map[string]string{}
		}
		if err := edit(tags); err != nil {
			return nil, err
		}
		now, err := x.Do(k, call.Update, string(row.M().ID), func(c *call.Call) { c.IfRevision, c.Tags = row.M().Revision, &tags })
		if !fail.Is(err, fail.Conflict) || try == 5 {
			return now, err
		}
	}
}

func setTags(x *wire.Exchange) error {
	var b struct {
		Tags []tag `json:"tags"`
	}
	if err := x.Plain(&b); err != nil {
		return err
	}
	row, err := changeTags(x, func(tags map[string]string) error {
		for _, t := range b.Tags {
			if err := plainKey(t.Key); err != nil {
				return err
			}
			tags[t.Key] = t.Value
		}
		return nil
	})
	if err != nil {
		return err
	}
	wire.Write(x.W, http.StatusCreated, map[string]any{"tags": tagsOf(row.M())})
	return nil
}

func plainKey(key string) error {
	if len(key) >= len(Hidden) && key[:len(Hidden)] == Hidden {
		return fail.Field("tags", "keys that begin with %s are the cloud's own", Hidden)
	}
	return nil
}

// removeTags takes a list of keys; keys that are not there are no fault.
func removeTags(x *wire.Exchange) error {
	k, row, err := tagged(x)
	if err != nil {
		return err
	}
	if err := Ask(x, k, call.Update, row.M().Domain); err != nil {
		return err
	}
	var keys []string
	if err := x.Plain(&keys); err != nil {
		return err
	}
	_, err = changeTags(x, func(tags map[string]string) error {
		for _, key := range keys {
			if err := plainKey(key); err != nil {
				return err
			}
			delete(tags, key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if x.R.Method == http.MethodPost {
		return done(x)
	}
	return x.NoContent()
}
