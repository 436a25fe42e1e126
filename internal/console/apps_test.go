package console_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/duplex"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/app"
)

// components are apps without instances behind them. Their updates wait for the gate.
func components(gate <-chan struct{}, uploaded *bytes.Buffer) *kind.Def {
	flag := func(verb string, stopped bool) kind.Action[app.ComponentSpec, app.ComponentStatus] {
		return kind.Action[app.ComponentSpec, app.ComponentStatus]{Verb: verb, Doc: verb + "s it", Level: kind.Write, Change: func(_ context.Context, _ store.Tx, r *componentRow, _ any) (string, error) {
			r.Spec.Stopped = stopped
			if verb == "restart" {
				return "update", nil
			}
			return "", nil
		}}
	}
	return kind.Kind[app.ComponentSpec, app.ComponentStatus]{Service: "app", Name: "component", Scope: kind.InProject, NoRename: true, Doc: "One deployable part of an application.",
		Columns: []string{"spec.replicas", "status.url"}, Retention: 7 * 24 * time.Hour,
		Update: job.Flow[componentRow]{{Name: "roll", Do: func(ctx context.Context, _ *componentRow) error {
			job.Note(ctx, "waiting for 1 of 3 instances")
			select {
			case <-gate:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}},
		Quota: map[ledger.Dim]func(app.ComponentSpec) int64{"app.memory (MiB)": func(s app.ComponentSpec) int64 { return s.Memory * int64(s.Replicas) },
			"app.components": func(app.ComponentSpec) int64 { return 1 }},
		Meter: map[ledger.Dim]func(app.ComponentSpec, app.ComponentStatus) int64{"app.memory (MiB)": func(s app.ComponentSpec, _ app.ComponentStatus) int64 { return s.Memory * int64(s.Replicas) }},
		Actions: []kind.Action[app.ComponentSpec, app.ComponentStatus]{flag("stop", true), flag("start", false), flag("restart", false),
			{Verb: "upload", Doc: "takes a source", Level: kind.Write, Collection: true, Serve: func(_ context.Context, _ *componentRow, _ any, s kind.Stream) error {
				if _, err := io.Copy(uploaded, s.Body); err != nil {
					return err
				}
				return s.Emit(app.Uploaded{Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(uploaded.Bytes())), Size: int64(uploaded.Len())})
			}},
			{Verb: "build-log", Doc: "its build's log", Level: kind.Read, Serve: func(_ context.Context, _ *componentRow, _ any, s kind.Stream) error {
				return s.Emit(map[string]any{"at": time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC), "text": "found main.go"})
			}},
			{Verb: "gray-check", Doc: "how a gray release does", Level: kind.Read, Serve: func(_ context.Context, r *componentRow, _ any, s kind.Stream) error {
				return s.Emit(app.GrayView{Gray: *r.Status.Gray, Live: app.GrayCount{Release: 3, Instances: 2, Ready: 2, Tally: app.Tally{Answers: 12345}},
					New: app.GrayCount{Release: 4, Instances: 1, Ready: 1, Tally: app.Tally{Answers: 1234, Errors: 2}}})
			}},
			{Verb: "gray-continue", Doc: "goes on", Level: kind.Write, In: app.GrayContinue{}, Change: func(_ context.Context, _ store.Tx, r *componentRow, _ any) (string, error) {
				r.Status.Gray.Next = &app.Traffic{Weight: r.Spec.Gray.Steps[0]}
				return "", nil
			}},
			{Verb: "gray-modify", Doc: "changes it", Level: kind.Write, In: app.GrayModify{}, Change: func(_ context.Context, _ store.Tx, r *componentRow, in any) (string, error) {
				m, next := in.(*app.GrayModify), r.Status.Gray.Traffic
				next.Weight = *m.Weight
				if m.Rules != nil {
					next.Rules = m.Rules
				}
				r.Status.Gray.Next = &next
				return "", nil
			}},
			{Verb: "gray-rollback", Doc: "takes it back", Level: kind.Write, In: app.GrayBack{}, Change: func(_ context.Context, _ store.Tx, r *componentRow, _ any) (string, error) {
				r.Status.Gray = nil
				return "", nil
			}},
			{Verb: "scale", Doc: "sets how many instances run", Level: kind.Write, In: struct {
				Replicas int `json:"replicas" doc:"instances" min:"1" max:"50" required:"true"`
			}{}, Change: func(_ context.Context, _ store.Tx, r *componentRow, in any) (string, error) {
				_, err := fmt.Sscan(docString(in, "replicas"), &r.Spec.Replicas)
				return "", err
			}},
			{Verb: "rollback", Doc: "runs an earlier release again", Level: kind.Write, In: struct {
				Release int `json:"release" doc:"its number" min:"1" required:"true"`
			}{}, Change: func(_ context.Context, _ store.Tx, r *componentRow, in any) (string, error) {
				_, err := fmt.Sscan(docString(in, "release"), &r.Status.Release)
				return "", err
			}},
			{Verb: "exec", Doc: "runs a command in it", Level: kind.Write, In: struct {
				Command  []string `json:"command" doc:"what" required:"true"`
				Instance string   `json:"instance" doc:"where"`
			}{}, Serve: func(_ context.Context, _ *componentRow, in any, s kind.Stream) error {
				pipe, err := s.Duplex()
				if err != nil {
					return err
				}
				conn := duplex.NewConn(pipe)
				b, _ := json.Marshal(in)
				if strings.Contains(string(b), "flood") {
					for err == nil {
						_, err = conn.Writer(duplex.Stdout).Write([]byte(strings.Repeat("flood\n", 5000)))
					}
					return nil
				}
				if _, err := conn.Writer(duplex.Stdout).Write(append(b, "<script>alert(1)</script>"...)); err != nil {
					return err
				}
				return conn.WriteFrame(duplex.Exit, []byte(`{"code":3}`))
			}},
			{Verb: "logs", Doc: "streams its log", Level: kind.Read, In: struct {
				Follow   bool   `json:"follow" doc:"go on"`
				Tail     int    `json:"tail" doc:"newest lines"`
				Match    string `json:"match" doc:"only lines with it"`
				Instance string `json:"instance" doc:"only this one's"`
			}{}, Serve: func(ctx context.Context, r *componentRow, in any, s kind.Stream) error {
				for i := range 40 {
					stream := "stdout"
					if i%9 == 8 {
						stream = "stderr"
					}
					err := s.Emit(map[string]any{"at": time.Date(2026, 1, 31, 12, 0, i, 0, time.UTC), "instance": r.Status.Instances[0].ID, "stream": stream,
						"text": fmt.Sprintf("%d GET /api/items?page=%d 200 <script>alert('log')</script>", i, i*7)})
					if err != nil {
						return err
					}
				}
				if docString(in, "follow") == "true" {
					<-ctx.Done()
				}
				return nil
			}}}}.Def()
}

func releases() *kind.Def {
	return kind.Kind[app.ReleaseSpec, app.ReleaseStatus]{Service: "app", Name: "release", Scope: kind.InProject, ReadOnly: true, Doc: "One version of a component as it was deployed.",
		Columns: []string{"spec.component", "spec.number", "status.state"},
		Index:   map[string]func(*releaseRow) []string{"component": func(r *releaseRow) []string { return []string{r.Spec.Component} }}}.Def()
}
