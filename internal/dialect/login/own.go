package login

import (
	"context"
	"encoding/json"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
)

// What everybody may do with what is their own: no policy is asked, and most of it works for a log-in that is not
// complete, which is how it is completed. The cloud does it through the door, with the user as its author.

// Own lets the cloud do to the caller's own things what the caller asks; what names it in the audit log.
func Own(c *call.Call, k *kind.Def, verb, target, what string) *call.Call {
	o := *c
	o.Kind, o.Verb, o.Target, o.Domain, o.Project = k, verb, target, "", ""
	o.Principal = ident.OnBehalf(c.Principal, what)
	return &o
}

// Self refuses callers who are not the user itself.
func Self(p ident.Principal) error {
	switch {
	case p.Nobody():
		return fail.New(fail.Unauthenticated, "nobody is logged in").Then("awan login")
	case !p.Whole():
		return fail.New(fail.Denied, "only the user itself may do this").Then("log in as the user")
	}
	return nil
}

const ownFactor = "own second factor"

// Factors lists the caller's devices.
func Factors(ctx context.Context, d *call.Door, c *call.Call) (call.Reply, error) {
	return factors(ctx, d, c, d.Ident.Kinds.Device.D)
}

func factors(ctx context.Context, d *call.Door, c *call.Call, k *kind.Def) (call.Reply, error) {
	if err := Self(c.Principal); err != nil {
		return call.Reply{}, err
	}
	o := Own(c, k, call.List, "", ownFactor)
	o.Filter = kind.Filter{Index: "user", Value: string(c.Principal.User)}
	return d.Do(ctx, o)
}

// Enrol makes a device for the caller. Who has one already must have logged in with it, so that a stolen password or
// token cannot add its own.
func Enrol(ctx context.Context, d *call.Door, c *call.Call, name string) (call.Reply, error) {
	return enrol(ctx, d, c, d.Ident.Kinds.Device.D, name, ident.DeviceSpec{User: string(c.Principal.User)})
}

func enrol(ctx context.Context, d *call.Door, c *call.Call, k *kind.Def, name string, spec any) (call.Reply, error) {
	if err := mayChange(ctx, d, c); err != nil {
		return call.Reply{}, err
	}
	o := Own(c, k, call.Create, "", ownFactor)
	var err error
	if o.Spec, err = json.Marshal(spec); err != nil {
		return call.Reply{}, err
	}
	o.Name = &name
	return d.Do(ctx, o)
}

func mayChange(ctx context.Context, d *call.Door, c *call.Call) error {
	if err := Self(c.Principal); err != nil {
		return err
	}
	has, err := d.Ident.HasFactor(ctx, c.Principal.User)
	if err == nil && has && !c.Principal.MFA {
		return fail.New(fail.Denied, "you have a second factor, and did not log in with it").Then("log in again with its code: awan login")
	}
	if err == nil && has {
		err = confirmed(ctx, d, c.Principal)
	}
	return err
}

// confirmed refuses what leads around the confirmation of critical operations to who did not give the second factor lately.
func confirmed(ctx context.Context, d *call.Door, p ident.Principal) error {
	return d.Store.View(ctx, func(tx store.Tx) error { return d.Ident.Confirmed(tx, p, p.Domain) })
}

// Verify notes that the caller gave the second factor's code now, and audits both outcomes.
func Verify(ctx context.Context, d *call.Door, p ident.Principal, code string, from From) error {
	e := entry(from, "identity:token:confirm")
	e.Domain, e.Project, e.Actor, e.ActorID = p.Domain, p.Project, p.String(), p.User
	err := d.Ident.Confirm(ctx, p, code, from.Source)
	if err != nil {
		e.Outcome, e.Reason = ledger.Failed, fail.From(err).Public()
	}
	return recorded(ctx, d, e, err)
}

