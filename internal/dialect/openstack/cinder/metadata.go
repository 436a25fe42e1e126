package cinder

import (
	"net/http"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// keeper is a kind of rows whose spec has metadata.
type keeper struct {
	d     *kind.Def
	param string // the id's name in paths
	of    func(kind.AnyRow) map[string]string
}

func sameID(text string, m *kind.Meta) bool {
	i, ok := id.Parse(text)
	return ok && i == m.ID
}

func metadataRoutes(under string, k keeper) []route {
	return []route{
		{"GET", under + "/metadata", k.d, call.Get, k.show},
		{"POST", under + "/metadata", k.d, call.Update, func(x *exchange) error { return k.put(x, false) }},
		{"PUT", under + "/metadata", k.d, call.Update, func(x *exchange) error { return k.put(x, true) }},
		{"GET", under + "/metadata/{key}", k.d, call.Get, k.showOne},
		{"PUT", under + "/metadata/{key}", k.d, call.Update, k.putOne},
		{"DELETE", under + "/metadata/{key}", k.d, call.Update, k.drop},
	}
}

// patch makes of the metadata wanted a merge patch; whole takes away what is not in it.
func patch(now, want map[string]string, whole bool) map[string]any {
	out := map[string]any{}
	for k := range now {
		if _, stays := want[k]; whole && !stays {
			out[k] = nil
		}
	}
	for k, v := range want {
		out[k] = v
	}
	return out
}

func (k keeper) get(x *exchange) (map[string]string, error) {
	r, err := rest.Do(x.Exchange, k.d, call.Get, x.Param(k.param), nil)
	if err != nil {
		return nil, err
	}
	return words(k.of(r.Row)), nil
}

func (k keeper) set(x *exchange, p map[string]any) (map[string]string, error) {
	r, err := rest.Change(x.Exchange, k.d, call.Update, x.Param(k.param), func(c *call.Call) { c.Spec = rest.Spec{"metadata": p}.JSON() })
	if err != nil {
		return nil, err
	}
	return words(k.of(r)), nil
}

func (k keeper) show(x *exchange) error {
	m, err := k.get(x)
	if err != nil {
		return err
	}
	return x.one(http.StatusOK, "metadata", m)
}

func (k keeper) put(x *exchange, whole bool) error {
	var in map[string]string
	if err := rest.Body(x.Exchange, "metadata", &in); err != nil {
		return err
	}
	now, err := k.get(x)
	if err != nil {
		return err
	}
	m, err := k.set(x, patch(now, in, whole))
	if err != nil {
		return err
	}
	return x.one(http.StatusOK, "metadata", m)
}

func noMetadatum(key string) error {
	return fail.New(fail.NotFound, "there is no metadata with key %q", key)
}

func (k keeper) showOne(x *exchange) error {
	m, err := k.get(x)
	if err != nil {
		return err
	}
	key := x.Param("key")
	v, ok := m[key]
	if !ok {
		return noMetadatum(key)
	}
	return x.one(http.StatusOK, "meta", map[string]string{key: v})
}

func (k keeper) putOne(x *exchange) error {
	var in map[string]string
	if err := rest.Body(x.Exchange, "meta", &in); err != nil {
		return err
	}
	key := x.Param("key")
	v, ok := in[key]
	if !ok || len(in) != 1 {
		return fail.Field("meta", "it must hold the key of the path, %q, and no other", key)
	}
	if _, err := k.set(x, map[string]any{key: v}); err != nil {
		return err
	}
	return x.one(http.StatusOK, "meta", in)
}

func (k keeper) drop(x *exchange) error {
	m, err := k.get(x)
	if err != nil {
		return err
	}
	key := x.Param("key")
	if _, ok := m[key]; !ok {
		return noMetadatum(key)
	}
	if _, err := k.set(x, map[string]any{key: nil}); err != nil {
		return err
	}
	x.W.WriteHeader(http.StatusOK)
	return nil
}
