package ident

import (
	"github.com/awancloud/awan/internal/kernel/kind"
)

// BlobSpec describes a document that operators keep for services of the catalog that are no part of this cloud.
type BlobSpec struct {
	Type    string `json:"type" doc:"its media type" required:"true" max:"255" example:"application/json"`
	Blob    string `json:"blob" doc:"the document; this cloud keeps it and does not read it" required:"true" max:"65536"`
	Foreign string `json:"foreign" form:"-" doc:"what a client of another cloud's API said that this cloud gives back and does not use" max:"8192"`
}

func (k *Kinds) blobKind() kind.Kind[BlobSpec, None] {
	return kind.Kind[BlobSpec, None]{Service: "identity", Name: "policy-blob", Scope: kind.InCloud, AnyName: true,
		Doc:     "A document that operators keep for services of the catalog that are no part of this cloud. What may be done here, policies say.",
		Columns: []string{"spec.type"}, Example: BlobSpec{Type: "application/json", Blob: "{}"}}
}
