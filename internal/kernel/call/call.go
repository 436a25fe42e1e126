// Package call is the one door: every request of every dialect becomes a Call and goes through one pipeline:
// who, may they, is it valid, is there quota, record it, do it, meter it. What changes, changes in one transaction.
// It may import every other kernel package; it knows no service, no engine and no wire format.
package call

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/policy"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Verbs that every kind has. ReadOnly kinds have the reading ones only.
const (
	Create  = "create"
	Get     = "get"
	List    = "list"
	Update  = "update"
	Delete  = "delete"
	Restore = "restore"
	Watch   = "watch"
	Events  = "events"
)

// Call is one request, free of any wire format.
type Call struct {
	Kind *kind.Def
	Verb string

	Domain  string // name or id; "" = the caller's
	Project string // name or id; "" = the one the credential is scoped to
	Target  string // the row's id or name

	Name *string            // create, update
	Tags *map[string]string // create, update
	// EnterpriseProject is where the row belongs: name or id, "0" the default. create; update: it moves there.
	EnterpriseProject *string
	Spec              json.RawMessage // create: the spec; update: a merge patch (RFC 7396)
	In                json.RawMessage // a custom action's input

	Filter      kind.Filter // list
	IfRevision  int64       // update, delete: only when the row is at this revision; 0 = whatever
	Idempotency string      // create: the same key gives the same row again, for a day
	Purge       bool        // delete: without the trash
	DryRun      bool        // check everything, change nothing

	// Alias is what the dialect's own documents call the action: "obs:bucket:PutBucketPolicy", or several such names with spaces
	// between them. Policies may say that too.
	Alias string

	Principal ident.Principal
	Source    string // the caller's address
	Agent     string
	Dialect   string
	RequestID string
	Stream    kind.Stream

	decision *ledger.Decision // what the policies said last
}

// ConsoleDialect is the dialect of calls that people make in the console.
const ConsoleDialect = "console"

// Reply is the answer, free of any wire format. Rows are as the caller may see them: secrets masked, but for those that
// are shown once.
type Reply struct {
	Row    kind.AnyRow
	Rows   []kind.AnyRow
	Next   id.ID // of a list: the marker of the next page
	Job    *job.Job
	Events []event.Event
	Repeat bool // an idempotent create that had been done before
}

// Options are what a door stands on.
type Options struct {
	Store  store.Store
	Ident  *ident.Service
	Kinds  []*kind.Def
	Region string
	Limits ledger.Limits
	Rates  ledger.Rates // what is metered costs so much; zero: nothing has a price
	Now    clock.Clock
	Log    *slog.Logger
	// AuditSigner seals the audit log, AuditKey checks its signatures; without them it is not sealed.
	AuditSigner note.Signer
	AuditKey    string
	// Own, when set, gives the policies that a row itself carries, of which those that speak of p.
	Own func(k *kind.Def, row kind.AnyRow, p ident.Principal) []policy.Attached
	// Critical are the actions that people confirm by their second factor where their domain wants that.
	Critical []string
	// Observe, when set, is told of every call that came through the door, with how long it took. It must be quick.
	Observe func(c *Call, err error, took time.Duration)
}

// Door is the pipeline.
type Door struct {
	Options
	kinds map[string]*kind.Def
	jobs  *job.Runner
	loops *loops
	holds holds
}

// NewDoor wires the pipeline; jobs and loops run after Start.
func NewDoor(o Options) *Door {
	d := &Door{Options: o, kinds: map[string]*kind.Def{}}
	for _, k := range o.Kinds {
		if d.kinds[k.FullName()] != nil {
			panic("two kinds are called " + k.FullName())
		}
		d.kinds[k.FullName()] = k
	}
	o.Ident.Kinds.Know(o.Kinds, o.Region)
	d.jobs = job.NewRunner(o.Store, func(name string) job.Program {
		if k := d.kinds[name]; k != nil {
			return &program{d, k}
		}
		return nil
	}, o.Now, o.Log)
	d.loops = newLoops(d)
	return d
}

// Kind finds a kind by "service/name".
func (d *Door) KindOf(fullName string) *kind.Def { return d.kinds[fullName] }

// Start takes up stored jobs and begins the loops.
func (d *Door) Start(ctx context.Context) error {
	if d.AuditSigner != nil { // before anything is audited or sealed
		if err := ledger.Adopt(ctx, d.Store); err != nil {
			return err
		}
	}
	if err := d.jobs.Start(ctx); err != nil {
		return err
	}
	d.loops.start()
	return nil
}

// Close ends loops and lets running steps go; their jobs go on at the next start.
func (d *Door) Close() {
	d.loops.close()
	d.jobs.Close()
}

