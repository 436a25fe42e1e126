package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// How files travel. One of at most wholeSize goes in one piece; others in parts, several at a time, so that a transfer
// that broke off goes on with the parts that are missing.
const (
	wholeSize = 16 << 20
	lanes     = 4 // parts of one file at a time
	maxParts  = 9000
	maxCopy   = 5 << 30 // what one request copies
)

func partSizeOf(size int64) int64 {
	part := int64(wholeSize)
	for size > part*maxParts {
		part *= 2
	}
	return part
}

// meter counts what was transferred, and shows it on a terminal.
type meter struct {
	bytes, total, files, of atomic.Int64
	began                   time.Time
	out                     io.Writer
	stop, stopped           chan struct{}
}

// newMeter shows progress on standard error while it is a terminal.
func (s *session) newMeter() *meter {
	m := &meter{began: time.Now(), stop: make(chan struct{}), stopped: make(chan struct{})}
	if terminalWidth(s.Stderr) == 0 {
		close(m.stopped)
		return m
	}
	m.out = s.Stderr
	go func() {
		defer close(m.stopped)
		t := time.NewTicker(200 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				m.draw()
			case <-m.stop:
				fmt.Fprint(m.out, "\r\x1b[K")
				return
			}
		}
	}()
	return m
}

func (m *meter) draw() {
	done, total := m.bytes.Load(), m.total.Load()
	speed := float64(done) / max(time.Since(m.began).Seconds(), .001)
	line := fmt.Sprintf("%d of %d  %s", m.files.Load(), m.of.Load(), bytesText(done))
	if total > 0 {
		line += fmt.Sprintf(" of %s  %d%%", bytesText(total), min(100, done*100/total))
	}
	line += "  " + bytesText(int64(speed)) + "/s"
	if left := total - done; left > 0 && speed > 0 && done > 0 {
		line += fmt.Sprintf("  %s left", (time.Duration(float64(left)/speed) * time.Second).Round(time.Second))
	}
	fmt.Fprint(m.out, "\r\x1b[K"+line)
}

func (m *meter) close() {
	close(m.stop)
	<-m.stopped
}

// reader counts what is read through it; a part that is sent again counts once.
type counted struct {
	io.ReadSeeker
	m    *meter
	read int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadSeeker.Read(p)
	c.read += int64(n)
	c.m.bytes.Add(int64(n))
	return n, err
}

func (c *counted) Seek(offset int64, whence int) (int64, error) {
	n, err := c.ReadSeeker.Seek(offset, whence)
	if err == nil {
		c.m.bytes.Add(n - c.read)
		c.read = n
	}
	return n, err
}

