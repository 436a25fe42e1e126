package keystone

import (
	"encoding/json"
	"net/http"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// BlobRow is one of Keystone's policies: a document for services that are no part of this cloud.
type BlobRow = kind.Row[ident.BlobSpec, ident.None]

const blobPath = "/v3/policies"

func (a *API) blobRoutes() []route {
	k := a.Kinds.Blob.D
	return []route{
		{Method: "GET", Path: blobPath, Kind: k, Verb: call.List, Do: listBlobs},
		{Method: "POST", Path: blobPath, Kind: k, Verb: call.Create, Do: createBlob},
		{Method: "GET", Path: blobPath + "/{blob_id}", Kind: k, Verb: call.Get, Do: showBlob},
		{Method: "PATCH", Path: blobPath + "/{blob_id}", Kind: k, Verb: call.Update, Do: updateBlob},
		{Method: "DELETE", Path: blobPath + "/{blob_id}", Kind: k, Verb: call.Delete, Do: drop(k, "blob_id")},
	}
}

func (x *exchange) blobView(r *BlobRow) any {
	return withForeign(map[string]any{"id": r.ID, "type": r.Spec.Type, "blob": r.Spec.Blob, "links": x.Self(blobPath + "/" + string(r.ID))}, r.Spec.Foreign)
}

type blobBody struct {
	Type *string          `json:"type"`
	Blob *json.RawMessage `json:"blob"`
}

// spec takes a document as text, or any JSON, which is kept as it is written.
func (b *blobBody) spec() wire.Spec {
	s := wire.Spec{}
	wire.Set(s, "type", b.Type)
	if b.Blob != nil {
		var text string
		if json.Unmarshal(*b.Blob, &text) != nil {
			text = string(*b.Blob)
		}
		s["blob"] = text
	}
	return s
}

func listBlobs(x *exchange) error {
	return List(&x.Exchange, x.API.Kinds.Blob, "policies", "", kind.Filter{}, func(r *BlobRow) bool {
		want := x.Query("type")
		return (want == "" || want == r.Spec.Type) && x.textFits("type", r.Spec.Type)
	}, x.blobView)
}

func createBlob(x *exchange) error {
	var b blobBody
	more, err := x.Kept("policy", &b)
	if err != nil {
		return err
	}
	s := b.spec()
	wire.Set(s, "foreign", more.over(""))
	row, err := x.Do(x.API.Kinds.Blob.D, call.Create, "", func(c *call.Call) { c.Spec = s.JSON() })
	if err != nil {
		return err
	}
	return x.One(http.StatusCreated, "policy", x.blobView(row.(*BlobRow)))
}

func showBlob(x *exchange) error {
	row, err := wire.Get(&x.Exchange, x.API.Kinds.Blob, x.Param("blob_id"))
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "policy", x.blobView(row))
}

func updateBlob(x *exchange) error {
	var b blobBody
	more, err := x.Kept("policy", &b)
	if err != nil {
		return err
	}
	foreign, err := former(x, x.API.Kinds.Blob, x.Param("blob_id"), more, func(s ident.BlobSpec) string { return s.Foreign })
	if err != nil {
		return err
	}
	s := b.spec()
	wire.Set(s, "foreign", foreign)
	row, err := x.Do(x.API.Kinds.Blob.D, call.Update, x.Param("blob_id"), func(c *call.Call) { c.Spec = s.JSON() })
	if err != nil {
		return err
	}
	return x.One(http.StatusOK, "policy", x.blobView(row.(*BlobRow)))
}
