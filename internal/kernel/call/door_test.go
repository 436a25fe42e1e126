package call_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kerneltest"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

type boxSpec struct {
	Size  int64  `json:"size" doc:"how big" min:"1" max:"100" default:"5"`
	Color string `json:"color" doc:"paint" enum:"red,blue" default:"red"`
	Shape string `json:"shape" doc:"form" immutable:"true"`
	Token string `json:"token" doc:"a secret" secret:"true"`
}
type boxStatus struct {
	Steps []string `json:"steps"`
}
type boxRow = kind.Row[boxSpec, boxStatus]

func boxes(fails *string) *kind.Def {
	step := func(name string) job.Step[boxRow] {
		return job.Step[boxRow]{Name: name,
			Do: func(_ context.Context, r *boxRow) error {
				r.Status.Steps = append(r.Status.Steps, name)
				if *fails == name {
					return fail.New(fail.NoSpace, "no room for %s", name)
				}
				return nil
			},
			Undo: func(_ context.Context, r *boxRow) error {
				r.Status.Steps = append(r.Status.Steps, "undo "+name)
				return nil
			}}
	}
	return kind.Kind[boxSpec, boxStatus]{Service: "test", Name: "box", Plural: "boxes", Scope: kind.InProject, Doc: "A box.",
		Create: job.Flow[boxRow]{step("cut"), step("glue")}, Update: job.Flow[boxRow]{step("paint")}, Delete: job.Flow[boxRow]{step("burn")},
		Quota: map[ledger.Dim]func(boxSpec) int64{"test.boxes": func(boxSpec) int64 { return 1 }, "test.size": func(s boxSpec) int64 { return s.Size }},
		Meter: map[ledger.Dim]func(boxSpec, boxStatus) int64{"test.size": func(s boxSpec, _ boxStatus) int64 { return s.Size }}}.Def()
}

func limits(d ledger.Dim) (int64, bool) { return 20, d == "test.size" }

func ptr[T any](v T) *T { return &v }

