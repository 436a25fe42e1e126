package login

import (
	"context"
	"encoding/json"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// Passkey is how a browser proves a second factor. With Origin and Browser alone, a log-in whose password is right and that
// lacks its second factor ends with PasskeyWanted; with State and Answer, it goes on from there.
type Passkey struct {
	Origin  string // the console's address, as the browser sees it
	Browser string // what only this browser holds
	State   string
	Answer  string
}

// PasskeyWanted is the refusal of a log-in that the browser may complete with one of the user's passkeys.
type PasskeyWanted struct {
	ident.PasskeyAsk
	Cause error
}

func (e *PasskeyWanted) Error() string { return e.Cause.Error() }

// Unwrap gives what is said where there is no passkey.
func (e *PasskeyWanted) Unwrap() error { return e.Cause }

// wanted adds to a refusal what the browser may answer.
func wanted(ctx context.Context, d *call.Door, p ident.Principal, r Request, err error) error {
	if r.Passkey.Origin == "" || r.Code != "" || !fail.Is(err, fail.Unauthenticated) {
		return err
	}
	ask, aerr := d.Ident.AskPasskey(ctx, p, r.Passkey.Origin, r.Passkey.Browser)
	if aerr != nil || ask == nil {
		return err
	}
	return &PasskeyWanted{*ask, err}
}

// Passkeys lists the caller's.
func Passkeys(ctx context.Context, d *call.Door, c *call.Call) (call.Reply, error) {
	if err := Self(c.Principal); err != nil {
		return call.Reply{}, err
	}
	o := Own(c, d.Ident.Kinds.Passkey.D, call.List, "", ownFactor)
	o.Filter = kind.Filter{Index: "user", Value: string(c.Principal.User)}
	return d.Do(ctx, o)
}

// EnrolPasskey makes one for the caller, at the console's address; its status says what to ask the browser.
func EnrolPasskey(ctx context.Context, d *call.Door, c *call.Call, name, origin string) (call.Reply, error) {
	if err := mayChange(ctx, d, c); err != nil {
		return call.Reply{}, err
	}
	o := Own(c, d.Ident.Kinds.Passkey.D, call.Create, "", ownFactor)
	var err error
	if o.Spec, err = json.Marshal(ident.PasskeySpec{User: string(c.Principal.User), Origin: origin}); err != nil {
		return call.Reply{}, err
	}
	o.Name = &name
	return d.Do(ctx, o)
}

// ConfirmPasskey activates one of the caller's by the browser's answer. Like Confirm it ends the caller's log-ins that were made
// without it, and gives the backup codes.
func ConfirmPasskey(ctx context.Context, d *call.Door, c *call.Call, passkey, answer string) ([]string, error) {
	if err := mayChange(ctx, d, c); err != nil {
		return nil, err
	}
	if err := myPasskey(ctx, d, c, passkey); err != nil {
		return nil, err
	}
	o := Own(c, d.Ident.Kinds.Passkey.D, "confirm", passkey, ownFactor)
	var err error
	if o.In, err = json.Marshal(ident.PasskeyAnswer{Answer: answer}); err != nil {
		return nil, err
	}
	if _, err := d.Do(ctx, o); err != nil {
		return nil, err
	}
	if err := d.Ident.RevokeAll(ctx, c.Principal.User); err != nil {
		return nil, err
	}
	return d.Ident.NewBackupCodes(ctx, c.Principal.User)
}

// DisownPasskey removes one of the caller's.
func DisownPasskey(ctx context.Context, d *call.Door, c *call.Call, passkey string) error {
	if err := mayChange(ctx, d, c); err != nil {
		return err
	}
	if err := myPasskey(ctx, d, c, passkey); err != nil {
		return err
	}
	_, err := d.Do(ctx, Own(c, d.Ident.Kinds.Passkey.D, call.Delete, passkey, ownFactor))
	return err
}

func myPasskey(ctx context.Context, d *call.Door, c *call.Call, passkey string) error {
	reply, err := d.Do(ctx, Own(c, d.Ident.Kinds.Passkey.D, call.Get, passkey, ownFactor))
	if err != nil {
		return err
	}
	if s := reply.Row.SpecPtr().(*ident.PasskeySpec); s.User != string(c.Principal.User) {
		return fail.New(fail.NotFound, "there is no passkey %q of yours", passkey).Then("see the console's page Your log-in")
	}
	return nil
}
