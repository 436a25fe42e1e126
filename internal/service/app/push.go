package app

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/build"
)

const defaultGitQuota = 1 << 30

// Pushing is one client at a component's own repository. Who may read and push was decided before; From goes with what
// the push makes the cloud do.
type Pushing struct {
	Project id.ID
	Name    string
	From    call.Call // principal, source, agent, dialect and request
}

var componentName = regexp.MustCompile(kind.DefaultNamePat)

// own names the component's repository; row is nil when there is no such component yet.
func (s *Service) own(ctx context.Context, p Pushing) (build.Own, *componentRow, error) {
	if s.Git == nil {
		return build.Own{}, nil, fail.New(fail.Unsupported, "this cloud keeps no git repositories")
	}
	if !componentName.MatchString(p.Name) {
		return build.Own{}, nil, fail.Field("name", "%q is not a component's name", p.Name).Then("use lower-case letters, digits and hyphens, at most 63, beginning with a letter")
	}
	o := build.Own{Project: p.Project, Name: p.Name, Branch: "main", Most: s.GitQuota}
	if o.Most == 0 {
		o.Most = defaultGitQuota
	}
	var row *componentRow
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		row, err = s.Component.Find(tx, string(p.Project), p.Name)
		return err
	})
	if row != nil && row.Spec.Source.Branch != "" {
		o.Branch = row.Spec.Source.Branch
	}
	return o, row, err
}

// Advertise tells a git client what is in the component's repository.
func (s *Service) Advertise(ctx context.Context, p Pushing, service, protocol string, out io.Writer) error {
	o, row, err := s.own(ctx, p)
	if err != nil {
		return err
	}
	if row == nil && service != "git-receive-pack" {
		return fail.New(fail.NotFound, "there is no component %q", p.Name)
	}
	return s.Git.Advertise(ctx, o, service, protocol, out)
}

// Upload answers a clone or a fetch.
func (s *Service) Upload(ctx context.Context, p Pushing, protocol string, in io.Reader, out io.Writer) error {
	o, row, err := s.own(ctx, p)
	if err == nil && row == nil {
		err = fail.New(fail.NotFound, "there is no component %q", p.Name)
	}
	if err != nil {
		return err
	}
	return s.Git.Upload(ctx, o, protocol, in, out)
}

// Receive takes a push. What comes to the branch that deploys is built and released while the client waits; when that
// fails the push is refused, and what ran goes on.
func (s *Service) Receive(ctx context.Context, p Pushing, in io.Reader, out io.Writer) error {
	o, row, err := s.own(ctx, p)
	if err != nil {
		return err
	}
	return s.Git.Receive(ctx, o, in, out, func(ctx context.Context, push build.Push) error { return s.decide(ctx, p, o, row, push) })
}

func (s *Service) decide(ctx context.Context, p Pushing, o build.Own, row *componentRow, push build.Push) error {
	var deploy *build.Update
	for _, u := range push.Updates() {
		if u.Ref == "refs/heads/"+o.Branch {
			deploy = &u
		}
	}
	if deploy == nil {
		push.Say("stored; only the branch " + o.Branch + " is deployed (awan component update " + p.Name + " --source.branch BRANCH changes that)")
		return nil
	}
	if deploy.Deletes() {
		return fail.New(fail.Precondition, "%s is the branch that is deployed", o.Branch).Then("delete the component instead, or choose another branch first")
	}
	digest, commit, err := s.keepPush(ctx, p, push, deploy.New)
	if err != nil {
		return err
	}
	commit.Ref = o.Branch
	push.Say("deploying " + commit.String())
	c := p.From
	c.Kind, c.Project = s.Component.D, string(p.Project)
	if c.Spec, err = json.Marshal(map[string]any{"source": map[string]any{"digest": digest, "commit": commit.String()}}); err != nil {
		return err
	}
	if row == nil {
		c.Verb, c.Name = call.Create, &p.Name
	} else {
		c.Verb, c.Target = call.Update, string(row.ID)
	}
	r, err := s.Host.Do(ctx, &c)
	if err != nil {
		return err
	}
	if r.Job == nil {
		push.Say("nothing to do: this is what runs already")
		return nil
	}
	return s.watchDeploy(ctx, r.Row.(*componentRow), r.Job, push.Say)
}

