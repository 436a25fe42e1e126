package bucket

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/outward"
)

// Access is a request on a bucket, for the bucket's access log. Empty fields show as a hyphen.
type Access struct {
	At        time.Time
	Bucket    string
	Key       string
	Source    string // the caller's address
	Requester string // who asks; "" nobody
	RequestID string
	Operation string // "REST.GET.OBJECT"
	URI       string // "GET /photos/cat?versionId=1 HTTP/1.1"
	Status    int
	Error     string // "NoSuchKey"
	Sent      int64  // bytes of the answer's body
	Size      int64  // of the object
	Total     time.Duration
	Turn      time.Duration // until the first byte of the answer
	Referer   string
	Agent     string
	Version   string
	HostID    string
	Signature string // "SigV4"
	Cipher    string // "TLS_AES_128_GCM_SHA256"
	Auth      string // "AuthHeader", "QueryString"
	Host      string
	TLS       string // "TLSv1.3"
}

// Access logs are delivered at best effort, as S3's are: lines are gathered in memory and written every few minutes, or
// when they are many. A crash loses what was not written; so does a flood that cannot be kept up with.
const (
	logEvery   = 5 * time.Minute
	logSize    = 1 << 20
	logMemory  = 32 << 20 // of all buckets together
	logWaiting = 8192     // lines that wait to be gathered
	logLookup  = 10 * time.Second
)

// accessLog takes lines from requests.
type accessLog struct {
	lines chan *Access
	lost  atomic.Int64
}

// LogAccess adds a request to its bucket's access log, when the bucket has one. It does not wait, whatever happens.
func (s *Service) LogAccess(a *Access) {
	select {
	case s.access.lines <- a:
	default:
		s.access.lost.Add(1)
	}
}

// loggedBucket is a bucket whose requests are logged, and its lines that are not written yet.
type loggedBucket struct {
	read    time.Time // when the settings were read
	id      id.ID
	project id.ID
	owner   string
	to      *Logging
	buf     bytes.Buffer
	first   time.Time // of the lines
}

// gatherLogs writes access logs until the service ends; it then writes what it has.
func (s *Service) gatherLogs() {
	logs := map[string]*loggedBucket{}
	held := 0 // bytes, of all
	ctx := s.ctx
	write := func(due func(*loggedBucket) bool) {
		for name, l := range logs {
			if l.buf.Len() > 0 && due(l) {
				held -= l.buf.Len()
				s.writeLog(ctx, l)
				l.buf = bytes.Buffer{}
			}
			if l.buf.Len() == 0 && s.now().Sub(l.read).Abs() > logLookup {
				delete(logs, name)
			}
		}
		if n := s.access.lost.Swap(0); n > 0 {
			s.Log.Warn("object storage: access logs lack lines, because there were too many at once", "lines", n)
		}
	}
	gather := func(a *Access) {
		l := logs[a.Bucket]
		if l == nil || s.now().Sub(l.read).Abs() > logLookup {
			l = s.logged(ctx, a.Bucket, l)
			logs[a.Bucket] = l
		}
		if l.to == nil {
			return
		}
		n := l.buf.Len()
		if n == 0 {
			l.first = s.now()
		}
		a.line(&l.buf, l.owner)
		if held += l.buf.Len() - n; l.buf.Len() >= logSize {
			write(func(x *loggedBucket) bool { return x == l })
		} else if held >= logMemory {
			write(func(*loggedBucket) bool { return true })
		}
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(context.WithoutCancel(s.ctx), 5*time.Second)
			defer cancel()
			for n := len(s.access.lines); n > 0; n-- {
				gather(<-s.access.lines)
			}
			write(func(*loggedBucket) bool { return true })
			return
		case <-tick.C:
			now := s.now()
			write(func(l *loggedBucket) bool { return now.Sub(l.first).Abs() >= logEvery })
		case a := <-s.access.lines:
			gather(a)
		}
	}
}

