package glance

import (
	"cmp"
	"encoding/json"
	"io"
	"strings"

	"github.com/awancloud/awan/internal/dialect/openstack/rest"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/image"
)

func (a *API) contentRoutes() []route {
	d := a.o.Images.Images.D
	return []route{
		{"PUT", "/images/{image_id}/file", d, "upload", upload},
		{"GET", "/images/{image_id}/file", d, "download", download},
	}
}

// upload streams the content to where images lie.
func upload(x *exchange) error {
	if ct := x.R.Header.Get("Content-Type"); ct != "" && !strings.HasPrefix(ct, "application/octet-stream") {
		return fail.New(fail.Invalid, "the content's type is %s", ct).Then("send application/octet-stream")
	}
	f, err := x.own()
	if err != nil {
		return err
	}
	_, err = x.send(f, "upload", func(c *call.Call) {
		c.In = []byte(`{}`)
		c.Stream.Body = x.R.Body
		c.Stream.Emit = func(any) error { return nil }
	})
	if err != nil {
		return err
	}
	return x.NoContent()
}

// download streams the content, in the format that the image says it has; one of a format that is not written comes as qcow2.
func download(x *exchange) error {
	f, err := x.image()
	if err != nil {
		return err
	}
	if s := status(f.Row); s == "queued" || s == "saving" {
		return x.NoContent() // Glance's answer to an image without content
	}
	format := cmp.Or(f.Status.Format, f.diskFormat())
	if !strings.Contains(",qcow2,raw,vmdk,vhd,", ","+format+",") {
		format = "qcow2"
	}
	if f.identical() && f.Status.MD5 != "" {
		x.W.Header().Set("Content-Md5", f.Status.MD5)
	}
	open := func(contentType string) (io.Writer, error) {
		x.W.Header().Set("Content-Type", contentType)
		return x.W, nil
	}
	if f.offer != nil { // another project's: whoever may download the project's images may have the content
		if err := rest.Permitted(x.Exchange, x.api.o.Images.Images.D, "download"); err != nil {
			return err
		}
		w := &late{open: func() (io.Writer, error) { return open("application/octet-stream") }}
		if f.offer.Status.State != image.Accepted {
			return fail.New(fail.Denied, "the image is not accepted yet").Then("accept it first")
		}
		return x.api.o.Images.Download(x.R.Context(), f.Row, format, nil, w)
	}
	_, err = x.send(f, "download", func(c *call.Call) {
		c.In, _ = json.Marshal(image.DownloadIn{Format: format}) // plain values always encode
		c.Stream.Raw = open
	})
	return err
}

// late opens the answer with the first byte: until then an error can still be told.
type late struct {
	open func() (io.Writer, error)
	w    io.Writer
}

func (l *late) Write(b []byte) (n int, err error) {
	if l.w == nil {
		if l.w, err = l.open(); err != nil {
			return 0, err
		}
	}
	return l.w.Write(b)
}
