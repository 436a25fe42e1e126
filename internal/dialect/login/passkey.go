package login

import (
	"context"
	"encoding/json"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
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
	return factors(ctx, d, c, d.Ident.Kinds.Passkey.D)
}

// EnrolPasskey makes one for the caller, at the console's address; its status says what to ask the browser.
func EnrolPasskey(ctx context.Context, d *call.Door, c *call.Call, name, origin string) (call.Reply, error) {
	return enrol(ctx, d, c, d.Ident.Kinds.Passkey.D, name, ident.PasskeySpec{User: string(c.Principal.User), Origin: origin})
}

// ConfirmPasskey activates one of the caller's by the browser's answer, as Confirm does a device.
func ConfirmPasskey(ctx context.Context, d *call.Door, c *call.Call, passkey, answer string) ([]string, error) {
	proof, err := json.Marshal(ident.PasskeyAnswer{Answer: answer})
	if err != nil {
		return nil, err
	}
	return confirm(ctx, d, c, d.Ident.Kinds.Passkey.D, passkey, proof)
}

// DisownPasskey removes one of the caller's.
func DisownPasskey(ctx context.Context, d *call.Door, c *call.Call, passkey string) error {
	return disown(ctx, d, c, d.Ident.Kinds.Passkey.D, passkey)
}
