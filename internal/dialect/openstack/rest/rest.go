// Package rest holds what OpenStack's services beside Keystone have alike: version documents and microversions, errors
// wrapped under a name, bodies of one object, lists that page by marker, ids with dashes. It stands on Keystone's API,
// whose exchanges it uses. It may import the kernel and dialect/{front,wire,openstack/token}.
package rest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/dialect/front"
	"github.com/awancloud/awan/internal/dialect/openstack/token"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Dialect is what these services are called in the audit log.
const Dialect = "openstack"

// Exchange is one request on its way to the door.
type Exchange = wire.Exchange

// Service describes one of the services.
type Service struct {
	Name   string // "nova": its name on the listener
	Prefix string // "compute": its path prefix, and the catalog's
	Type   string // "compute": its type in the catalog
	Path   string // "/v2.1": what its address in the catalog ends in; {project} is the token's
}

// Entry is the service's line in Keystone's catalog.
func (s Service) Entry() token.CatalogEntry {
	return token.CatalogEntry{Type: s.Type, Name: s.Name, URL: func(r *http.Request, project id.ID) string {
		return s.at(r) + strings.ReplaceAll(s.Path, "{project}", string(project))
	}}
}

// at is the service's address for a client that reached identity by r: the same host, or its sister under the cloud's
// domain.
func (s Service) at(r *http.Request) string {
	scheme := "https://"
	if info := front.From(r.Context()); !info.Secure && r.TLS == nil {
		scheme = "http://"
	}
	for _, label := range []string{"identity.", "keystone.", "iam."} {
		if rest, ok := strings.CutPrefix(r.Host, label); ok {
			return scheme + s.Name + "." + rest
		}
	}
	return scheme + r.Host + "/" + s.Prefix
}

// Behind is the API behind the listener. Paths without the service's name are not its own: Huawei's services have the same.
func (s Service) Behind(a *wire.API, maxBody int64) front.Service {
	f := front.Service{Name: s.Name, Handler: a, MaxBody: maxBody, Fail: func(w http.ResponseWriter, r *http.Request, _ int, err *fail.Error) { a.Fail(w, r, err) }}
	if s.Prefix != s.Name {
		f.Prefixes = []string{s.Prefix}
	}
	return f
}

// Time prints as these services do: seconds, UTC. The zero time is null.
type Time time.Time

// MarshalJSON prints the time.
func (t Time) MarshalJSON() ([]byte, error) {
	if time.Time(t).IsZero() {
		return []byte("null"), nil
	}
	return time.Time(t).UTC().AppendFormat(nil, `"2006-01-02T15:04:05Z"`), nil
}

// Micro prints without a zone and with microseconds, as some of their older parts do. The zero time is null.
type Micro time.Time

// MarshalJSON prints the time.
func (t Micro) MarshalJSON() ([]byte, error) {
	if time.Time(t).IsZero() {
		return []byte("null"), nil
	}
	return time.Time(t).UTC().AppendFormat(nil, `"2006-01-02T15:04:05.000000"`), nil
}

// Null is nil for "".
func Null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// Target reads the id in a path. What is no id leads to nothing: these services find nothing by name.
func Target(x *Exchange, k *kind.Def, text string) (id.ID, error) {
	row, ok := id.Parse(text)
	if !ok {
		return "", Absent(k, text)
	}
	return row, nil
}

// Absent says that there is no such thing.
func Absent(k *kind.Def, text string) error {
	return fail.New(fail.NotFound, "%s %s could not be found", k.Name, text)
}

// In points the exchange's calls at the project of a row, where the caller works in another and may look there (an
// administrator). It decides nothing: the door does, and what it then refuses does not exist for the caller.
func In(x *Exchange, k *kind.Def, row id.ID) (elsewhere bool) {
	if k.Scope != kind.InProject {
		return false
	}
	_ = x.API.Door.Store.View(x.R.Context(), func(tx store.Tx) error {
		r, err := k.Get(tx, row)
		if err == nil && r != nil && r.M().Project != x.Who.Project {
			x.Call.Project, elsewhere = string(r.M().Project), true
		}
		return err
	})
	return elsewhere
}

// Do sends a call about the row that the path names.
func Do(x *Exchange, k *kind.Def, verb, target string, edit func(*call.Call)) (call.Reply, error) {
	row, err := Target(x, k, target)
	if err != nil {
		return call.Reply{}, err
	}
	elsewhere := In(x, k, row)
	c := x.Call
	c.Kind, c.Verb, c.Target = k, verb, string(row)
	if edit != nil {
		edit(&c)
	}
	r, err := x.API.Door.Do(x.R.Context(), &c)
	if fail.Is(err, fail.NotFound) && strings.HasPrefix(fail.From(err).Message, "there is no "+k.Name+" ") ||
		elsewhere && (fail.Is(err, fail.Denied) || fail.Is(err, fail.NotFound)) {
		return r, Absent(k, target)
	}
	if err == nil && r.Row != nil && r.Row.M().State == kind.Trashed && verb == call.Get {
		return call.Reply{}, Absent(k, target) // a trash is nothing that these clients know
	}
	return r, err
}

// Get reads the row that the path names.
func Get[S, T any](x *Exchange, t kind.Table[S, T], target string) (*kind.Row[S, T], error) {
	r, err := Do(x, t.D, call.Get, target, nil)
	if err != nil {
		return nil, err
	}
	return r.Row.(*kind.Row[S, T]), nil
}

// settleTime is how long a change may take before the client gets its answer: most are through at once.
const settleTime = 20 * time.Second

// Change sends an update, or an action that clients take for done when it is answered, and waits a while for its job.
// A row that is busy is waited for too, as long.
func Change(x *Exchange, k *kind.Def, verb, target string, edit func(*call.Call)) (kind.AnyRow, error) {
	ctx, cancel := context.WithTimeout(x.R.Context(), settleTime)
	defer cancel()
	for {
		r, err := Do(x, k, verb, target, edit)
		if fail.Is(err, fail.Conflict) {
			if Settled(x, k, target, ctx) {
				continue
			}
			return nil, err
		}
		if err != nil || r.Job == nil {
			return r.Row, err
		}
		j, err := x.API.Door.WaitJob(ctx, r.Job.ID)
		if err != nil {
			return r.Row, nil // it goes on without the client
		}
		if j.Error != nil {
			return nil, j.Error.Err()
		}
		now, err := Do(x, k, call.Get, target, nil)
		return now.Row, err
	}
}

// Settled waits for the job that a row is busy with; it is false when there is none, or ctx ends.
func Settled(x *Exchange, k *kind.Def, target string, ctx context.Context) bool {
	r, err := Do(x, k, call.Get, target, nil)
	if err != nil || r.Row.M().Job == "" {
		return false
	}
	_, err = x.API.Door.WaitJob(ctx, r.Row.M().Job)
	return err == nil
}

// Accepted answers 202 without a body.
func Accepted(x *Exchange) error {
	x.W.WriteHeader(http.StatusAccepted)
	return nil
}

// Write answers with one object under its name.
func Write(x *Exchange, status int, name string, v any) error {
	wire.Write(x.W, status, map[string]any{name: v})
	return nil
}

// AttachmentID is the id of a volume's place in a server, made of both: Nova and Cinder print the same.
func AttachmentID(server, volume id.ID) string {
	h := sha256.Sum256([]byte(string(server) + "/" + string(volume)))
	return id.ID(hex.EncodeToString(h[:16])).Dashed()
}