func typeOf(name string) string {
	if t := mime.TypeByExtension(filepath.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

// begun is what is remembered of an upload in parts until it is completed.
type begun struct {
	Upload string `json:"upload"`
	Part   int64  `json:"part"`
	file   string
}

// remember finds what an earlier run left of the same upload: the same file, unchanged, to the same object.
func (o *objects) remember(path string, st os.FileInfo, to spot) *begun {
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n%d\n%d", o.c.Target().URL, to, abs, st.Size(), st.ModTime().UnixNano()))
	dir := o.s.Env("XDG_CACHE_HOME")
	if dir == "" {
		dir = filepath.Join(o.s.Env("HOME"), ".cache")
	}
	b := &begun{file: filepath.Join(dir, "awan", "uploads", hex.EncodeToString(sum[:12])+".json")}
	if raw, err := os.ReadFile(b.file); err == nil {
		_ = json.Unmarshal(raw, b) // what cannot be read is begun anew
	}
	return b
}

func (b *begun) save() error {
	raw, err := json.Marshal(b)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(b.file), 0o700); err != nil {
		return err
	}
	return os.WriteFile(b.file, raw, 0o600)
}

// upload sends a file.
func (o *objects) upload(ctx context.Context, path string, to spot, m *meter) error {
	f, err := os.Open(path)
	if err != nil {
		return fileError(err, path)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return fileError(err, path)
	}
	opts := minio.PutObjectOptions{ContentType: typeOf(to.key)}
	if st.Size() <= wholeSize {
		_, err := o.Core.PutObject(ctx, to.bucket, to.key, &counted{ReadSeeker: io.NewSectionReader(f, 0, st.Size()), m: m}, st.Size(), "", "", opts)
		return o.c.ObjectError(ctx, err)
	}
	b := o.remember(path, st, to)
	have := map[int]minio.ObjectPart{}
	if b.Upload != "" && b.Part > 0 {
		if have, err = o.parts(ctx, to, b.Upload); err != nil && minio.ToErrorResponse(err).StatusCode != 404 {
			return o.c.ObjectError(ctx, err)
		}
		if err != nil {
			b.Upload, have = "", map[int]minio.ObjectPart{} // completed or given up meanwhile
		}
	}
	if b.Upload == "" {
		if b.Upload, err = o.NewMultipartUpload(ctx, to.bucket, to.key, opts); err != nil {
			return o.c.ObjectError(ctx, err)
		}
		b.Part = partSizeOf(st.Size())
		if err := b.save(); err != nil {
			fmt.Fprintf(o.s.Stderr, "an interrupted upload cannot go on later: %v\n", err)
		}
	}
	done, err := o.sendParts(ctx, f, st.Size(), to, b, have, m)
	if err != nil {
		return err
	}
	if _, err := o.CompleteMultipartUpload(ctx, to.bucket, to.key, b.Upload, done, minio.PutObjectOptions{}); err != nil {
		return o.c.ObjectError(ctx, err)
	}
	_ = os.Remove(b.file) // left behind it is found useless later
	return nil
}

func (o *objects) parts(ctx context.Context, to spot, upload string) (map[int]minio.ObjectPart, error) {
	out := map[int]minio.ObjectPart{}
	for after := 0; ; {
		r, err := o.ListObjectParts(ctx, to.bucket, to.key, upload, after, 1000)
		if err != nil {
			return nil, err
		}
		for _, p := range r.ObjectParts {
			out[p.PartNumber] = p
		}
		if !r.IsTruncated {
			return out, nil
		}
		after = r.NextPartNumberMarker
	}
}

func (o *objects) sendParts(ctx context.Context, f *os.File, size int64, to spot, b *begun, have map[int]minio.ObjectPart, m *meter) ([]minio.CompletePart, error) {
	n := int((size + b.Part - 1) / b.Part)
	done := make([]minio.CompletePart, n)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(lanes)
	for i := range n {
		from := int64(i) * b.Part
		long := min(b.Part, size-from)
		if p, ok := have[i+1]; ok && p.Size == long {
			done[i] = minio.CompletePart{PartNumber: i + 1, ETag: strings.Trim(p.ETag, `"`)}
			m.bytes.Add(long)
			continue
		}
		g.Go(func() error {
			p, err := o.PutObjectPart(gctx, to.bucket, to.key, b.Upload, i+1, &counted{ReadSeeker: io.NewSectionReader(f, from, long), m: m}, long, minio.PutObjectPartOptions{DisableContentSha256: true})
			done[i] = minio.CompletePart{PartNumber: i + 1, ETag: strings.Trim(p.ETag, `"`)}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, o.c.ObjectError(ctx, err)
	}
	return done, nil
}

// uploadStream sends what comes from a stream whose length nobody knows, with one part in memory.
func (o *objects) uploadStream(ctx context.Context, in io.Reader, to spot, m *meter) error {
	opts := minio.PutObjectOptions{ContentType: typeOf(to.key)}
	buf := make([]byte, wholeSize)
	n, err := io.ReadFull(in, buf)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		_, err := o.Core.PutObject(ctx, to.bucket, to.key, &counted{ReadSeeker: newBytes(buf[:n]), m: m}, int64(n), "", "", opts)
		return o.c.ObjectError(ctx, err)
	}
	if err != nil {
		return fail.Wrap(err, fail.Invalid, "standard input cannot be read")
	}
	upload, err := o.NewMultipartUpload(ctx, to.bucket, to.key, opts)
	if err != nil {
		return o.c.ObjectError(ctx, err)
	}
	abort := func(err error) error { // nothing can be read twice, so nothing can go on later
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = o.AbortMultipartUpload(clean, to.bucket, to.key, upload)
		return err
	}
	var done []minio.CompletePart
	for number := 1; n > 0; number++ {
		p, perr := o.PutObjectPart(ctx, to.bucket, to.key, upload, number, &counted{ReadSeeker: newBytes(buf[:n]), m: m}, int64(n), minio.PutObjectPartOptions{DisableContentSha256: true})
		if perr != nil {
			return abort(o.c.ObjectError(ctx, perr))
		}
		done = append(done, minio.CompletePart{PartNumber: number, ETag: strings.Trim(p.ETag, `"`)})
		if err != nil {
			break
		}
		if number%2000 == 0 { // so that 10,000 parts are enough for 5 TiB
			buf = make([]byte, 4*len(buf))
		}
		if n, err = io.ReadFull(in, buf); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return abort(fail.Wrap(err, fail.Invalid, "standard input cannot be read"))
		}
	}
	if _, err := o.CompleteMultipartUpload(ctx, to.bucket, to.key, upload, done, minio.PutObjectOptions{}); err != nil {
		return abort(o.c.ObjectError(ctx, err))
	}
	return nil
}

func newBytes(b []byte) io.ReadSeeker { return io.NewSectionReader(bytesAt(b), 0, int64(len(b))) }

type bytesAt []byte

func (b bytesAt) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// print writes an object's bytes to standard output.
func (o *objects) print(ctx context.Context, from spot, version string) error {
	body, _, _, err := o.Core.GetObject(ctx, from.bucket, from.key, minio.GetObjectOptions{VersionID: version})
	if err != nil {
		return o.c.ObjectError(ctx, err)
	}
	defer body.Close()
	if _, err := io.Copy(o.s.Stdout, body); err != nil {
		return o.c.ObjectError(ctx, err)
	}
	return nil
}

// download writes an object into a file: beside it first, so that the file is the whole object or what it was before.
func (o *objects) download(ctx context.Context, from spot, version, path string, m *meter) error {
	st, err := o.StatObject(ctx, from.bucket, from.key, minio.StatObjectOptions{VersionID: version})
	if err != nil {
		return o.missing(ctx, err, from)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fileError(err, filepath.Dir(path))
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".awan-*")
	if err != nil {
		return fileError(err, path)
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name()) // gone already when all went well
	}()
	if err := o.fetch(ctx, from, version, st, f, m); err != nil {
		return err
	}
	_ = f.Chmod(0o644) // on file systems that have no modes it changes nothing
	if err := f.Close(); err != nil {
		return fileError(err, path)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fileError(err, path)
	}
	return fileError(os.Chtimes(path, time.Time{}, st.LastModified), path)
}

