// Package kind describes resources. A Kind is one Go value; native routes, OpenAPI, validation, CLI verbs, console
// forms and tables, policy actions, audit names, quota and meters all come from it.
// It may import kernel/{store,job,ledger,event,fail,id}.
package kind

import (
	"context"
	"io"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Scope is what a row belongs to; lookups and names are confined to it.
type Scope string

const (
	InProject Scope = "project"
	InDomain  Scope = "domain"
	InCloud   Scope = "cloud"
)

// State of a row, the same words for every kind.
type State string

const (
	Creating State = "creating"
	Active   State = "active"
	Updating State = "updating"
	Deleting State = "deleting"
	Failed   State = "failed"  // the last operation failed; Reason says why
	Trashed  State = "trashed" // deleted, recoverable until Purge
)

// Meta is what every row has.
type Meta struct {
	ID      id.ID             `json:"id" doc:"identifier, 32 hex digits"`
	Kind    string            `json:"kind" doc:"service/kind"`
	Domain  id.ID             `json:"domain,omitempty" doc:"the domain (account) it belongs to"`
	Project id.ID             `json:"project,omitempty" doc:"the project it belongs to"`
	Name    string            `json:"name" doc:"unique in its project (or domain)"`
	Tags    map[string]string `json:"tags,omitempty" doc:"free labels, for filters and policies"`
	// EnterpriseProject groups a project's resources across projects.
	EnterpriseProject id.ID     `json:"enterprise_project,omitempty" doc:"the enterprise project it belongs to; none: the default one, 0"`
	State             State     `json:"state" doc:"creating, active, updating, deleting, failed or trashed"`
	Reason            string    `json:"reason,omitempty" doc:"why it failed, or what it waits for"`
	Generation        int64     `json:"generation" doc:"counts changes of the spec"`
	Revision          int64     `json:"revision" doc:"counts changes of the row; give it as if_revision to update safely"`
	Job               id.ID     `json:"job,omitempty" doc:"the operation that runs on it now"`
	CreatedBy         string    `json:"created_by,omitempty" doc:"who created it"`
	Created           time.Time `json:"created" doc:"RFC 3339"`
	Updated           time.Time `json:"updated" doc:"RFC 3339"`
	Deleted           time.Time `json:"deleted,omitzero" doc:"when it came into the trash; set only while it is there"`
	Purge             time.Time `json:"purge,omitzero" doc:"when it leaves the trash for good"`
	Made              bool      `json:"made,omitempty" doc:"its creation was completed once"`
}

// Row is one stored resource.
type Row[S, T any] struct {
	Meta
	Spec   S `json:"spec"`
	Status T `json:"status"`
}

// M gives the meta data, for code that knows no types.
func (r *Row[S, T]) M() *Meta { return &r.Meta }

// SpecPtr points at the spec.
func (r *Row[S, T]) SpecPtr() any { return &r.Spec }

// StatusPtr points at the status.
func (r *Row[S, T]) StatusPtr() any { return &r.Status }

// AnyRow is a row whose types only its kind knows. It encodes as JSON like the row.
type AnyRow interface {
	M() *Meta
	SpecPtr() any
	StatusPtr() any
}

// Level is how much an action may do; system policies are made of levels.
type Level string

const (
	List  Level = "list"
	Read  Level = "read"
	Write Level = "write"
	Admin Level = "admin" // changes who may do what, or what others may use
)

// Kind describes one resource. The zero value of every optional field means "none".
type Kind[S, T any] struct {
	Service string // "app"
	Name    string // "component"
	Plural  string // "components"
	Doc     string // one sentence: what it is
	Example S      // a spec that works, for help and OpenAPI; may be the zero value

	Scope    Scope
	ReadOnly bool // rows are made by the service itself; only get and list are offered
	NoRename bool // the name is part of something outside (an address)
	Public   bool // InCloud only: whoever is logged in and allowed to may read every row
	NamePat  string
	NameRule string // what NamePat says, in words: "use lower-case letters"; may be empty
	NameLike string // a name that fits NamePat, for help; may be empty where "my-NAME" does
	AnyName  bool   // names may repeat and hold any text (user-visible titles)

	Actions []Action[S, T]
	Columns []string // of tables, as JSON paths: "spec.replicas"; name, state and age come by themselves

	Quota map[ledger.Dim]func(S) int64
	// Holds is quota that shows in the status only (bytes stored, say): whoever writes that status reserves the
	// difference in the same transaction; deleting the row gives it back.
	Holds map[ledger.Dim]func(S, T) int64
	Meter map[ledger.Dim]func(S, T) int64 // asked when the row changes state; 0 when the state is not active
	Index map[string]func(*Row[S, T]) []string

	// Prepare runs before the transaction, for what is slow or random: hashing a password, making a key. It may run
	// for a request that then fails. old is nil at creation.
	Prepare func(ctx context.Context, old, row *Row[S, T]) error
	// Defaults fills fields that depend on others or on stored rows, before validation.
	Defaults func(ctx context.Context, tx store.Tx, row *Row[S, T]) error
	// Check refuses what the field rules cannot see. old is nil at creation. It runs in the accepting transaction.
	Check func(ctx context.Context, tx store.Tx, old, row *Row[S, T]) error
	// CheckDelete refuses a delete (still in use, not empty).
	CheckDelete func(ctx context.Context, tx store.Tx, row *Row[S, T]) error
	// Changed runs in the transaction of every accepted create and update, and in the one that removes the row (row is
	// then nil): for rows and indexes that follow this one.
	Changed func(ctx context.Context, tx store.Tx, old, row *Row[S, T]) error

	// Shown fills in what is kept elsewhere than in the row (a last use), in the copy that get and list give out.
	Shown func(tx store.Tx, row *Row[S, T]) error

	Create, Update, Delete job.Flow[Row[S, T]]
	Loop                   job.Loop[Row[S, T]]
	// Retention keeps a deleted row in the trash, recoverable, this long. The Delete flow runs when it leaves the
	// trash; Park runs at once (stop what costs), Unpark when it is restored.
	Retention    time.Duration
	Park, Unpark job.Flow[Row[S, T]]
}

// Action is a verb beyond create, get, list, update and delete.
type Action[S, T any] struct {
	Verb  string // "scale"
	Doc   string
	Level Level
	In    any // a struct value; its fields are described by the same tags as specs. nil: no input
	// Change edits the row in the accepting transaction, like an update, and names the flow to run: "update", "" for
	// none, or one of Flows.
	Change func(ctx context.Context, tx store.Tx, row *Row[S, T], in any) (flow string, err error)
	// Flow, when set, runs after Change; its name is the verb.
	Flow job.Flow[Row[S, T]]
	// Serve answers outside any transaction with a stream (logs, exec) or a document.
	Serve func(ctx context.Context, row *Row[S, T], in any, s Stream) error
	// Collection says that the action is on the collection, not on one row (row is then nil): an upload, say.
	Collection bool
	// Secret says that the input must not reach the audit log.
	Secret bool
}

// Stream is the two ends of an action that streams.
type Stream struct {
	Body io.Reader // what the client sends
	Meta Meta      // scope and caller: Project, Domain, CreatedBy are set
	// Emit sends one document: a line of JSON in a stream, or the whole answer.
	Emit func(v any) error
	// Raw sends bytes of this content type instead; call it once, before writing.
	Raw func(contentType string) (io.Writer, error)
	// Duplex turns the connection into a two-way pipe (exec); nil when the dialect cannot.
	Duplex func() (io.ReadWriteCloser, error)
}
