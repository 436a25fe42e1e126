package network

import (
	"context"
	"encoding/json"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Isolate is the input of quarantine.
type Isolate struct {
	Reason string `json:"reason" doc:"why; it stands beside the row and in the audit log" max:"255"`
}

// quarantines are the actions that cut off one port, subnet or VPC, and let it in again.
func quarantines[S, T any](of func(*T) **Quarantine, s *Service) []kind.Action[S, T] {
	return []kind.Action[S, T]{
		{Verb: "quarantine", Doc: "cut it off at once: nothing passes but what the cloud itself opens; everything else stays as it is", Level: kind.Write, In: Isolate{},
			Change: func(ctx context.Context, _ store.Tx, r *kind.Row[S, T], in any) (string, error) {
				q := of(&r.Status)
				if *q == nil {
					*q = &Quarantine{At: s.Now().UTC(), By: ident.From(ctx).String(), Reason: in.(*Isolate).Reason}
				}
				return "", nil
			}},
		{Verb: "release", Doc: "end its quarantine", Level: kind.Admin,
			Change: func(_ context.Context, _ store.Tx, r *kind.Row[S, T], _ any) (string, error) {
				*of(&r.Status) = nil
				return "", nil
			}}}
}

// quarantineKey + project holds the Quarantine of a whole project.
const quarantineKey = "net/quarantine/"

// projectQuarantines cut off a whole project, and let it in again.
func (s *Service) projectQuarantines() []kind.Action[VPCSpec, VPCStatus] {
	return []kind.Action[VPCSpec, VPCStatus]{
		{Verb: "quarantine-project", Doc: "cut off every port of the project at once, also those that come later", Level: kind.Write, Collection: true, In: Isolate{},
			Serve: func(ctx context.Context, _ *vpcRow, in any, st kind.Stream) error {
				q := Quarantine{At: s.Now().UTC(), By: ident.From(ctx).String(), Reason: in.(*Isolate).Reason}
				b, err := json.Marshal(q)
				if err != nil {
					return err
				}
				if err := s.setProjectQuarantine(ctx, st.Meta.Project, b); err != nil {
					return err
				}
				return st.Emit(q)
			}},
		{Verb: "release-project", Doc: "end the project's quarantine; ports, subnets and VPCs that have their own stay cut off", Level: kind.Admin, Collection: true,
			Serve: func(ctx context.Context, _ *vpcRow, _ any, st kind.Stream) error {
				if err := s.setProjectQuarantine(ctx, st.Meta.Project, nil); err != nil {
					return err
				}
				return st.Emit(struct {
					Released id.ID `json:"released"`
				}{st.Meta.Project})
			}}}
}

func (s *Service) setProjectQuarantine(ctx context.Context, project id.ID, q []byte) error {
	_, err := s.Store.Update(ctx, func(tx store.Tx) error {
		if q == nil {
			return tx.Delete(quarantineKey + string(project))
		}
		return tx.Put(quarantineKey+string(project), q)
	})
	if err != nil {
		return fail.Wrap(err, fail.Unavailable, "the quarantine cannot be stored")
	}
	return nil
}

// projectQuarantine is that of a project; nil when there is none.
func projectQuarantine(tx store.Tx, project id.ID) (*Quarantine, error) {
	b, ok, err := tx.Get(quarantineKey + string(project))
	if err != nil || !ok {
		return nil, err
	}
	q := new(Quarantine)
	return q, json.Unmarshal(b, q)
}
