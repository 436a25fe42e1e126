package app

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Scale is the input of scaling by hand.
type Scale struct {
	Replicas *int   `json:"replicas" doc:"instances wanted" min:"0" max:"50" required:"true" example:"3"` // nil: not said; 0 is a wish
	Reason   string `json:"reason" doc:"why, for the events" max:"255"`
}

// Rollback is the input of a roll back.
type Rollback struct {
	Release int `json:"release" doc:"number of the release to go back to; empty: the one that was live before" min:"1"`
}

type action = kind.Action[ComponentSpec, ComponentStatus]

func (s *Service) componentActions() []action {
	return append([]action{
		{Verb: "scale", Doc: "set how many instances run", Level: kind.Write, In: Scale{}, Change: s.scale},
		{Verb: "stop", Doc: "stop every instance; the address and the releases stay", Level: kind.Write, Change: func(_ context.Context, _ store.Tx, r *componentRow, _ any) (string, error) {
			r.Spec.Stopped = true
			return "update", nil
		}},
		{Verb: "start", Doc: "start it again after a stop", Level: kind.Write, Change: func(_ context.Context, _ store.Tx, r *componentRow, _ any) (string, error) {
			r.Spec.Stopped = false
			return "update", nil
		}},
		{Verb: "restart", Doc: "replace every instance by a new one, without a gap", Level: kind.Write, Change: func(_ context.Context, _ store.Tx, r *componentRow, _ any) (string, error) {
			if r.Status.Gray != nil {
				return "", underWay(r)
			}
			r.Status.Nonce = string(id.New())
			r.Status.Next = &Rollout{Image: r.Status.Image, Stack: r.Status.Stack, Commit: r.Status.Commit, Note: "restart", Plain: true}
			return "update", nil
		}},
		{Verb: "reconfigure", Doc: "roll out configuration and secrets as they are now; the cloud does it by itself when they change", Level: kind.Write, Change: s.reconfigure},
		{Verb: "rollback", Doc: "go back to an earlier release: its image and its configuration", Level: kind.Write, In: Rollback{}, Change: s.rollback},
		{Verb: "redeploy", Doc: "build again from its source: the newest commit, image or base images", Level: kind.Write, Change: s.redeploy},
		{Verb: "logs", Doc: "read or follow what the instances print", Level: kind.Read, In: LogsIn{}, Serve: s.serveLogs},
		{Verb: "search-logs", Doc: "search what instances printed, also of those that are gone", Level: kind.Read, In: SearchLogsIn{}, Serve: s.serveSearchLogs},
		{Verb: "build-log", Doc: "read or follow the log of the newest build", Level: kind.Read, In: BuildLogIn{}, Serve: s.serveBuildLog},
		{Verb: "metrics", Doc: "requests, latency, errors, CPU and memory, of all instances and of each", Level: kind.Read, In: MetricsIn{}, Serve: s.serveMetrics},
		{Verb: "instances", Doc: "the instances with what they use now", Level: kind.Read, Serve: s.serveInstances},
		{Verb: "exec", Doc: "run a command in an instance", Level: kind.Write, In: ExecIn{}, Serve: s.serveExec},
		{Verb: "port-forward", Doc: "carry a TCP connection to an instance", Level: kind.Write, In: ForwardIn{}, Serve: s.serveForward},
		{Verb: "copy-in", Doc: "unpack a tar into an instance", Level: kind.Write, In: CopyIn{}, Serve: s.serveCopyIn},
		{Verb: "copy-out", Doc: "read a file or folder of an instance as tar", Level: kind.Write, In: CopyOut{}, Serve: s.serveCopyOut},
		{Verb: "upload", Doc: "upload a source folder as an archive, or a package: a zip, tar, jar, war or program", Level: kind.Write, Collection: true, Serve: s.serveUpload},
	}, s.grayActions()...)
}

// rollback takes image and configuration from an earlier release. How many instances run, and how
// releases are made, stays.
func (s *Service) rollback(ctx context.Context, tx store.Tx, row *componentRow, in any) (string, error) {
	want := in.(*Rollback).Release
	switch {
	case row.Status.Gray != nil && want == 0:
		return s.grayRollback(ctx, tx, row, &GrayBack{})
	case row.Status.Gray != nil:
		return "", underWay(row)
	}
	releases, err := s.Release.List(tx, string(row.Project), kind.Filter{Index: "component", Value: string(row.ID)})
	if err != nil {
		return "", err
	}
	var found *releaseRow
	for _, r := range releases {
		switch {
		case want != 0 && r.Spec.Number == want:
			found = r
		case want == 0 && r.Status.State == "superseded" && (found == nil || r.Status.Live.After(found.Status.Live)):
			found = r
		}
	}
	if found == nil && want == 0 {
		return "", fail.New(fail.Precondition, "%s has no earlier release to go back to", row.Name)
	}
	if found == nil {
		return "", fail.Field("release", "%s has no release %d", row.Name, want).Then("see awan release list --by component=%s", row.ID)
	}
	if found.Status.State == "live" {
		return "", fail.Field("release", "release %d is the live one already", found.Spec.Number)
	}
	var spec ComponentSpec
	if err := json.Unmarshal([]byte(found.Spec.Config), &spec); err != nil {
		return "", fail.Wrap(err, fail.Internal, "the release cannot be read")
	}
	row.Spec = carryOver(spec, row.Spec)
	row.Status.Next = &Rollout{Image: found.Spec.Image, Stack: found.Spec.Stack, Commit: found.Spec.Commit, Note: fmt.Sprintf("rollback to %d", found.Spec.Number), Plain: true}
	return "update", nil
}
