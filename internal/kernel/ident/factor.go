package ident

import (
	"context"
	"crypto/subtle"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/secret"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Keys: totpstep/<device> holds the last time step whose code was used, backupcode/<user>/<digest> is a code that is
// still good.
const (
	stepPrefix   = "totpstep/"
	backupPrefix = "backupcode/"
)

// DeviceSpec describes a second factor of a user: an authenticator app (TOTP, RFC 6238, six digits every 30 seconds).
type DeviceSpec struct {
	User string `json:"user" doc:"whose it is" ref:"identity/user" required:"true" immutable:"true"`
}

// DeviceStatus is what the app is given, and whether it was confirmed.
type DeviceStatus struct {
	Secret string `json:"secret" doc:"the app's secret in base 32; shown once, when the device is made" secret:"true"`
	URI    string `json:"uri" doc:"the same as an otpauth address, for a QR code; shown once" secret:"true"`
	Active bool   `json:"active" doc:"it was confirmed with a code: from then on log-ins by password ask for one"`
}

type deviceRow = kind.Row[DeviceSpec, DeviceStatus]

// Codes are what confirms a device.
type Codes struct {
	First  string `json:"code" doc:"the code that the app shows" required:"true" pattern:"^[0-9]{6}$"`
	Second string `json:"next_code" doc:"the one that it shows after it; may be left out" pattern:"^[0-9]{6}$"`
}

func (k *Kinds) deviceKind() kind.Kind[DeviceSpec, DeviceStatus] {
	return kind.Kind[DeviceSpec, DeviceStatus]{Service: "identity", Name: "mfa-device", Scope: kind.InDomain, AnyName: true,
		Doc:     "A second factor of a user: an authenticator app. Users manage their own with awan mfa; here administrators see and remove them.",
		Columns: []string{"spec.user", "status.active"}, Example: DeviceSpec{User: "alice"},
		Index: map[string]func(*deviceRow) []string{"user": func(r *deviceRow) []string { return []string{r.Spec.User} }},
		Actions: []kind.Action[DeviceSpec, DeviceStatus]{{Verb: "confirm", Doc: "prove that the app knows the secret; from then on log-ins ask for its code",
			Level: kind.Admin, In: Codes{}, Secret: true, Change: k.confirmDevice}},
		Check: k.checkDevice, CheckDelete: func(ctx context.Context, tx store.Tx, row *deviceRow) error {
			return k.guardUserID(ctx, tx, row.Spec.User)
		}, Changed: k.deviceChanged}
}

// Issuer is how authenticator apps call the cloud.
const Issuer = "Awan"

func (k *Kinds) checkDevice(ctx context.Context, tx store.Tx, old, row *deviceRow) error {
	if err := ref(tx, k.User, row.Domain, "spec.user", &row.Spec.User); err != nil || old != nil {
		return err
	}
	u, err := k.User.Get(tx, id.ID(row.Spec.User))
	if err != nil {
		return err
	}
	if err := k.guardUser(ctx, tx, u); err != nil {
		return err
	}
	have, err := k.devices(tx, u)
	if err != nil {
		return err
	}
	for _, d := range have {
		if !d.Status.Active { // it was never confirmed: the new one takes its place
			if err := k.Device.Remove(tx, d); err != nil {
				return err
			}
		}
	}
	if len(have) >= 5 {
		return fail.New(fail.Quota, "%s has %d devices, the most", u.Name, len(have)).Then("remove one first")
	}
	d, err := k.Domain.Get(tx, row.Domain)
	if err != nil {
		return err
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: Issuer, AccountName: d.Name + "/" + u.Name, SecretSize: 20})
	if err != nil {
		return err
	}
	row.Status.Secret, row.Status.URI = key.Secret(), key.URL()
	return nil
}

func (k *Kinds) devices(tx store.Tx, u *userRow) ([]*deviceRow, error) {
	return k.Device.List(tx, string(u.Domain), kind.Filter{Index: "user", Value: string(u.ID)})
}

// HasFactor tells whether a user has a second factor that works.
func (k *Kinds) HasFactor(tx store.Tx, u *userRow) (bool, error) {
	have, err := k.devices(tx, u)
	for _, d := range have {
		if d.Status.Active {
			return true, err
		}
	}
	if err != nil {
		return false, err
	}
	keys, err := k.passkeys(tx, u)
	return slices.ContainsFunc(keys, func(p *passkeyRow) bool { return p.Status.Active }), err
}