// keepPush stores the pushed tree like an upload.
func (s *Service) keepPush(ctx context.Context, p Pushing, push build.Push, commit string) (digest string, c build.Commit, err error) {
	plain, err := s.workFile(id.New(), "push")
	if err != nil {
		return "", c, err
	}
	defer func() { _ = os.Remove(plain) }()
	if c, err = push.Source(commit, plain); err != nil {
		return "", c, err
	}
	in, err := os.Open(plain)
	if err != nil {
		return "", c, diskError(err)
	}
	defer func() { _ = in.Close() }()
	packed, z := io.Pipe()
	go func() {
		w, err := gzip.NewWriterLevel(z, gzip.BestSpeed)
		if err == nil {
			if _, err = io.Copy(w, in); err == nil {
				err = w.Close()
			}
		}
		_ = z.CloseWithError(err)
	}()
	u, err := s.keepUpload(ctx, p.Project, packed)
	_ = packed.Close() // whoever still writes stops
	return u.Digest, c, err
}

// watchDeploy says what a deploy does, line by line, until it ends. Who goes away leaves it running.
func (s *Service) watchDeploy(ctx context.Context, row *componentRow, j *job.Job, say func(string)) error {
	err := s.serveBuildLog(ctx, row, &BuildLogIn{Job: string(j.ID), Follow: true}, kind.Stream{Emit: func(v any) error {
		l := v.(BuildLine)
		if l.Step == "step" {
			say("-----> " + l.Text)
		} else if l.Step != "error" {
			say("       " + l.Text)
		}
		return nil
	}})
	if err != nil {
		return err
	}
	step := 0
	for {
		var now *job.Job
		var fresh *componentRow
		err := s.Store.View(ctx, func(tx store.Tx) (err error) {
			if now, err = job.Get(tx, j.ID); err == nil {
				fresh, err = s.Component.Get(tx, row.ID)
			}
			return err
		})
		if err != nil {
			return err
		}
		for ; step < now.Step && step < len(now.Steps); step++ {
			if step > 0 {
				say("-----> " + now.Steps[step].Name + " done")
			}
		}
		switch {
		case now.Done() && now.State == job.Succeeded:
			if fresh != nil {
				say("released: " + fresh.Status.URL)
			}
			return nil
		case now.Done():
			e := now.Error.Err()
			if fresh != nil && fresh.Status.Release > 0 {
				say("what ran before goes on running")
			}
			return e
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Redeploy asks for a redeploy as somebody, when what happened concerns the component's source. branch is what changed,
// standard the repository's own default branch, or "". While the component is busy it waits, without a job.
func (s *Service) Redeploy(ctx context.Context, p Pushing, branch, standard string) (*job.Job, string, error) {
	var row *componentRow
	err := s.Store.View(ctx, func(tx store.Tx) (err error) {
		row, err = s.Component.Find(tx, string(p.Project), p.Name)
		return err
	})
	if err == nil && row == nil {
		err = fail.New(fail.NotFound, "there is no component %q", p.Name)
	}
	if err != nil {
		return nil, "", err
	}
	want := row.Spec.Source.Git.Ref
	if want == "" {
		want = standard
	}
	if branch != "" && want != "" && branch != want {
		return nil, "nothing to do: " + p.Name + " is deployed from " + want + ", not from " + branch, nil
	}
	if row.Spec.Source.Git.URL == "" && branch != "" {
		return nil, "", fail.New(fail.Precondition, "%s is not built from a git repository", p.Name).Then("awan deploy --git URL --name %s", p.Name)
	}
	c := p.From
	c.Kind, c.Verb, c.Project, c.Target = s.Component.D, "redeploy", string(p.Project), string(row.ID)
	r, err := s.Host.Do(ctx, &c)
	if fail.Is(err, fail.Conflict) && strings.HasPrefix(c.Principal.UserName, deployToken) {
		return nil, "queued: " + p.Name + " is busy, and is redeployed when that has ended", s.queueHook(ctx, row, &c)
	}
	return r.Job, strings.TrimSpace("redeploying " + p.Name + " " + branch), err
}
