package asbuilt

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/clock"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

const (
	every     = 24 * time.Hour
	retention = 400 * 24 * time.Hour // reports are kept for so long, and what was found between them
	shown     = 100                  // differences that a row tells; all are in the document
)

// Spec says why a report was made.
type Spec struct {
	Why string `json:"why" doc:"why it is made" max:"255" immutable:"true"`
}

// Status is what a report says.
type Status struct {
	Made         time.Time `json:"made,omitzero" doc:"when the machine was looked at"`
	Things       int       `json:"things" doc:"things compared"`
	Differences  int       `json:"differences" doc:"of them, those that were not what was asked for"`
	Drift        int       `json:"drift" doc:"differences found and repaired since the report before"`
	DesignSHA256 string    `json:"design_sha256,omitempty" doc:"over what was asked for"`
	ActualSHA256 string    `json:"actual_sha256,omitempty" doc:"over what is there: equal, when nothing differs"`
	SHA256       string    `json:"sha256,omitempty" doc:"of the document"`
	Signature    string    `json:"signature,omitempty" doc:"ECDSA over the SHA-256 of the document, ASN.1, base64"`
	Certificate  string    `json:"certificate,omitempty" doc:"verifies the signature; the cloud's CA signed it"`
	Bytes        int64     `json:"bytes" doc:"length of the document" unit:"bytes"`
	First        []string  `json:"first,omitempty" doc:"the first hundred differences"`
}

// Row is one report.
type Row = kind.Row[Spec, Status]

// Files is where documents are kept.
type Files interface {
	Put(ctx context.Context, key string, body io.Reader, size int64) error
	Open(ctx context.Context, key string, from int64) (io.ReadCloser, error)
	Delete(ctx context.Context, keys ...string) error
}

// Deps are what the service stands on; the zero value is enough to describe its kind.
type Deps struct {
	Store  store.Store
	Files  Files
	Looks  map[string]Look // by service
	Key    func() (*tls.Certificate, error)
	Cloud  string
	Region string
	Door   func() *call.Door
	Now    clock.Clock
	Log    *slog.Logger
}

// Service makes the reports.
type Service struct {
	Deps
	Rows    kind.Table[Spec, Status]
	stop    context.CancelFunc
	running sync.WaitGroup
}

// New makes the service.
func New(d Deps) *Service {
	s := &Service{Deps: d}
	s.Rows = kind.TableOf[Spec, Status](kind.Kind[Spec, Status]{
		Service: "audit", Name: "as-built", Plural: "as-built", Scope: kind.InCloud,
		Doc:      "A signed report of what the cloud was asked for and what the machine holds: made each day, and when you ask.",
		Columns:  []string{"status.made", "status.things", "status.differences", "status.drift"},
		Example:  Spec{Why: "before the audit"},
		Defaults: func(_ context.Context, _ store.Tx, r *Row) error { r.Status = Status{}; return nil },
		Create:   job.Flow[Row]{{Name: "look", Do: s.make, Deadline: 10 * time.Minute}},
		CheckDelete: func(_ context.Context, _ store.Tx, r *Row) error {
			if r.Status.SHA256 != "" && s.Now().Before(r.Created.Add(retention)) {
				return fail.New(fail.Precondition, "reports are kept for %d days", int(retention.Hours()/24))
			}
			return nil
		},
		Delete: job.Flow[Row]{{Name: "document", Do: func(ctx context.Context, r *Row) error { return s.Files.Delete(ctx, string(r.ID)) }}},
		Actions: []kind.Action[Spec, Status]{
			{Verb: "document", Doc: "the report itself, as it was signed (JSON)", Level: kind.Read, Serve: s.document}},
	}.Def())
	return s
}

// Kinds lists the kind.
func (s *Service) Kinds() []*kind.Def { return []*kind.Def{s.Rows.D} }

// Start makes a report whenever the newest is a day old, until Close.
func (s *Service) Start(ctx context.Context) {
	ctx, s.stop = context.WithCancel(ident.With(context.WithoutCancel(ctx), ident.System()))
	s.running.Go(func() {
		for wait := time.Minute; ; wait = 10 * time.Minute { // engines have looked around by then
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
			if err := s.daily(ctx); err != nil && ctx.Err() == nil {
				s.Log.Warn("the daily report of what is built cannot be made", "err", err)
			}
		}
	})
}

// Close ends that.
func (s *Service) Close() {
	if s.stop != nil {
		s.stop()
	}
	s.running.Wait()
}