func (k *Kinds) confirmDevice(_ context.Context, tx store.Tx, row *deviceRow, in any) (string, error) {
	codes := in.(*Codes)
	ok, err := k.useCode(tx, row, codes.First)
	if ok && err == nil && codes.Second != "" {
		ok, err = k.useCode(tx, row, codes.Second)
	}
	if err != nil {
		return "", err
	}
	if !ok {
		return "", fail.Field("code", "is not what the device shows now").Then("check the clock of the phone, and give the newest code")
	}
	row.Status.Active = true
	return "", nil
}

func (k *Kinds) deviceChanged(_ context.Context, tx store.Tx, old, row *deviceRow) error {
	if row != nil {
		return bump(tx)
	}
	if err := tx.Delete(stepPrefix + string(old.ID)); err != nil {
		return err
	}
	return bump(tx)
}

// useCode checks a code of a device and uses it up: neither it nor an older one works again.
func (k *Kinds) useCode(tx store.Tx, d *deviceRow, code string) (bool, error) {
	plain, err := k.unseal(d.Domain, "status.secret", d.ID, d.Status.Secret)
	if err != nil {
		return false, err
	}
	b, _, err := tx.Get(stepPrefix + string(d.ID))
	if err != nil {
		return false, err
	}
	last, _ := strconv.ParseInt(string(b), 10, 64)
	now := k.now().Unix() / 30
	for step := max(now-1, last+1); step <= now+1; step++ {
		want, err := hotp.GenerateCodeCustom(plain, uint64(step), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return false, err
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			return true, tx.Put(stepPrefix+string(d.ID), strconv.AppendInt(nil, step, 10))
		}
	}
	return false, nil
}

// factor checks what a user typed as a second factor, a device's code or a backup code, and uses it up.
func (s *Service) factor(ctx context.Context, user id.ID, code string) (ok bool, err error) {
	code = strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(code))
	if code == "" || len(code) > 64 {
		return false, nil
	}
	_, err = s.store.Update(ctx, func(tx store.Tx) error {
		ok = false
		u, err := s.Kinds.User.Get(tx, user)
		if err != nil || u == nil {
			return err
		}
		have, err := s.Kinds.devices(tx, u)
		if err != nil {
			return err
		}
		for _, d := range have {
			if !d.Status.Active {
				continue
			}
			if ok, err = s.Kinds.useCode(tx, d, code); ok || err != nil {
				return err
			}
		}
		key := backupKey(user, code)
		if _, ok, err = tx.Get(key); err != nil || !ok {
			return err
		}
		return tx.Delete(key)
	})
	return ok, err
}

func backupKey(user id.ID, code string) string {
	d := secret.Digest(code)
	return backupPrefix + string(user) + "/" + hex.EncodeToString(d[:])
}

// NewBackupCodes gives a user ten codes that each work once in place of the device. Earlier ones stop working.
func (s *Service) NewBackupCodes(ctx context.Context, user id.ID) ([]string, error) {
	codes := make([]string, 10)
	for i := range codes {
		codes[i] = secret.NewBackupCode()
	}
	_, err := s.store.Update(ctx, func(tx store.Tx) error {
		if err := forgetPrefix(tx, backupPrefix+string(user)+"/"); err != nil {
			return err
		}
		for _, c := range codes {
			if err := tx.Put(backupKey(user, c), nil); err != nil {
				return err
			}
		}
		return nil
	})
	for i, c := range codes {
		codes[i] = c[:4] + "-" + c[4:8] + "-" + c[8:12] + "-" + c[12:]
	}
	return codes, err
}

func forgetPrefix(tx store.Tx, prefix string) error {
	for k := range tx.Scan(prefix, "") {
		if err := tx.Delete(k); err != nil {
			return err
		}
	}
	return tx.ScanErr()
}

// forgetFactors takes away a user's devices and backup codes.
func (k *Kinds) forgetFactors(tx store.Tx, u *userRow) error {
	have, err := k.devices(tx, u)
	if err != nil {
		return err
	}
	for _, d := range have {
		if err := tx.Delete(stepPrefix + string(d.ID)); err != nil {
			return err
		}
		if err := k.Device.Remove(tx, d); err != nil {
			return err
		}
	}
	keys, err := k.passkeys(tx, u)
	if err != nil {
		return err
	}
	for _, p := range keys {
		if err := k.Passkey.Remove(tx, p); err != nil {
			return err
		}
	}
	return forgetPrefix(tx, backupPrefix+string(u.ID)+"/")
}
