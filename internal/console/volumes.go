package console

import (
	"encoding/json"
	"io"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/compute"
	"github.com/awancloud/awan/internal/service/image"
	"github.com/awancloud/awan/internal/service/volume"
)

// attachBox is where a volume is, or could be.
type attachBox struct {
	Attached, Href, Device string
	Since                  time.Time
	CanDetach              bool
	Servers                []option
	Why                    string // there is nothing to choose
}

func (q *request) attachBox(v *volume.Row) *attachBox {
	if q.Door.KindOf(serverKind) == nil || v.State == kind.Trashed {
		return nil
	}
	b := &attachBox{}
	if len(v.Status.Attachments) > 0 {
		a := v.Status.Attachments[0]
		b.Attached, b.Href = q.refer(serverKind, string(a.Server))
		b.Device, b.Since, b.CanDetach = a.Device, a.At, q.mayAsk(serverKind, "detach-volume")
		return b
	}
	switch {
	case !q.mayAsk(serverKind, "attach-volume"):
		b.Why = "No server has it, and you may not attach it to one."
	case v.Status.Transfer != "":
		b.Why = "No server has it. It is offered to another project: take the offer back to use it."
	default:
		b.Servers = q.options(serverKind, func(r kind.AnyRow) string { return scalar(asMap(docOf(r)["status"])["power"]) })
		b.Why = "No server has it, and this project has no server."
	}
	return b
}

func (q *request) theVolume() (*kind.Def, *volume.Row, error) {
	k, err := q.need(volumeKind, "volumes")
	if err != nil {
		return nil, nil, err
	}
	row, err := q.get(k, q.PathValue("id"))
	if err != nil {
		return nil, nil, err
	}
	return k, row.(*volume.Row), nil
}

// volumeAttach gives the volume to the chosen server.
func (q *request) volumeAttach() error {
	k, v, err := q.theVolume()
	if err != nil {
		return err
	}
	return q.onServer(k, v, q.PostForm.Get("server"), "attach-volume", compute.AttachVolume{Volume: string(v.ID)}, "is being attached.")
}

// volumeDetach takes it from the server that has it.
func (q *request) volumeDetach() error {
	k, v, err := q.theVolume()
	if err != nil {
		return err
	}
	if len(v.Status.Attachments) == 0 {
		return fail.New(fail.Precondition, "no server has the volume %s", nameOr(&v.Meta))
	}
	return q.onServer(k, v, string(v.Status.Attachments[0].Server), "detach-volume", compute.DetachVolume{Volume: string(v.ID)}, "is being detached.")
}

func (q *request) onServer(k *kind.Def, v *volume.Row, server, verb string, in any, said string) error {
	s, err := q.need(serverKind, "servers")
	if err != nil {
		return err
	}
	if server == "" {
		return fail.Field("server", "is required").Then("choose one on the volume's page")
	}
	c := q.newCall(s, verb, server)
	c.In = mustJSON(in)
	if _, err := q.do(c); err != nil {
		return err
	}
	q.flash("Volume " + nameOr(&v.Meta) + " " + said)
	return q.see(rowPath(k, v.M()))
}

// uploadBox is where an image's content is given.
type uploadBox struct{ Format, Note, Command string }

func (q *request) uploadBox(k *kind.Def, r *image.Row) *uploadBox {
	if r.Status.Phase != image.Queued || r.Spec.Source != (image.Source{}) || r.Spec.Alias != "" || r.Spec.Recipe != "" || !q.mayAsk(k.FullName(), "upload") {
		return nil
	}
	return &uploadBox{Format: r.Spec.Format, Note: r.Status.Note, Command: "awan " + k.Name + " upload " + string(r.ID) + " < FILE"}
}

// uploadsImage tells whether a script sends an image's content, which is as large as a disk.
func (q *request) uploadsImage() bool {
	return q.Method == "PUT" && strings.HasPrefix(q.URL.Path, "/k/image/") && strings.HasSuffix(q.URL.Path, "/upload")
}

// imageUpload passes the content on as it comes.
func (q *request) imageUpload() error {
	if !q.scripted() {
		return fail.New(fail.Denied, "this was not sent by the image's page, so nothing was done")
	}
	k := q.Door.KindOf("image/image")
	if strings.HasPrefix(q.URL.Path, "/k/image/public-images/") {
		k = q.Door.KindOf("image/public-image")
	}
	if k == nil {
		return fail.New(fail.NotFound, "this cloud has no images")
	}
	c := q.newCall(k, "upload", q.PathValue("id"))
	c.In = mustJSON(image.UploadIn{})
	var done json.RawMessage
	c.Stream = kind.Stream{Body: q.Body, Emit: func(v any) error { done = mustJSON(v); return nil }, Raw: func(string) (io.Writer, error) { return io.Discard, nil }}
	if _, err := q.do(c); err != nil {
		return err
	}
	return q.answerJSON(map[string]bool{"done": done != nil})
}
