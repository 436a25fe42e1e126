package config

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

func itoa(n int) string { return strconv.Itoa(n) }

// secretKey is what may be the name of a file and of a variable.
var secretKey = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// checkSecret counts versions; values that are those there are already stay as they are.
func (s *Service) checkSecret(ctx context.Context, _ store.Tx, old, row *secretRow) error {
	for k, v := range row.Spec.Values {
		if !secretKey.MatchString(k) {
			return fail.Field("spec.values", "%q is not a key", k).Then("use letters, digits, dots, hyphens and underscores")
		}
		if len(v) > 64<<10 && (old == nil || old.Spec.Values[k] != v) {
			return fail.Field("spec.values."+k, "is longer than 64 KiB")
		}
		if old == nil || v == kind.Mask || v == old.Spec.Values[k] || old.Spec.Values[k] == "" {
			continue
		}
		was, err := s.Unseal(&old.Meta, "spec", "values."+k, old.Spec.Values[k])
		if err != nil {
			return err
		}
		if was == v {
			row.Spec.Values[k] = old.Spec.Values[k]
		}
	}
	if old == nil || !maps.EqualFunc(old.Spec.Values, row.Spec.Values, func(a, b string) bool { return a == b || b == kind.Mask }) {
		s.newSecret(ctx, row)
	}
	return nil
}

func (s *Service) newSecret(ctx context.Context, row *secretRow) {
	row.Status = SecretStatus{Version: row.Status.Version + 1, Keys: slices.Sorted(maps.Keys(row.Spec.Values)), Changed: s.Now().UTC(), By: ident.From(ctx).UserName}
}

func (s *Service) secretChanged(_ context.Context, tx store.Tx, old, row *secretRow) error {
	s.tell()
	of := row
	if row == nil {
		of = old
	}
	all, err := s.SecretVersion.List(tx, string(of.Project), kind.Filter{Index: "secret", Value: string(of.ID)})
	if err != nil {
		return err
	}
	keep := KeepSecrets - 1
	switch {
	case row == nil:
		keep = 0
	case old != nil && old.Status.Version == row.Status.Version:
		return nil
	default:
		v := &secretVersionRow{Meta: versionMeta(&row.Meta, s.SecretVersion.D, row.Status.Version, row.Status.Changed, row.Status.By)}
		v.Spec = SecretVersionSpec{Secret: string(row.ID), Name: row.Name, Number: row.Status.Version, Keys: row.Status.Keys, Values: row.Spec.Values, By: row.Status.By}
		if err := s.SecretVersion.Put(tx, v); err != nil {
			return err
		}
	}
	for i := 0; i < len(all)-keep; i++ {
		if err := s.SecretVersion.Remove(tx, all[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) secretActions() []kind.Action[SecretSpec, SecretStatus] {
	return []kind.Action[SecretSpec, SecretStatus]{{Verb: "rollback", Doc: "go back to the values of an earlier version", Level: kind.Write, In: RollbackIn{},
		Change: func(ctx context.Context, tx store.Tx, row *secretRow, in any) (string, error) {
			all, err := s.SecretVersion.List(tx, string(row.Project), kind.Filter{Index: "secret", Value: string(row.ID)})
			if err != nil {
				return "", err
			}
			want := in.(*RollbackIn).Version
			if want == 0 {
				want = row.Status.Version - 1
			}
			for _, v := range all {
				if v.Spec.Number == want && want != row.Status.Version {
					row.Spec.Values = maps.Clone(v.Spec.Values)
					s.newSecret(ctx, row)
					return "", nil
				}
			}
			return "", noVersion(row.Name, "secret", want, row.Status.Version)
		}}}
}