// fetch reads an object, in several ranges of the same version at a time when it is large.
func (o *objects) fetch(ctx context.Context, from spot, version string, st minio.ObjectInfo, f *os.File, m *meter) error {
	const piece = 32 << 20
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(lanes)
	for at := int64(0); at < st.Size || at == 0; at += piece {
		g.Go(func() error {
			opts := minio.GetObjectOptions{VersionID: version}
			if err := opts.SetMatchETag(strings.Trim(st.ETag, `"`)); err != nil {
				return err
			}
			long := min(piece, st.Size-at)
			if st.Size > piece {
				if err := opts.SetRange(at, at+long-1); err != nil {
					return err
				}
			}
			for try := 0; ; try++ {
				body, _, _, err := o.Core.GetObject(gctx, from.bucket, from.key, opts)
				if err == nil {
					var n int64
					n, err = io.Copy(io.NewOffsetWriter(f, at), body)
					m.bytes.Add(n)
					_ = body.Close()
					if err == nil && n == long {
						return nil
					}
					m.bytes.Add(-n)
					if err == nil {
						err = io.ErrUnexpectedEOF
					}
				}
				if r := minio.ToErrorResponse(err); try == 4 || gctx.Err() != nil || r.StatusCode >= 400 && r.StatusCode < 500 {
					return err
				}
				select {
				case <-time.After(time.Second << try):
				case <-gctx.Done():
				}
			}
		})
		if st.Size == 0 {
			break
		}
	}
	if err := g.Wait(); err != nil {
		return o.c.ObjectError(ctx, err)
	}
	return nil
}

// copyObject copies from bucket to bucket, within the cloud.
func (o *objects) copyObject(ctx context.Context, from spot, version string, size int64, to spot, m *meter) error {
	var err error
	if size <= maxCopy {
		_, err = o.Core.Client.CopyObject(ctx, minio.CopyDestOptions{Bucket: to.bucket, Object: to.key}, minio.CopySrcOptions{Bucket: from.bucket, Object: from.key, VersionID: version})
	} else {
		_, err = o.ComposeObject(ctx, minio.CopyDestOptions{Bucket: to.bucket, Object: to.key}, minio.CopySrcOptions{Bucket: from.bucket, Object: from.key, VersionID: version})
	}
	if err == nil {
		m.bytes.Add(size)
	}
	return o.c.ObjectError(ctx, err)
}

func fileError(err error, path string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrNotExist):
		return fail.New(fail.NotFound, "there is no %s here", path)
	case errors.Is(err, os.ErrPermission):
		return fail.New(fail.Denied, "%s cannot be opened: permission denied", path)
	}
	var p *os.PathError
	if errors.As(err, &p) {
		return fail.New(fail.Invalid, "%s: %s", path, p.Err)
	}
	return fail.Wrap(err, fail.Invalid, "%s cannot be used: %s", path, err)
}

// together runs many transfers, a few at a time; the first error ends them.
func together[T any](ctx context.Context, n int, items []T, f func(context.Context, T) error) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(n)
	var once sync.Once
	var first error
	for _, it := range items {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error {
			err := f(gctx, it)
			if err != nil {
				once.Do(func() { first = err })
			}
			return err
		})
	}
	_ = g.Wait()
	if first == nil {
		return ctx.Err()
	}
	return first
}
