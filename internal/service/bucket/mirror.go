package bucket

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/outward"
)

const (
	// MaxMirror is how large an object may be that is fetched because it was not there.
	MaxMirror   = 1 << 30
	mirrorSlots = 32 // objects that are fetched at the same time
	mirrorTime  = 10 * time.Minute
)

// mirrors is what is being fetched: who asks for the same meanwhile waits for it.
type mirrors struct {
	mu      sync.Mutex
	fetches map[string]*fetch
}

type fetch struct {
	done chan struct{}
	err  error
}

// mirror is the rule that says where an object is fetched from that is not there; nil none.
func (b *bucket) mirror(key string) *Mirror {
	for i := range b.Spec.Mirror {
		if m := &b.Spec.Mirror[i]; strings.HasPrefix(key, m.Prefix) && key != m.Prefix {
			return m
		}
	}
	return nil
}

// fetches tells that a read which finds nothing is to have it fetched: nothing of that name was ever stored, or deleted.
func (b *bucket) fetches(in *GetInput, action string, found *record, err error) bool {
	return len(b.Spec.Mirror) > 0 && !in.fetched && found == nil && action == "obs:object:GetObject" && in.Version == "" && CodeOf(err) == "NoSuchKey" && b.mirror(in.Key) != nil
}

// fetch brings an object from where the bucket's rule says and stores it. Callers may read the object; the store happens
// in the cloud's own name.
func (s *Service) fetch(ctx context.Context, b *bucket, key string) error {
	at := string(b.ID) + "/" + key
	m := &s.mirrors
	m.mu.Lock()
	if m.fetches == nil {
		m.fetches = map[string]*fetch{}
	}
	f := m.fetches[at]
	if f == nil {
		if len(m.fetches) >= mirrorSlots {
			m.mu.Unlock()
			return failed("SlowDown", fail.New(fail.RateLimited, "many objects are being fetched").Then("try again in a moment"))
		}
		f = &fetch{done: make(chan struct{})}
		m.fetches[at] = f
		s.running.Go(func() { // who asked first may go away: others wait
			ctx, cancel := context.WithTimeout(s.ctx, mirrorTime)
			defer cancel()
			f.err = s.fetchOne(ctx, b, key)
			m.mu.Lock()
			delete(m.fetches, at)
			m.mu.Unlock()
			close(f.done)
		})
	}
	m.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-f.done:
		return f.err
	}
}

func (s *Service) fetchOne(ctx context.Context, b *bucket, key string) error {
	there := false
	err := s.Store.View(ctx, func(tx store.Tx) error {
		now, err := current(tx, b, key)
		there = now != nil
		return err
	})
	if err != nil || there { // somebody else's fetch ended a moment ago
		return err
	}
	rule := b.mirror(key)
	segments := strings.Split(strings.TrimPrefix(key, rule.Prefix), "/")
	for i := range segments {
		if segments[i] == "." || segments[i] == ".." {
			return noSuchKey(key)
		}
		segments[i] = url.PathEscape(segments[i])
	}
	from := strings.TrimSuffix(rule.URL, "/") + "/" + strings.TrimPrefix(strings.Join(segments, "/"), "/")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return noSuchKey(key)
	}
	req.Header.Set("User-Agent", "awan-buckets")
	req.Header.Set("Accept-Encoding", "identity")
	away := func(why string) error {
		return failed("MirrorFailed", fail.New(fail.Unavailable, "the object is not here, and cannot be fetched from %s: %s", req.URL.Host, why).Then("try again later"))
	}
	resp, err := s.Outward.Do(req)
	if err != nil {
		return away(outward.Why(err))
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone:
		return noSuchKey(key)
	case resp.StatusCode != http.StatusOK:
		return away("it answered " + resp.Status)
	case resp.ContentLength > MaxMirror:
		return away("it is larger than 1 GiB")
	}
	h := resp.Header
	in := &PutInput{Bucket: b.Name, Key: key, Size: resp.ContentLength, Body: &most{resp.Body, MaxMirror, away}, If: Conditions{IfNoneMatch: []string{"*"}},
		Attributes: Attributes{ContentType: h.Get("Content-Type"), ContentEncoding: h.Get("Content-Encoding"), ContentDisposition: h.Get("Content-Disposition"),
			ContentLanguage: h.Get("Content-Language"), CacheControl: h.Get("Cache-Control")}}
	_, err = s.Put(ctx, itself("mirror"), in)
	if CodeOf(err) == "PreconditionFailed" { // somebody uploaded it meanwhile: that counts
		return nil
	}
	if err != nil && CodeOf(err) == "" && fail.KindOf(err) == fail.Internal {
		return away(outward.Why(err))
	}
	return err
}

// most ends a body that is longer than it may be.
type most struct {
	io.Reader
	left int64
	away func(string) error
}

func (m *most) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if m.left -= int64(n); m.left < 0 {
		return 0, m.away("it is larger than 1 GiB")
	}
	if err != nil && !errors.Is(err, io.EOF) { // a body that breaks off must not pass for a whole one
		err = m.away("it ended too early")
	}
	return n, err
}