func TestLifeOfARow(t *testing.T) {
	fails := ""
	def := boxes(&fails)
	k := kerneltest.Start(t, limits, def)
	do := func(verb, target, spec string, edit ...func(*call.Call)) (call.Reply, error) {
		c := &call.Call{Kind: def, Verb: verb, Target: target, Principal: k.Root, Spec: json.RawMessage(spec)}
		if verb == call.Create {
			c.Name, c.Target = ptr(target), ""
		}
		for _, e := range edit {
			e(c)
		}
		r, err := k.Door.Do(t.Context(), c)
		if err == nil && r.Job != nil {
			j, werr := k.Door.WaitJob(t.Context(), r.Job.ID)
			if werr != nil {
				t.Fatal(werr)
			}
			r.Job = j
			if g, gerr := k.Door.Do(t.Context(), &call.Call{Kind: def, Verb: call.Get, Target: target, Principal: k.Root}); gerr == nil {
				r.Row = g.Row
			}
		}
		return r, err
	}
	wantErr := func(err error, kind fail.Kind, text string) {
		t.Helper()
		if !fail.Is(err, kind) || !strings.Contains(fail.From(err).Public(), text) {
			t.Errorf("got %v, want %s with %q", err, kind, text)
		}
	}

	r, err := do(call.Create, "a", `{"size":7,"token":"hush"}`)
	if err != nil || r.Row.M().State != kind.Active || !r.Row.M().Made {
		t.Fatalf("create: %v %+v", err, r.Row)
	}
	if got := r.Row.(*boxRow); got.Spec.Token != kind.Mask || got.Spec.Color != "red" || strings.Join(got.Status.Steps, ",") != "cut,glue" {
		t.Errorf("row %+v", got)
	}
	_ = k.Store.View(t.Context(), func(tx store.Tx) error {
		stored, _ := def.Find(tx, string(k.Admin.ProjectID), "a")
		s := stored.(*boxRow).Spec.Token
		if plain, err := k.Door.Unseal(stored.M(), "spec", "token", s); err != nil || plain != "hush" {
			t.Errorf("sealed %q reads %q %v", s, plain, err)
		}
		return nil
	})
	_, err = do(call.Create, "a", ``)
	wantErr(err, fail.Exists, "there already")
	_, err = do(call.Create, "B!", ``)
	wantErr(err, fail.Invalid, "name")
	_, err = do(call.Create, "b", `{"sice":1}`)
	wantErr(err, fail.Invalid, "spec.sice: there is no such field; fields here: size")
	_, err = do(call.Create, "b", `{"size":101}`)
	wantErr(err, fail.Invalid, "spec.size")
	_, err = do(call.Create, "b", `{"size":14}`)
	wantErr(err, fail.Quota, "7 of 20 in use")

	r, err = do(call.Update, "a", `{"size":9,"token":"`+kind.Mask+`"}`)
	if err != nil || r.Row.(*boxRow).Spec.Size != 9 || r.Row.M().Generation != 2 {
		t.Fatalf("update: %v %+v", err, r.Row)
	}
	_, err = do(call.Update, "a", `{"shape":"cube"}`)
	wantErr(err, fail.Invalid, "cannot change after creation")
	_, err = do(call.Update, "a", `{"size":3}`, func(c *call.Call) { c.IfRevision = 1 })
	wantErr(err, fail.Conflict, "revision")

	fails = "paint"
	r, err = do(call.Update, "a", `{"size":11}`)
	if err != nil || r.Job.State != job.Failed || r.Row.(*boxRow).Spec.Size != 9 || !strings.Contains(r.Row.M().Reason, "no room for paint") {
		t.Fatalf("failing update: %v %+v %+v", err, r.Job, r.Row)
	}
	fails = "glue"
	r, err = do(call.Create, "c", `{"size":1}`)
	if err != nil || r.Row.M().State != kind.Failed {
		t.Fatalf("failing create: %v %+v", err, r.Row)
	}
	if got := strings.Join(r.Row.(*boxRow).Status.Steps, ","); got != "cut,glue,undo glue,undo cut" {
		t.Errorf("steps %s", got)
	}
	fails = ""
	if r, err = do(call.Update, "c", `{"color":"blue"}`); err != nil || r.Row.M().State != kind.Active {
		t.Fatalf("mending a failed row: %v %+v", err, r.Row)
	}
	for _, name := range []string{"a", "c"} {
		if r, err = do(call.Delete, name, ``); err != nil || r.Job.State != job.Succeeded {
			t.Fatalf("delete: %v %+v", err, r.Job)
		}
	}
	_ = k.Store.View(t.Context(), func(tx store.Tx) error {
		if used, _ := ledger.Used(tx); len(used) != 0 {
			t.Errorf("quota left: %v", used)
		}
		if open, _ := ledger.Open(tx, k.Admin.ProjectID); len(open) != 0 {
			t.Errorf("meters left open: %v", open)
		}
		entries, _, _ := ledger.Search(tx, ledger.Query{Domain: k.Admin.DomainID, Action: "test:box:*", Limit: 100})
		if len(entries) != 7 {
			t.Errorf("%d audit entries", len(entries))
		}
		for _, e := range entries {
			if e.Outcome == ledger.Begun || strings.Contains(string(e.Request), "hush") {
				t.Errorf("entry %+v %s", e, e.Request)
			}
		}
		return nil
	})
}

func TestANewUserMayDoNothing(t *testing.T) {
	fails := ""
	def := boxes(&fails)
	k := kerneltest.Start(t, nil, def)
	users := k.Door.KindOf("identity/user")
	_, err := k.Door.Do(t.Context(), &call.Call{Kind: users, Verb: call.Create, Name: ptr("alice"), Spec: json.RawMessage(`{"password":"correct horse"}`), Principal: k.Root})
	if err != nil {
		t.Fatal(err)
	}
	alice := k.LogIn(t, "alice", "correct horse")
	for _, kd := range k.Door.Kinds {
		for _, v := range call.Verbs(kd) {
			c := &call.Call{Kind: kd, Verb: v.Verb, Target: "x", Name: ptr("x"), Principal: alice}
			if v.Verb == call.Create {
				c.Spec = kd.Example
			}
			if _, err := k.Door.Do(t.Context(), c); !fail.Is(err, fail.Denied) {
				t.Errorf("%s %s by a new user: %v", kd.FullName(), v.Verb, err)
			}
			c.Principal = ident.Principal{}
			if _, err := k.Door.Do(t.Context(), c); !fail.Is(err, fail.Unauthenticated) {
				t.Errorf("%s %s by nobody: %v", kd.FullName(), v.Verb, err)
			}
		}
	}
}
