package rest

import (
	"net/http"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// Metadata are the words that clients keep with the rows of a kind, in its spec's field of that name.
type Metadata struct {
	D     *kind.Def
	Param string // the row's id in paths
	Of    func(kind.AnyRow) map[string]string
	// Dropped is the status of an answer to a word's deletion.
	Dropped int
}

// MetadataRoute is one of the paths below a row.
type MetadataRoute struct {
	Method, Path, Verb string
	Do                 func(*Exchange) error
}

// Routes are the paths below a row, the same in Nova and Cinder.
func (m Metadata) Routes() []MetadataRoute {
	return []MetadataRoute{
		{"GET", "/metadata", call.Get, m.show},
		{"POST", "/metadata", call.Update, func(x *Exchange) error { return m.put(x, false) }},
		{"PUT", "/metadata", call.Update, func(x *Exchange) error { return m.put(x, true) }},
		{"GET", "/metadata/{key}", call.Get, m.showOne},
		{"PUT", "/metadata/{key}", call.Update, m.putOne},
		{"DELETE", "/metadata/{key}", call.Update, m.drop},
	}
}

func (m Metadata) get(x *Exchange) (map[string]string, error) {
	r, err := Do(x, m.D, call.Get, x.Param(m.Param), nil)
	if err != nil {
		return nil, err
	}
	return Words(m.Of(r.Row)), nil
}

func (m Metadata) set(x *Exchange, p map[string]any) (map[string]string, error) {
	r, err := Change(x, m.D, call.Update, x.Param(m.Param), func(c *call.Call) { c.Spec = Spec{"metadata": p}.JSON() })
	if err != nil {
		return nil, err
	}
	return Words(m.Of(r)), nil
}

func (m Metadata) show(x *Exchange) error {
	all, err := m.get(x)
	if err != nil {
		return err
	}
	return Write(x, http.StatusOK, "metadata", all)
}

func (m Metadata) put(x *Exchange, whole bool) error {
	var in map[string]string
	if err := Body(x, "metadata", &in); err != nil {
		return err
	}
	now, err := m.get(x)
	if err != nil {
		return err
	}
	all, err := m.set(x, Patch(now, in, whole))
	if err != nil {
		return err
	}
	return Write(x, http.StatusOK, "metadata", all)
}

// one reads the word that the path names.
func (m Metadata) one(x *Exchange) (key, value string, err error) {
	key = x.Param("key")
	all, err := m.get(x)
	if err != nil {
		return key, "", err
	}
	value, ok := all[key]
	if !ok {
		return key, "", fail.New(fail.NotFound, "Metadata item was not found").Then("the %s has no %q", m.D.Name, key)
	}
	return key, value, nil
}

func (m Metadata) showOne(x *Exchange) error {
	key, value, err := m.one(x)
	if err != nil {
		return err
	}
	return Write(x, http.StatusOK, "meta", map[string]string{key: value})
}

func (m Metadata) putOne(x *Exchange) error {
	var in map[string]string
	if err := Body(x, "meta", &in); err != nil {
		return err
	}
	key := x.Param("key")
	value, ok := in[key]
	if !ok || len(in) != 1 {
		return fail.Field("meta", "it must hold the key of the path, %q, and no other", key)
	}
	if _, err := m.set(x, map[string]any{key: value}); err != nil {
		return err
	}
	return Write(x, http.StatusOK, "meta", in)
}

func (m Metadata) drop(x *Exchange) error {
	key, _, err := m.one(x)
	if err != nil {
		return err
	}
	if _, err := m.set(x, map[string]any{key: nil}); err != nil {
		return err
	}
	x.W.WriteHeader(m.Dropped)
	return nil
}
