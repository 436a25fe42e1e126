package registry

import (
	"io"
	"net/http"
	"sync"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
)

// Transport answers requests for https://Host()/v2/… without a socket, acting for project: everything in
// "project/…", and reading in "library/…". Project "" is the cloud itself.
func (r *Registry) Transport(project string) http.RoundTripper {
	return &inside{registry: r, project: project}
}

type inside struct {
	registry *Registry
	project  string
	by       *change // who is to blame; nil: the project
}

// allowed is what Authorize is for outside clients.
func (t *inside) allowed(repository string, actions []string) error {
	if t.project == "" || repository == "" && len(actions) == 0 {
		return nil
	}
	ok, err := t.registry.usable(t.project, repository, actions)
	if ok || err != nil {
		return err
	}
	return fail.New(fail.NotFound, "repository %s is not known to this project", repository)
}

// RoundTrip serves q in a goroutine that ends when the handler has answered, the body is closed or q's context ends.
func (t *inside) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.URL.Host != t.registry.host {
		if q.Body != nil {
			q.Body.Close()
		}
		return nil, fail.New(fail.Denied, "%s is not this cloud's registry", q.URL.Host)
	}
	in := q.Clone(q.Context())
	in.RequestURI = q.URL.RequestURI()
	in.Host = t.registry.host
	in.RemoteAddr = "127.0.0.1:0"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	reader, writer := io.Pipe()
	w := &answer{header: http.Header{}, body: writer, ready: make(chan struct{}), bodyless: q.Method == http.MethodHead}
	go func() {
		defer in.Body.Close()
		t.serve(w, in)
		w.WriteHeader(http.StatusOK)
		writer.Close()
	}()
	select {
	case <-w.ready:
	case <-q.Context().Done():
		reader.CloseWithError(q.Context().Err())
		return nil, q.Context().Err()
	}
	length := int64(-1)
	if w.bodyless || w.status == http.StatusNoContent {
		length = 0
	}
	if n, err := parseLength(w.sent.Get("Content-Length")); err == nil {
		length = n
	}
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: reader, ContentLength: length, Request: q,
	}, nil
}

func (t *inside) serve(w http.ResponseWriter, q *http.Request) {
	repository, actions, ok := scope(q.Method, q.URL.Path)
	if !ok {
		writeError(w, http.StatusNotFound, "NAME_INVALID", "this address is not part of the registry")
		return
	}
	if err := t.allowed(repository, actions); err != nil {
		t.registry.refuse(w, q, err)
		return
	}
	if from := q.URL.Query().Get("from"); from != "" && t.allowed(from, []string{Pull}) != nil {
		q = withoutMount(q)
	}
	if t.by != nil {
		t.registry.serve(w, q, repository, *t.by)
		return
	}
	by := ident.System()
	if t.project != "" {
		by.UserName = "project " + t.project
	}
	t.registry.serve(w, q, repository, change{who: by, source: "inside"})
}

// answer is a ResponseWriter whose body is a pipe, so that large blobs are never held in memory.
type answer struct {
	header   http.Header
	body     *io.PipeWriter
	bodyless bool

	once   sync.Once
	ready  chan struct{} // closed once status and sent are set
	status int
	sent   http.Header
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	a.once.Do(func() {
		a.status, a.sent = status, a.header.Clone()
		close(a.ready)
	})
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.bodyless {
		return len(b), nil
	}
	return a.body.Write(b)
}
