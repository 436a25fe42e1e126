package ident

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
)

// ConsumerSpec describes a program that asks users of its domain for some of their rights, by OAuth 1.0a.
type ConsumerSpec struct {
	Description string `json:"description" doc:"what it is" max:"255"`
}

// ConsumerStatus is what it signs with.
type ConsumerStatus struct {
	Secret string `json:"secret" doc:"shown once, when it is created" secret:"true"`
}

type consumerRow = kind.Row[ConsumerSpec, ConsumerStatus]

func (k *Kinds) consumerKind() kind.Kind[ConsumerSpec, ConsumerStatus] {
	return kind.Kind[ConsumerSpec, ConsumerStatus]{Service: "identity", Name: "consumer", Scope: kind.InDomain, AnyName: true,
		Doc: "A program that asks users for some of their rights in a project, by OAuth 1.0a (OpenStack's OS-OAUTH1). What a user grants it is an " +
			"application credential for a day, which ends with the consumer.",
		Columns: []string{"spec.description"}, Example: ConsumerSpec{Description: "the report robot"},
		Prepare: func(_ context.Context, old, row *consumerRow) error {
			if old == nil {
				row.Status.Secret = secret.NewToken()
			}
			return nil
		}, Changed: k.consumerChanged}
}

// consumerChanged ends what users granted to a consumer that is no more.
func (k *Kinds) consumerChanged(_ context.Context, tx store.Tx, old, row *consumerRow) error {
	if row != nil {
		return bump(tx)
	}
	held, err := k.Credential.List(tx, string(old.Domain), kind.Filter{Index: "consumer", Value: string(old.ID)})
	if err != nil {
		return err
	}
	for _, c := range held {
		if err := k.Credential.Remove(tx, c); err != nil {
			return err
		}
	}
	return bump(tx)
}
