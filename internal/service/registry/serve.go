package registry

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// serve hands an allowed request to distribution, and accounts for what it changes.
func (r *Registry) serve(w http.ResponseWriter, q *http.Request, repository string, c change) {
	rest := strings.TrimPrefix(strings.TrimPrefix(q.URL.Path, "/v2/"+repository), "/")
	what, ref, _ := strings.Cut(rest, "/")
	r.rely(what, ref, q)
	switch q.Method {
	case http.MethodGet, http.MethodHead:
		if what == "referrers" {
			r.serveReferrers(w, q, repository, ref)
			return
		}
		r.app.ServeHTTP(w, q)
		return
	}
	if what == "manifests" && q.Method == http.MethodDelete {
		if err := r.deletable(q, repository, ref); err != nil {
			r.refuse(w, q, err)
			return
		}
	}
	var body *bounded
	if q.Method != http.MethodDelete {
		room, limited, err := r.room(q.Context(), repository)
		if err != nil {
			r.refuse(w, q, err)
			return
		}
		if limited {
			if room == 0 || q.ContentLength > room {
				full(w, errFull)
				return
			}
			body = &bounded{ReadCloser: q.Body, left: room}
			q.Body = body
		}
	}
	out := &held{header: http.Header{}, status: http.StatusOK}
	var sent []byte
	if what == "manifests" && q.Method == http.MethodPut {
		var err error
		if sent, err = r.readManifest(q); err != nil {
			if e := fail.From(err); e.Kind == fail.Invalid {
				writeError(w, http.StatusBadRequest, "MANIFEST_INVALID", e.Public())
				return
			}
			r.refuse(w, q, err)
			return
		}
	}
	r.app.ServeHTTP(out, q)
	if body != nil && body.over {
		full(w, errFull)
		return
	}
	if out.status < 300 {
		if err := r.changed(q, repository, what, ref, sent, out, c); err != nil {
			if errors.Is(err, errOverQuota) {
				full(w, errFull)
				return
			}
			r.refuse(w, q, err)
			return
		}
	}
	out.send(w)
}

// rely notes which blobs a client counts on.
func (r *Registry) rely(what, ref string, q *http.Request) {
	var digests []digest.Digest
	for _, s := range []string{ref, q.URL.Query().Get("mount"), q.URL.Query().Get("digest")} {
		if d, err := digest.Parse(s); err == nil && (what == "blobs" || what == "manifests") {
			digests = append(digests, d)
		}
	}
	if len(digests) > 0 {
		r.relied.touch(r.now(), digests...)
	}
}

// bounded lets through what the project may still store.
type bounded struct {
	io.ReadCloser
	left int64
	over bool
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		b.over = true
		return 0, errFull
	}
	return n, err
}

// maxManifest is the largest manifest, in bytes: what distribution takes too.
const maxManifest = 4 << 20

// readManifest reads a manifest before it is stored, so that the collection leaves what it refers to alone.
func (r *Registry) readManifest(q *http.Request) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(q.Body, maxManifest+1))
	if err != nil {
		return nil, fail.Wrap(err, fail.Canceled, "the manifest cannot be read")
	}
	if len(b) > maxManifest {
		return nil, fail.New(fail.TooLarge, "the manifest is larger than %d bytes", maxManifest)
	}
	d := digest.FromBytes(b)
	if m, err := parse(d, q.Header.Get("Content-Type"), b); err == nil { // else distribution says what is wrong with it
		if m.elsewhere {
			return nil, fail.New(fail.Invalid, "the image has layers that are kept elsewhere, and this cloud fetches nothing from outside").
				Then("push the layers too, as ordinary ones")
		}
		r.relied.touch(r.now(), append(append([]digest.Digest{d}, m.blobs...), m.children...)...)
	}
	q.Body = io.NopCloser(bytes.NewReader(b))
	return b, nil
}

// held keeps an answer to a write back until it is accounted for; such answers are small.
type held struct {
	header http.Header
	status int
	body   bytes.Buffer
	done   bool
}

func (h *held) Header() http.Header { return h.header }

func (h *held) WriteHeader(status int) {
	if !h.done {
		h.status, h.done = status, true
	}
}

func (h *held) Write(p []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	return h.body.Write(p)
}

func (h *held) send(w http.ResponseWriter) {
	for k, v := range h.header {
		w.Header()[k] = v
	}
	w.WriteHeader(h.status)
	_, _ = w.Write(h.body.Bytes())
}
