package console_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/ident"
)

// TestBrowserPasskey: an administrator's first log-in registers a passkey, the next one uses it, and it is removed on the page
// of one's own log-in. Chromium's own authenticator answers.
func TestBrowserPasskey(t *testing.T) {
	b := browse(t, func() *world {
		w := start(t)
		w.URL = strings.Replace(w.URL, "127.0.0.1", "localhost", 1) // passkeys are for host names
		return w
	})
	b.run(t, command(webauthn.Enable, webauthn.EnableParams{}), command(webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportUsb, AutomaticPresenceSimulation: true}}))
	if _, err := b.Door.Do(t.Context(), &call.Call{Kind: b.Ident.Kinds.Rules.D, Verb: call.Update, Target: ident.RulesName, Principal: b.Root, Spec: []byte(`{"mfa":"all"}`)}); err != nil {
		t.Fatal(err)
	}
	press := func(sel string) { t.Helper(); b.eval(t, fmt.Sprintf(`document.querySelector(%q).click()`, sel)) }
	logIn := func() {
		t.Helper()
		b.open(t, "/login")
		b.eval(t, fmt.Sprintf(`(() => { const f = document.forms[0].elements; f.domain.value = %q; f.user.value = %q; f.password.value = %q; document.forms[0].submit(); })()`,
			b.Admin.Domain, b.Admin.User, b.Admin.Password))
	}
	logIn()
	b.waitFor(t, `document.querySelector("form[action='/complete/passkey'] button")`)
	b.shot(t, "passkey-enrol")
	press("form[action='/complete/passkey'] button")
	b.waitFor(t, `document.querySelector("form[data-passkey] button:not([hidden])")`)
	press("form[data-passkey] button")
	b.waitFor(t, `document.querySelectorAll(".backup code").length === 10`)

	logIn()
	b.waitFor(t, `document.querySelector("form[data-passkey=get] button:not([hidden])")`)
	b.shot(t, "passkey-login")
	press("form[data-passkey=get] button")
	b.run(t, chromedp.WaitVisible("nav.side"))

	b.open(t, "/account")
	b.waitFor(t, `document.querySelector("table.grid").textContent.includes("Passkey")`)
	b.shot(t, "account")
	press("form[action='/complete/passkey'] button") // the authenticator has a key already, and says so
	b.waitFor(t, `document.querySelector("form[data-passkey] button:not([hidden])")`)
	press("form[data-passkey] button")
	b.waitFor(t, `document.querySelector("[role=status]").textContent.includes("registered already")`)
	b.open(t, "/account")
	press("form[action='/account/remove'] button")
	b.waitFor(t, `document.querySelectorAll("table.grid tbody tr").length === 1`)
	press("form[action='/account/remove'] button")
	b.waitFor(t, `document.body.textContent.includes("No second factor")`)
}
