package ident

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// TagSpec describes a predefined tag: what people choose from, so that they do not write the same in three ways.
type TagSpec struct {
	Key   string `json:"key" doc:"the tag's key" required:"true" immutable:"true" max:"128" pattern:"^[^\\x00-\\x1f=*<>\\\\,|/]+$" example:"team"`
	Value string `json:"value" doc:"the tag's value; may be empty" immutable:"true" max:"255"`
}

type tagRow = kind.Row[TagSpec, None]

func (k *Kinds) tagKind() kind.Kind[TagSpec, None] {
	return kind.Kind[TagSpec, None]{Service: "identity", Name: "predefined-tag", Scope: kind.InDomain, AnyName: true,
		Doc:     "A tag that is offered for choice, so that everybody writes it the same way.",
		Columns: []string{"spec.key", "spec.value"}, Example: TagSpec{Key: "team", Value: "shop"},
		Index: map[string]func(*tagRow) []string{"key": func(r *tagRow) []string { return []string{r.Spec.Key} }},
		Check: func(_ context.Context, tx store.Tx, old, row *tagRow) error {
			if old != nil {
				return nil
			}
			same, err := k.Tag.List(tx, string(row.Domain), kind.Filter{Index: "key", Value: row.Spec.Key, Limit: 1,
				Where: func(r kind.AnyRow) bool { return r.(*tagRow).Spec == row.Spec }})
			if err == nil && len(same) > 0 {
				return fail.New(fail.Exists, "the tag %s=%s is predefined already", row.Spec.Key, row.Spec.Value)
			}
			return err
		}}
}
