package job

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	jsonv1 "github.com/go-json-experiment/json/v1" // the same meaning as encoding/json, in half the time

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// State of a job.
type State string

const (
	Running   State = "running"
	Undoing   State = "undoing"   // a step failed; taking back what was done
	Succeeded State = "succeeded" // every step done
	Failed    State = "failed"    // undone; Error says why
)

// Job is the stored record and, as it is, what a reader sees.
type Job struct {
	ID      id.ID  `json:"id"`
	Domain  id.ID  `json:"domain,omitempty"`
	Project id.ID  `json:"project,omitempty"`
	Kind    string `json:"kind"` // "app/component"
	Row     id.ID  `json:"resource"`
	Name    string `json:"name"` // of the row, for people
	Flow    string `json:"operation"`

	State  State      `json:"state"`
	Step   int        `json:"step"`  // index into Steps of the one running, or being undone
	Steps  []StepView `json:"steps"` // all of them, in order
	Try    int        `json:"try"`   // of the present step, from 1
	Note   string     `json:"note,omitempty"`
	Error  *Failure   `json:"error,omitempty"`
	Cancel bool       `json:"cancelled,omitempty"` // a delete came: unwind, then let the delete go on

	Created   time.Time `json:"created"`
	Ended     time.Time `json:"ended,omitzero"`
	NotBefore time.Time `json:"not_before,omitzero"`
	Deadline  time.Time `json:"deadline,omitzero"` // of the present step
	By        string    `json:"by"`                // the principal's name
	Request   string    `json:"request_id,omitempty"`
	Audit     id.ID     `json:"audit,omitempty"`

	Before json.RawMessage `json:"-"` // the spec before an update, restored when it unwinds; stored, not shown
	Then   string          `json:"-"` // a flow to start when this job ended (a delete that interrupted it)
}

// StepView is a step's history.
type StepView struct {
	Name    string    `json:"name"`
	Started time.Time `json:"started,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	Undone  bool      `json:"undone,omitempty"`
}

// Failure is the public half of what went wrong.
type Failure struct {
	Kind    fail.Kind `json:"kind"`
	Field   string    `json:"field,omitempty"`
	Message string    `json:"message"`
	Next    string    `json:"next,omitempty"`
	Step    string    `json:"step,omitempty"`
}

// Err turns the stored failure back into an error.
func (f *Failure) Err() error {
	if f == nil {
		return nil
	}
	return &fail.Error{Kind: f.Kind, Field: f.Field, Message: f.Message, Next: f.Next}
}

func failure(err error, step string) *Failure {
	e := fail.From(err)
	return &Failure{Kind: e.Kind, Field: e.Field, Message: e.Message, Next: e.Next, Step: step}
}

// Done says that the job ended, either way.
func (j *Job) Done() bool { return j.State == Succeeded || j.State == Failed }

// stored is the record with the fields that readers do not see.
type stored struct {
	*Job
	Before json.RawMessage `json:"before,omitempty"`
	Then   string          `json:"then,omitempty"`
}

// Keys: jobs lie under job/<id>; those not done also under jobdue/<id>, so that a restart finds them without a scan of
// all; rowjob/<row>/<job> lists a row's jobs.
const (
	prefix    = "job/"
	duePrefix = "jobdue/"
	rowPrefix = "rowjob/"
)

// Put stores j in the caller's transaction.
func Put(tx store.Tx, j *Job) error {
	b, err := json.Marshal(stored{Job: j, Before: j.Before, Then: j.Then})
	if err != nil {
		return err
	}
	if err := tx.Put(prefix+string(j.ID), b); err != nil {
		return err
	}
	if err := tx.Put(rowPrefix+string(j.Row)+"/"+string(j.ID), nil); err != nil {
		return err
	}
	if j.Done() {
		return tx.Delete(duePrefix + string(j.ID))
	}
	return tx.Put(duePrefix+string(j.ID), nil)
}

// Get reads a job.
func Get(tx store.Tx, jobID id.ID) (*Job, error) {
	b, ok, err := tx.Get(prefix + string(jobID))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fail.New(fail.NotFound, "there is no job %s", jobID)
	}
	return decode(b)
}

func decode(b []byte) (*Job, error) {
	s := stored{Job: new(Job)}
	if err := jsonv1.Unmarshal(b, &s); err != nil {
		return nil, err
	}
	s.Job.Before, s.Job.Then = s.Before, s.Then
	return s.Job, nil
}

// known is a job as it was last decoded: most of its steps read it several times.
type known struct {
	stored []byte
	job    *Job
}

// get is Get, without decoding anew what is still stored so. It is for one goroutine.
func (k *known) get(tx store.Tx, jobID id.ID) (*Job, error) {
	b, ok, err := tx.Get(prefix + string(jobID))
	if err != nil || !ok {
		return Get(tx, jobID)
	}
	if k.job == nil || !bytes.Equal(k.stored, b) {
		j, err := decode(b)
		if err != nil {
			return nil, err
		}
		k.stored, k.job = b, j
	}
	j := *k.job
	j.Steps = slices.Clone(j.Steps)
	return &j, nil
}

// New makes a job's record; the caller puts it beside the row.
func New(kind string, row id.ID, flow string, steps []AnyStep, now time.Time) *Job {
	j := &Job{ID: id.New(), Kind: kind, Row: row, Flow: flow, State: Running, Created: now}
	for _, s := range steps {
		j.Steps = append(j.Steps, StepView{Name: s.Name})
	}
	return j
}