// Do sends a call through the door.
func (d *Door) Do(ctx context.Context, c *Call) (Reply, error) {
	if c.RequestID == "" {
		c.RequestID = string(id.New())
	}
	ctx = ident.With(ctx, c.Principal)
	began := time.Now()
	r, err := d.do(ctx, c)
	if d.Observe != nil {
		d.Observe(c, err, time.Since(began))
	}
	if err != nil {
		if e := fail.From(err); e.Kind == fail.Internal {
			d.Log.Error("call failed", "request", c.RequestID, "action", c.action(), "err", err)
		}
	}
	return r, err
}

func (d *Door) do(ctx context.Context, c *Call) (Reply, error) {
	if c.Principal.Nobody() {
		return Reply{}, fail.New(fail.Unauthenticated, "this needs a log-in").Then("awan login, or send a token or a signature")
	}
	if err := d.known(c); err != nil {
		return Reply{}, err
	}
	switch c.Verb {
	case Create:
		return d.create(ctx, c)
	case List:
		return d.list(ctx, c)
	case Get:
		return d.get(ctx, c)
	case Events:
		return d.events(ctx, c)
	case Watch:
		return Reply{}, d.watch(ctx, c)
	case Update:
		return d.update(ctx, c)
	case Delete:
		return d.remove(ctx, c)
	case Restore:
		return d.restore(ctx, c)
	}
	if a := c.Kind.ActionOf(c.Verb); a.Serve != nil {
		return Reply{}, d.serve(ctx, c, a)
	}
	return d.act(ctx, c)
}

// known refuses verbs that the kind does not have.
func (d *Door) known(c *Call) error {
	for _, v := range Verbs(c.Kind) {
		if v.Verb == c.Verb {
			return nil
		}
	}
	return fail.New(fail.NotFound, "%s has no action %q", c.Kind.FullName(), c.Verb).Then("see awan %s --help", c.Kind.Name)
}

// Verb is an action of a kind with its level: what routes, policies and coverage tests are made from.
type Verb struct {
	Verb  string
	Level kind.Level
	Doc   string
}

// Verbs lists every verb of a kind.
func Verbs(k *kind.Def) []Verb {
	out := []Verb{{List, kind.List, "list " + k.Plural}, {Get, kind.Read, "show one " + k.Name},
		{Events, kind.Read, "what happened to it"}, {Watch, kind.List, "follow changes"}}
	if !k.ReadOnly {
		out = append(out, Verb{Create, kind.Write, "create a " + k.Name}, Verb{Update, kind.Write, "change it"}, Verb{Delete, kind.Write, "delete it"})
	}
	if k.Retention > 0 {
		out = append(out, Verb{Restore, kind.Write, "bring it back from the trash"})
	}
	for _, a := range k.Desc.Actions {
		out = append(out, Verb{a.Verb, a.Level, a.Doc})
	}
	return out
}

func (c *Call) action() string { return c.Kind.Desc.Action(c.Verb) }

// Job reads an operation the caller may see: one of its project or domain.
func (d *Door) Job(ctx context.Context, p ident.Principal, jobID id.ID) (*job.Job, error) {
	return d.JobAs(ctx, p, jobID, "")
}

// JobAs is Job where policies may call the look at it by another name, as Call.Alias.
func (d *Door) JobAs(ctx context.Context, p ident.Principal, jobID id.ID, alias string) (*job.Job, error) {
	j, err := d.jobs.Get(ctx, jobID)
	if err != nil {
		return nil, err
	}
	k := d.kinds[j.Kind]
	if k == nil {
		return nil, fail.New(fail.NotFound, "there is no job %s", jobID)
	}
	c := &Call{Kind: k, Verb: Get, Alias: alias, Principal: p, Domain: string(j.Domain), Project: string(j.Project), Target: string(j.Row)}
	if k.Scope == kind.InCloud { // whose rows are domains of their own
		c.Domain = ""
	}
	var s scope
	err = d.Store.View(ctx, func(tx store.Tx) (err error) {
		if s, err = d.scope(tx, c); err != nil {
			return fail.New(fail.NotFound, "there is no job %s", jobID)
		}
		_, err = d.allowed(tx, c, s, j.Name, nil)
		return err
	})
	if err != nil {
		return nil, d.refused(ctx, c, s, err)
	}
	return j, nil
}

// WaitJob waits for a job to end; ctx bounds it.
func (d *Door) WaitJob(ctx context.Context, jobID id.ID) (*job.Job, error) {
	return d.jobs.Wait(ctx, jobID)
}

func (d *Door) now() time.Time { return d.Now().UTC() }