// logged reads whether and where a bucket's requests are logged. was holds its lines.
func (s *Service) logged(ctx context.Context, name string, was *loggedBucket) *loggedBucket {
	l := &loggedBucket{}
	if was != nil {
		l = was
	}
	l.read = s.now()
	err := s.Store.View(ctx, func(tx store.Tx) error {
		b, err := s.find(tx, name)
		if err != nil || b == nil || b.Spec.Logging == nil {
			if l.buf.Len() == 0 {
				l.to = nil
			}
			return err
		}
		l.id, l.project, l.owner, l.to = b.ID, b.Project, string(b.Domain), b.Spec.Logging
		return nil
	})
	if err != nil && ctx.Err() == nil {
		s.Log.Error("object storage: whether a bucket is logged cannot be read", "bucket", name, "err", err)
	}
	return l
}

// writeLog stores a bucket's lines in the bucket that it names, which must be of the same project still.
func (s *Service) writeLog(ctx context.Context, l *loggedBucket) {
	at := s.now()
	var b [8]byte
	_, _ = rand.Read(b[:])
	key := l.to.Prefix + at.Format("2006-01-02-15-04-05-") + strings.ToUpper(hex.EncodeToString(b[:]))
	in := &PutInput{Key: key, Body: bytes.NewReader(l.buf.Bytes()), Size: int64(l.buf.Len()), Attributes: Attributes{ContentType: "text/plain"}}
	if len(l.to.Grants) > 0 {
		in.ACL = &ACL{Grants: l.to.Grants}
	}
	if err := s.deliver(ctx, l.project, l.to.Bucket, in, "logging"); err != nil && ctx.Err() == nil {
		_, err = s.Store.Update(ctx, func(tx store.Tx) error {
			return s.note(tx, l.id, event.Error, "LogsDropped", fmt.Sprintf("access logs could not be written into bucket %s and are dropped: %s", l.to.Bucket, outward.Why(err)))
		})
		if err != nil {
			s.Log.Error("object storage: access logs cannot be written", "bucket", l.id, "err", err)
		}
	}
}

// deliver stores an object that the cloud makes for a project into one of its buckets.
func (s *Service) deliver(ctx context.Context, project id.ID, to string, in *PutInput, agent string) error {
	err := s.Store.View(ctx, func(tx store.Tx) error {
		b, err := s.need(tx, to)
		if err == nil && b.Project != project {
			err = noSuchBucket(to)
		}
		if err == nil && b.Spec.Ownership == "enforced" {
			in.ACL = nil
		}
		return err
	})
	if err != nil {
		return err
	}
	in.Bucket = to
	_, err = s.Put(ctx, itself(agent), in)
	return err
}

// line writes a line in the format of S3's server access logs.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html
func (a *Access) line(w *bytes.Buffer, owner string) {
	number := func(n int64, known bool) string {
		if !known {
			return "-"
		}
		return strconv.FormatInt(n, 10)
	}
	millis := func(d time.Duration) string { return number(d.Milliseconds(), d > 0) }
	segments := strings.Split(a.Key, "/")
	for i := range segments {
		segments[i] = url.PathEscape(segments[i])
	}
	fields := []string{owner, bare(a.Bucket), "[" + a.At.UTC().Format("02/Jan/2006:15:04:05 -0700") + "]", bare(a.Source), bare(a.Requester), bare(a.RequestID), bare(a.Operation),
		bare(strings.Join(segments, "/")), quoted(a.URI), number(int64(a.Status), a.Status > 0), bare(a.Error), number(a.Sent, a.Sent > 0), number(a.Size, a.Size > 0),
		millis(a.Total), millis(a.Turn), quoted(a.Referer), quoted(a.Agent), bare(a.Version), bare(a.HostID), bare(a.Signature), bare(a.Cipher), bare(a.Auth), bare(a.Host), bare(a.TLS), "-", "-"}
	w.WriteString(strings.Join(fields, " "))
	w.WriteByte('\n')
}

// bare keeps what a client sent from looking like several fields, or lines.
func bare(v string) string {
	if v == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == '"' || r == 0x7f {
			return '+'
		}
		return r
	}, v)
}

func quoted(v string) string {
	if v == "" {
		return `"-"`
	}
	return `"` + strings.Map(func(r rune) rune {
		if r < ' ' || r == '"' || r == 0x7f {
			return '\''
		}
		return r
	}, v) + `"`
}