func (s *Service) daily(ctx context.Context) error {
	rows, err := s.all(ctx)
	if err != nil {
		return err
	}
	now := s.Now().UTC()
	for _, r := range rows {
		if now.After(r.Created.Add(retention)) {
			if err := s.ask(ctx, &call.Call{Verb: call.Delete, Target: string(r.ID)}); err != nil {
				return err
			}
		}
	}
	if len(rows) > 0 && now.Before(rows[len(rows)-1].Created.Add(every)) {
		return nil
	}
	name := now.Format("daily-2006-01-02-1504")
	return s.ask(ctx, &call.Call{Verb: call.Create, Name: &name, Spec: json.RawMessage(`{"why":"each day"}`)})
}

func (s *Service) ask(ctx context.Context, c *call.Call) error {
	c.Kind, c.Principal, c.Dialect = s.Rows.D, ident.System(), "loop"
	_, err := s.Door().Do(ctx, c)
	return err
}

func (s *Service) all(ctx context.Context) (rows []*Row, err error) {
	err = s.Store.View(ctx, func(tx store.Tx) (err error) {
		rows, err = s.Rows.List(tx, "", kind.Filter{})
		return err
	})
	return rows, err
}

// make looks at everything and keeps what it found, signed.
func (s *Service) make(ctx context.Context, row *Row) error {
	doc, err := s.look(ctx, row)
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		return err
	}
	b = append(b, '\n')
	st := &row.Status
	*st = Status{Made: doc.Made, Things: len(doc.Things), Drift: len(doc.Drift), DesignSHA256: doc.DesignSHA256, ActualSHA256: doc.ActualSHA256, Bytes: int64(len(b))}
	for _, t := range doc.Things {
		if t.Differs != "" {
			if st.Differences++; st.Differences <= shown {
				st.First = append(st.First, fmt.Sprintf("%s %s: %s", t.Kind, cmp.Or(t.Name, string(t.ID)), t.Differs))
			}
		}
	}
	sum := sha256.Sum256(b)
	key, err := s.Key()
	if err != nil {
		return err
	}
	signer, ok := key.PrivateKey.(crypto.Signer)
	if !ok {
		return fail.New(fail.Internal, "the key of reports cannot sign")
	}
	sig, err := signer.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return err
	}
	st.SHA256, st.Signature = hex.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(sig)
	st.Certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: key.Certificate[0]}))
	if st.Differences > 0 {
		s.Log.Warn("what is built is not what was asked for", "report", row.Name, "differences", st.Differences, "first", st.First[0])
	}
	return s.Files.Put(ctx, string(row.ID), bytes.NewReader(b), int64(len(b)))
}

func (s *Service) look(ctx context.Context, row *Row) (*Document, error) {
	doc := &Document{Cloud: s.Cloud, Region: s.Region, Made: s.Now().UTC(), Things: []Thing{}, Drift: []Drift{}}
	for _, service := range slices.Sorted(maps.Keys(s.Looks)) {
		err := s.Looks[service](ctx, func(t Thing) {
			compare(&t)
			doc.Things = append(doc.Things, t)
		})
		if err != nil {
			doc.Unseen = append(doc.Unseen, service+": "+fail.From(err).Public())
		}
	}
	slices.SortStableFunc(doc.Things, func(a, b Thing) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID)) })
	design, actual := sha256.New(), sha256.New()
	for _, t := range doc.Things {
		for _, side := range []struct {
			into  io.Writer
			facts Facts
		}{{design, t.Design}, {actual, t.Actual}} {
			if side.facts == nil {
				continue
			}
			b, err := json.Marshal(side.facts) // keys are sorted
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(side.into, "%s %s %s\n", t.Kind, t.ID, b)
		}
	}
	doc.DesignSHA256, doc.ActualSHA256 = hex.EncodeToString(design.Sum(nil)), hex.EncodeToString(actual.Sum(nil))
	rows, err := s.all(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		if r.ID < row.ID && r.Status.SHA256 != "" {
			doc.Since = r.Status.Made
		}
	}
	doc.Drift, err = s.found(ctx, doc.Since)
	return doc, err
}

func (s *Service) document(ctx context.Context, row *Row, _ any, st kind.Stream) error {
	if row.Status.SHA256 == "" {
		return fail.New(fail.Precondition, "the report is not made yet").Then("wait for it: awan as-built show %s", row.Name)
	}
	body, err := s.Files.Open(ctx, string(row.ID), 0)
	if err != nil {
		return err
	}
	defer body.Close()
	w, err := st.Raw("application/vnd.awan.as-built+json")
	if err != nil {
		return err
	}
	_, err = io.Copy(w, body)
	return err
}