// mine checks that a second factor is the caller's.
func mine(ctx context.Context, d *call.Door, c *call.Call, k *kind.Def, factor string) error {
	reply, err := d.Do(ctx, Own(c, k, call.Get, factor, ownFactor))
	if err != nil {
		return err
	}
	var user, see string
	switch s := reply.Row.SpecPtr().(type) {
	case *ident.DeviceSpec:
		user, see = s.User, "see awan mfa list"
	case *ident.PasskeySpec:
		user, see = s.User, "see the console's page Your log-in"
	}
	if user != string(c.Principal.User) {
		return fail.New(fail.NotFound, "there is no %s %q of yours", k.Name, factor).Then("%s", see)
	}
	return nil
}

// Confirm activates a device of the caller by its codes (ident.Codes as JSON). The caller's log-ins and temporary keys,
// made without it, end. It gives the backup codes.
func Confirm(ctx context.Context, d *call.Door, c *call.Call, device string, codes json.RawMessage) ([]string, error) {
	return confirm(ctx, d, c, d.Ident.Kinds.Device.D, device, codes)
}

func confirm(ctx context.Context, d *call.Door, c *call.Call, k *kind.Def, factor string, proof json.RawMessage) ([]string, error) {
	if err := mayChange(ctx, d, c); err != nil {
		return nil, err
	}
	if err := mine(ctx, d, c, k, factor); err != nil {
		return nil, err
	}
	o := Own(c, k, "confirm", factor, ownFactor)
	o.In = proof
	err := d.Ident.Guess(c.Principal, c.Source, func() error { _, err := d.Do(ctx, o); return err })
	if err != nil {
		return nil, err
	}
	if err := d.Ident.RevokeAll(ctx, c.Principal.User); err != nil {
		return nil, err
	}
	return d.Ident.NewBackupCodes(ctx, c.Principal.User)
}

// Disown removes a device of the caller.
func Disown(ctx context.Context, d *call.Door, c *call.Call, device string) error {
	return disown(ctx, d, c, d.Ident.Kinds.Device.D, device)
}

func disown(ctx context.Context, d *call.Door, c *call.Call, k *kind.Def, factor string) error {
	if err := mayChange(ctx, d, c); err != nil {
		return err
	}
	if err := mine(ctx, d, c, k, factor); err != nil {
		return err
	}
	_, err := d.Do(ctx, Own(c, k, call.Delete, factor, ownFactor))
	return err
}

// BackupCodes gives the caller new ones.
func BackupCodes(ctx context.Context, d *call.Door, c *call.Call) ([]string, error) {
	if err := Self(c.Principal); err != nil {
		return nil, err
	}
	if !c.Principal.MFA {
		return nil, fail.New(fail.Denied, "backup codes are for who logged in with a second factor").Then("log in again with its code: awan login")
	}
	if err := confirmed(ctx, d, c.Principal); err != nil {
		return nil, err
	}
	return d.Ident.NewBackupCodes(ctx, c.Principal.User)
}

// ChangePassword changes a user's password by the old one, and the second factor's code where there is one.
func ChangePassword(ctx context.Context, d *call.Door, c *call.Call, domain, user, old, password, code string) error {
	p, err := d.Ident.ByPasswordAnywhere(ctx, domain, user, old, c.Source)
	if err == nil {
		p, err = d.Ident.Complete(ctx, p, code, c.Source, false)
	}
	if err != nil {
		f := From{Source: c.Source, Agent: c.Agent, Dialect: c.Dialect, RequestID: c.RequestID}
		return Failed(ctx, d, Request{From: f, Domain: domain, User: user}, "identity:user:update", err)
	}
	who := *c
	who.Principal = p
	o := Own(&who, d.Ident.Kinds.User.D, call.Update, string(p.User), "own password")
	if o.Spec, err = json.Marshal(map[string]any{"password": password, "password_reset": false}); err != nil {
		return err
	}
	_, err = d.Do(ctx, o)
	return err
}
