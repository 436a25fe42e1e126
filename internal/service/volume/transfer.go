package volume

import (
	"context"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
)

// AcceptIn names an offer and proves that its giver meant it.
type AcceptIn struct {
	Transfer string `json:"transfer" doc:"the offer's id" required:"true" max:"64"`
	AuthKey  string `json:"auth_key" doc:"its key" required:"true" max:"64"`
}

func (s *Service) describeTransfers() {
	s.Transfers = kind.TableOf[TransferSpec, TransferStatus](kind.Kind[TransferSpec, TransferStatus]{
		Service: "volume", Name: "volume-transfer", Scope: kind.InProject, AnyName: true,
		Doc:     "Offers a volume to another project, which accepts it with the key that is shown once.",
		Columns: []string{"status.volume_name", "status.size"},
		Example: TransferSpec{Volume: "data"},
		Prepare: func(_ context.Context, old, row *Transfer) error {
			if old == nil {
				row.Status = TransferStatus{AuthKey: secret.NewToken()[:24]}
			}
			return nil
		},
		Check: s.checkTransfer,
		Changed: func(_ context.Context, tx store.Tx, old, row *Transfer) error {
			switch {
			case row == nil:
				return s.offered(tx, id.ID(old.Spec.Volume), old.ID, "")
			case old == nil:
				return s.offered(tx, id.ID(row.Spec.Volume), "", row.ID)
			}
			return nil
		},
		Actions: []kind.Action[TransferSpec, TransferStatus]{{Verb: "accept", Doc: "take a volume that another project offers", Level: kind.Write,
			In: AcceptIn{}, Collection: true, Secret: true, Serve: s.accept}},
	}.Def())
}

func (s *Service) checkTransfer(_ context.Context, tx store.Tx, old, row *Transfer) error {
	if old != nil {
		return nil
	}
	v, err := s.findVolume(tx, row.Project, "spec.volume", row.Spec.Volume)
	if err != nil {
		return err
	}
	if err := s.movable(tx, v); err != nil {
		return err
	}
	if v.Status.Transfer != "" {
		return awaiting(v)
	}
	row.Spec.Volume = string(v.ID)
	row.Status.Volume, row.Status.Size = v.Name, v.Spec.Size
	return nil
}

// movable refuses volumes that cannot change their project now.
func (s *Service) movable(tx store.Tx, v *Row) error {
	switch {
	case v.Job != "":
		return fail.New(fail.Conflict, "volume %s is busy (%s)", v.Name, v.State).Then("wait for job %s, then try again", v.Job)
	case v.State != kind.Active:
		return fail.New(fail.Precondition, "volume %s is %s", v.Name, v.State)
	case len(v.Status.Attachments) > 0:
		return fail.New(fail.Precondition, "server %s has volume %s", v.Status.Attachments[0].Server, v.Name).Then("detach it first")
	}
	snaps, err := s.Snapshots.List(tx, string(v.Project), kind.Filter{Index: "volume", Value: string(v.ID), Limit: 1})
	if err == nil && len(snaps) > 0 {
		err = fail.New(fail.Precondition, "there are snapshots of volume %s, which would stay behind", v.Name).Then("delete them first: awan snapshot delete %s", snaps[0].ID)
	}
	return err
}

// offered writes in the volume that it waits for a taker, or does so no longer.
func (s *Service) offered(tx store.Tx, volume, was, now id.ID) error {
	v, err := s.Volumes.Get(tx, volume)
	if err != nil || v == nil || v.Status.Transfer != was {
		return err
	}
	v.Status.Transfer = now
	return s.put(tx, v)
}

// accept moves a volume into the caller's project. Who does not know the key learns nothing of the offer.
func (s *Service) accept(ctx context.Context, _ *Transfer, in any, st kind.Stream) error {
	want := in.(*AcceptIn)
	unknown := fail.New(fail.NotFound, "there is no offer %q with this key", want.Transfer).Then("ask its giver for the id and the key")
	offer, ok := id.Parse(want.Transfer)
	if !ok {
		return unknown
	}
	var out *Row
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		t, err := s.Transfers.Get(tx, offer)
		if err != nil {
			return err
		}
		if t == nil {
			return unknown
		}
		key, err := s.Unseal(&t.Meta, "status", "auth_key", t.Status.AuthKey)
		if err != nil {
			return err
		}
		if !secret.Equal(key, want.AuthKey) {
			return unknown
		}
		v, err := s.Volumes.Get(tx, id.ID(t.Spec.Volume))
		if err != nil {
			return err
		}
		if v == nil || v.Status.Transfer != t.ID {
			return unknown
		}
		if err := s.movable(tx, v); err != nil {
			return err
		}
		if err := s.Transfers.Remove(tx, t); err != nil {
			return err
		}
		if v.Project == st.Meta.Project { // taken back: the volume stays, and waits no longer
			v.Status.Transfer, out = "", v
			return s.put(tx, v)
		}
		out, err = s.move(tx, v, st.Meta.Domain, st.Meta.Project)
		return err
	})
	if err != nil {
		return err
	}
	return st.Emit(s.Volumes.D.Redacted(out))
}

// move gives a volume to another project: row, keys, quota and meters.
func (s *Service) move(tx store.Tx, v *Row, domain, project id.ID) (*Row, error) {
	keys, err := s.keys(tx, v.Project, v.ID)
	if err != nil {
		return nil, err
	}
	d := s.Volumes.D
	now := d.Clone(v).(*Row)
	now.Domain, now.Project, now.EnterpriseProject = domain, project, ""
	now.Status.Transfer, now.Updated = "", s.Now().UTC()
	for _, dim := range d.Quotas {
		if err := ledger.Reserve(tx, project, dim, d.QuotaOf(now)[dim], s.Limits); err != nil {
			return nil, err
		}
		if err := ledger.Reserve(tx, v.Project, dim, -d.QuotaOf(v)[dim], s.Limits); err != nil {
			return nil, err
		}
	}
	leaving := d.Clone(v).(*Row)
	leaving.State = kind.Deleting // holds nothing in the old project
	if err := s.meter(tx, leaving); err != nil {
		return nil, err
	}
	if err := d.Remove(tx, v); err != nil {
		return nil, err
	}
	if err := d.Put(tx, nil, now); err != nil {
		return nil, err
	}
	if err := s.meter(tx, now); err != nil {
		return nil, err
	}
	return now, s.putKeys(tx, project, v.ID, keys)
}
