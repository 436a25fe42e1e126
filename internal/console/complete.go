package console

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"image/png"

	"github.com/pquerna/otp"

	"github.com/awancloud/awan/internal/dialect/login"
	"github.com/awancloud/awan/internal/dialect/native"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
)

// completion is the page of a log-in that lacks something: a second factor, or a new password.
type completion struct {
	Err       *fail.Error
	Needs     string
	HasFactor bool
	Device    string
	Secret    string
	Picture   template.URL // a PNG in a data: address
	Codes     []string

	Passkey, Options string // one that is being made, and what to ask the browser
	ByPasskey        bool   // what was made is one
	Passkeys         bool   // the browser can have them at this address
}

func (q *request) completePage() error {
	if q.who.Nobody() || q.who.Restricted == "" {
		return q.see("/")
	}
	return q.complete(completion{}, nil)
}

// complete shows the page; with an error, that.
func (q *request) complete(p completion, err error) error {
	p.Needs, p.HasFactor, p.Passkeys = string(q.who.Restricted), q.who.MFA, q.Door.Ident.Kinds.PasskeysAt(q.address())
	status := 200
	if err != nil {
		if p.Err = fail.From(err); p.Err.Kind == fail.Internal {
			return err
		}
		status = native.StatusOf(err)
	}
	return q.renderStatus(status, "complete", "Complete the log-in", p)
}

// completeDevice makes a device and shows its secret, once.
func (q *request) completeDevice() error {
	r, err := login.Enrol(q.Context(), q.Door, q.newCall(nil, "", ""), "phone")
	if err != nil {
		return q.complete(completion{}, err)
	}
	st := r.Row.StatusPtr().(*ident.DeviceStatus)
	picture, err := qr(st.URI)
	return q.complete(completion{Device: string(r.Row.M().ID), Secret: st.Secret, Picture: picture}, err)
}

func qr(uri string) (template.URL, error) {
	key, err := otp.NewKeyFromURL(uri)
	if err != nil {
		return "", err
	}
	img, err := key.Image(200, 200)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return "", err
	}
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())), nil
}

// completeConfirm activates the device. This session was made without it and ends; the user logs in again.
func (q *request) completeConfirm() error {
	device := q.PostForm.Get("device")
	in, err := json.Marshal(ident.Codes{First: q.PostForm.Get("code")})
	if err != nil {
		return err
	}
	codes, err := login.Confirm(q.Context(), q.Door, q.newCall(nil, "", ""), device, in)
	if err != nil {
		return q.complete(completion{Device: device}, err)
	}
	q.setCookie(sessionCookie, "", 0)
	return q.complete(completion{Codes: codes}, nil)
}

// completePassword changes the password, which ends this session.
func (q *request) completePassword() error {
	if q.who.Nobody() {
		return q.see("/login")
	}
	f := q.PostForm
	err := login.ChangePassword(q.Context(), q.Door, q.newCall(nil, "", ""), string(q.who.Domain), string(q.who.User), f.Get("old"), f.Get("new"), f.Get("code"))
	if err != nil {
		return q.complete(completion{}, err)
	}
	q.setCookie(sessionCookie, "", 0)
	return q.see("/login")
}
