package sim

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"slices"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/disk"
)

// Import keeps an image. The content of formats other than raw is kept only as what came: disks made of it read as empty.
func (e *Engine) Import(ctx context.Context, image id.ID, r io.Reader, want disk.Import) (seen disk.SeenImage, err error) {
	if seen, err = e.ObserveImage(ctx, image); !fail.Is(err, fail.Gone) {
		return seen, err
	}
	most := e.o.Image
	if want.MaxBytes > 0 {
		most = min(most, want.MaxBytes)
	}
	content, err := io.ReadAll(io.LimitReader(r, most+1))
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return seen, fail.Wrap(err, fail.Canceled, "the upload broke off")
	case int64(len(content)) > most:
		return seen, fail.New(fail.TooLarge, "the image is larger than %d bytes", most)
	}
	err = e.call(ctx, "Import", image, func() error {
		f, err := disk.Detect(bytes.NewReader(content), int64(len(content)), want.Format)
		if err != nil {
			return err
		}
		p := &picture{unit: unit{top: e.layer(nil, image, want.Key), bytes: f.Bytes, created: e.o.Now()}, seen: sums(content)}
		if want.SHA256 != "" && want.SHA256 != p.seen.SHA256 {
			return fail.Field("sha256", "what came has SHA-256 %s, not %s", p.seen.SHA256, want.SHA256).Then("send it again")
		}
		if f.Format == disk.Raw || f.Format == disk.ISO {
			p.top.load(content)
		}
		p.seen.Format, p.seen.Bytes, p.seen.Allocated = f.Format, f.Bytes, p.top.allocated()
		e.images[image] = p
		seen = p.seen
		return nil
	})
	return seen, err
}

func (l *layer) load(content []byte) {
	for off := 0; off < len(content); off += block {
		b := content[off:min(off+block, len(content))]
		if slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) {
			l.write(b, int64(off))
		}
	}
}

func sums(content []byte) disk.SeenImage {
	all := disk.NewSums()
	_, _ = all.Write(content)
	return all.Seen()
}

// Capture makes an image of what a disk or a snapshot holds.
func (e *Engine) Capture(ctx context.Context, image id.ID, from disk.Source, keys disk.Keys) (seen disk.SeenImage, err error) {
	err = e.call(ctx, "Capture", image, func() error {
		if p := e.images[image]; p != nil {
			seen = p.seen
			return nil
		}
		u, err := e.from(from)
		if err != nil {
			return err
		}
		if u == nil {
			return fail.New(fail.Internal, "an image is made from something")
		}
		if err := u.top.opens(keys); err != nil {
			return err
		}
		p := &picture{unit: unit{top: e.layer(u.top, image, keys[image]), bytes: u.bytes, created: e.o.Now()}}
		p.top.flatten()
		p.seen = disk.SeenImage{Bytes: u.bytes, Allocated: p.top.allocated(), Format: disk.QCOW2, Size: p.top.allocated() + block}
		e.images[image], seen = p, p.seen
		return nil
	})
	return seen, err
}

// Export writes an image as raw bytes.
func (e *Engine) Export(ctx context.Context, image id.ID, format string, keys disk.Keys, size func(int64), w io.Writer) error {
	var p *picture
	err := e.call(ctx, "Export", image, func() error {
		if p = e.images[image]; p == nil {
			return gone("image", image)
		}
		if format != disk.Raw {
			return fail.Field("format", "the simulated disk engine writes raw images only").Then("ask for raw")
		}
		return p.top.opens(keys)
	})
	if err != nil {
		return err
	}
	size(p.bytes)
	buf := make([]byte, 64<<10)
	for off := int64(0); off < p.bytes; off += int64(len(buf)) {
		b := buf[:min(int64(len(buf)), p.bytes-off)]
		e.mu.Lock()
		p.top.read(b, off)
		e.mu.Unlock()
		if _, err := w.Write(b); err != nil {
			return fail.Wrap(err, fail.Canceled, "the download broke off")
		}
	}
	return nil
}

// ObserveImage looks at an image.
func (e *Engine) ObserveImage(ctx context.Context, image id.ID) (seen disk.SeenImage, err error) {
	err = e.call(ctx, "ObserveImage", image, func() error {
		p := e.images[image]
		if p == nil {
			return gone("image", image)
		}
		seen = p.seen
		return nil
	})
	return seen, err
}

// DestroyImage removes an image.
func (e *Engine) DestroyImage(ctx context.Context, image id.ID) error {
	return e.call(ctx, "DestroyImage", image, func() error {
		delete(e.images, image)
		e.sweep()
		return nil
	})
}

// Images names the images.
func (e *Engine) Images(ctx context.Context) iter.Seq2[id.ID, error] {
	return list(ctx, e, "Images", e.images)
}
