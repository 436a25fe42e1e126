package apps_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/config"
)

func TestVersionsOfAConfig(t *testing.T) {
	w := open(t)
	k := w.conf.Config.D
	version := func() int {
		var n int
		_ = w.store.View(t.Context(), func(tx store.Tx) error {
			row, err := w.conf.Config.Find(tx, string(w.root.Project), "settings")
			n = row.Status.Version
			return err
		})
		return n
	}
	w.must(k, call.Create, "settings", m{"content": "color=red\nsize=1\n", "type": "properties"})
	w.must(k, call.Update, "settings", m{"content": "color=red\nsize=1\n"})
	w.must(k, call.Update, "settings", m{"description": "how it looks"})
	if version() != 1 {
		t.Errorf("the same content made version %d", version())
	}
	w.must(k, call.Update, "settings", m{"content": "color=green\nsize=1\n"})
	diff := w.text(k, "compare", "settings", m{})
	if !strings.Contains(diff, "-color=red") || !strings.Contains(diff, "+color=green") || strings.Contains(diff, "-size") {
		t.Errorf("the difference is %s", diff)
	}
	w.must(k, "rollback", "settings", m{"version": 1})
	if got := w.text(k, "content", "settings", m{}); got != "color=red\nsize=1\n" || version() != 3 {
		t.Errorf("after the roll back version %d holds %q", version(), got)
	}
	if got := w.text(k, "content", "settings", m{"version": 2}); got != "color=green\nsize=1\n" {
		t.Errorf("version 2 holds %q", got)
	}
	_ = w.store.View(t.Context(), func(tx store.Tx) error {
		for key, v := range tx.Scan("", "") { // rows, versions, audit entries, jobs: all there is
			if strings.Contains(string(v), "color=") {
				t.Errorf("%s holds the content in clear", key)
			}
		}
		return tx.ScanErr()
	})
	for _, c := range []struct {
		verb, name string
		body       m
		words      string
	}{
		{"rollback", "settings", m{"version": 9}, "no version 9"},
		{"rollback", "settings", m{"version": 3}, "the present one"},
		{call.Create, "bad", m{"type": "yaml", "content": "a: [1"}, "spec.content: is not yaml"},
		{call.Create, "bad", m{"type": "properties", "content": "a=1\nno sign"}, "line 2 is not NAME=VALUE"},
		{call.Create, "bad", m{"content": "a\x00b"}, "not text in UTF-8"},
		{call.Create, "bad", m{"group": "nowhere"}, "awan config-group create nowhere"},
		{call.Update, "settings", m{"type": "yaml", "content": "a: [1"}, "is not yaml"},
	} {
		w.refuse(k, c.verb, c.name, c.body, c.words)
	}
}

func TestSensitiveIsNeverShown(t *testing.T) {
	w := open(t)
	k := w.conf.Config.D
	w.must(k, call.Create, "key", m{"content": "hush hush", "sensitive": true})
	w.refuse(k, "content", "key", m{}, "never shown")
	w.refuse(k, "compare", "key", m{}, "never shown")
	w.refuse(k, call.Update, "key", m{"sensitive": false}, "cannot be taken back")
	w.must(w.conf.Secret.D, call.Create, "db", m{"values": m{"password": "hush hush"}})
	w.refuse(w.conf.Secret.D, call.Update, "db", m{"values": m{"a/b": "x"}}, "not a key")
	streamed = nil
	w.must(k, "export", "", m{})
	if len(streamed) != 0 {
		t.Errorf("the export has %v", streamed)
	}
	_ = w.store.View(t.Context(), func(tx store.Tx) error {
		for key, v := range tx.Scan("", "") {
			if strings.Contains(string(v), "hush") {
				t.Errorf("%s holds it in clear", key)
			}
		}
		return tx.ScanErr()
	})
}

func TestWhatWinsOverWhat(t *testing.T) {
	w := open(t)
	w.must(w.app.Environment.D, call.Create, "live", m{"variables": m{"A": "environment", "B": "environment", "C": "environment", "D": "environment"}})
	w.must(w.app.Application.D, call.Create, "shop", m{})
	w.must(w.app.Configuration.D, call.Create, "", m{"application": "shop", "environment": "live", "variables": m{"B": "application", "C": "application", "D": "application"}})
	w.refuse(w.app.Configuration.D, call.Create, "second", m{"application": "shop", "environment": "live"}, "shop.live")
	w.must(w.conf.Config.D, call.Create, "vars", m{"type": "properties", "content": "C=config\nD=config\nWHO=${AWAN_COMPONENT} ${CAS_APPLICATION_NAME} ${other}\n"})
	w.must(w.conf.Secret.D, call.Create, "db", m{"values": m{"D": "secret", "PASSWORD": "hush"}})
	w.deploy(m{"application": "shop", "environment": "live", "env": m{"D": "component"},
		"mounts": []m{{"group": "default", "as": "variables"}, {"secret": "db", "as": "variables"}}})
	want := w.wants()
	env := want.Env
	if env["A"] != "environment" || env["B"] != "application" || env["C"] != "config" || env["D"] != "component" || env["WHO"] != "web shop ${other}" {
		t.Errorf("variables are %v", env)
	}
	if want.Secrets["PASSWORD"] != "hush" || want.Secrets["D"] != "" {
		t.Errorf("secrets are %v", want.Secrets)
	}
	w.refuse(w.app.Environment.D, call.Delete, "live", nil, "shop.live still belongs to it")
	// A variable of the environment that changes is rolled out, and so is one of the application.
	w.must(w.app.Environment.D, call.Update, "live", m{"variables": m{"A": "changed"}})
	w.settled(2)
	w.must(w.app.Configuration.D, call.Update, "shop.live", m{"variables": m{"B": "changed"}})
	w.settled(3)
	if env := w.wants().Env; env["A"] != "changed" || env["B"] != "changed" {
		t.Errorf("variables are %v", env)
	}
}

func TestAChangeIsRolledOut(t *testing.T) {
	w := open(t)
	w.must(w.conf.Config.D, call.Create, "settings", m{"content": "one"})
	w.must(w.conf.Secret.D, call.Create, "db", m{"values": m{"password": "one", "user": "shop"}})
	w.deploy(m{"mounts": []m{{"config": "settings", "path": "/etc/shop/settings"}, {"secret": "db", "path": "/secrets"}}})
	if w.file("/etc/shop/settings") != "one" || w.file("/secrets/password") != "one" || w.file("/secrets/user") != "shop" {
		t.Fatalf("files are %+v", w.wants().Files)
	}
	first := w.component().Status.Instances[0].ID
	w.must(w.conf.Secret.D, call.Update, "db", m{"values": m{"password": "two"}})
	w.settled(2)
	if w.file("/secrets/password") != "two" || w.file("/secrets/user") != "shop" || w.component().Status.Instances[0].ID == first {
		t.Fatalf("after the rotation: %+v", w.wants().Files)
	}
	w.must(w.conf.Config.D, call.Update, "settings", m{"content": "two"})
	w.settled(3)
	w.must(w.conf.Config.D, "rollback", "settings", m{})
	w.settled(4)
	if w.file("/etc/shop/settings") != "one" {
		t.Errorf("after the roll back the file holds %q", w.file("/etc/shop/settings"))
	}
	w.refuse(w.conf.Config.D, call.Delete, "settings", nil, "mounted by component web")
	w.refuse(w.conf.Secret.D, call.Delete, "db", nil, "mounted by component web")
	for _, c := range []struct {
		mount m
		words string
	}{
		{m{}, "give one of"},
		{m{"config": "settings", "secret": "db"}, "give one of"},
		{m{"config": "nowhere"}, "there is no config"},
		{m{"secret": "nowhere"}, "awan secret create nowhere"},
		{m{"secret": "db", "key": "nope"}, "its keys: password, user"},
		{m{"config": "settings", "as": "variables", "reload": "live"}, "cannot change"},
		{m{"config": "settings", "path": "etc"}, "spec.mounts[0].path"},
		{m{"config": "settings", "path": "/run/x"}, "cannot lie in /run itself"},
		{m{"secret": "db", "path": "/proc"}, "system's own"},
		{m{"config": "settings", "mode": "999"}, "does not match"},
		{m{"config": "settings", "version": 77}, "no version 77"},
		{m{"secret": "db", "as": "variables", "variable": "X"}, "give a key too"},
	} {
		w.refuse(w.app.Component.D, call.Update, "web", m{"mounts": []m{c.mount}}, c.words)
	}
}

func TestALiveFileIsReplaced(t *testing.T) {
	w := open(t)
	w.must(w.conf.Config.D, call.Create, "settings", m{"content": "one"})
	w.must(w.conf.Secret.D, call.Create, "cert", m{"values": m{"pem": "one"}})
	w.deploy(m{"mounts": []m{{"config": "settings", "path": "/etc/a", "reload": "live"}, {"secret": "cert", "path": "/etc/tls", "reload": "signal", "signal": "USR1"}}})
	instance := w.component().Status.Instances[0].ID
	w.must(w.conf.Config.D, call.Update, "settings", m{"content": "two"})
	w.until("the new content", func() bool { return w.file("/etc/a") == "two" })
	if log := w.text(w.app.Component.D, "logs", "web", m{}); strings.Contains(log, "signal") {
		t.Errorf("reload: live sent a signal: %s", log)
	}
	w.must(w.conf.Secret.D, call.Update, "cert", m{"values": m{"pem": "two"}})
	w.until("the new secret", func() bool { return w.file("/etc/tls/pem") == "two" })
	w.until("the signal", func() bool { return strings.Contains(w.text(w.app.Component.D, "logs", "web", m{}), "signal USR1") })
	row := w.component()
	if row.Status.Release != 1 || row.Status.Instances[0].ID != instance {
		t.Error("a live file made a release")
	}
	w.must(w.conf.Secret.D, call.Update, "cert", m{"values": m{"key": "new"}}) // another file: that needs new instances
	w.settled(2)
	if w.file("/etc/tls/key") != "new" {
		t.Errorf("files are %+v", w.wants().Files)
	}
	// The instance is lost: it comes back with what is present.
	w.engine.Lose(w.component().Status.Instances[0].ID)
	w.until("another start", func() bool {
		row := w.component()
		s, err := w.engine.Observe(context.Background(), row.Status.Instances[0].ID)
		return err == nil && s.Phase == "running" && w.file("/etc/a") == "two"
	})
}

func TestABadConfigIsNotTriedAgainAndAgain(t *testing.T) {
	w := open(t)
	w.must(w.conf.Config.D, call.Create, "vars", m{"type": "text", "content": "A=1"})
	w.deploy(m{"mounts": []m{{"config": "vars", "as": "variables"}}})
	w.must(w.conf.Config.D, call.Update, "vars", m{"content": "this is no variable"})
	failures := func() (n int) {
		for _, e := range w.must(w.app.Component.D, call.Events, "web", nil).Events {
			if e.Type == "Failed" {
				n += max(1, e.Count)
			}
		}
		return n
	}
	w.until("the failed roll-out", func() bool { return failures() == 1 && w.component().Job == "" })
	for range 5 {
		w.door.Wake(w.app.Component.D.FullName())
		time.Sleep(20 * time.Millisecond) // rounds of the loop, each of which could begin again
	}
	if row := w.component(); failures() != 1 || row.Status.Release != 1 || len(row.Status.Instances) != 1 || row.Status.Instances[0].Phase != "ready" {
		t.Errorf("after a bad config: %d failures, %+v", failures(), row.Status)
	}
	w.must(w.conf.Config.D, call.Update, "vars", m{"content": "A=2"})
	w.until("the good one", func() bool { return w.component().Status.Release > 1 && w.wants().Env["A"] == "2" })
}

func TestVariables(t *testing.T) {
	for _, c := range []struct{ typ, text, want string }{
		{"properties", "a=1\n# no\n! no\n b : 2 \nc=x\\\n  y\n", "a=1 b=2 c=xy"},
		{"text", "A=x=y\r\n\r\nB=", "A=x=y B="},
		{"yaml", "a: 1\nb: {c: 2}\nd: text", "a=1 d=text"},
		{"yaml", "", ""},
	} {
		got, err := config.Variables(c.typ, c.text)
		if err != nil {
			t.Error(err)
		}
		var all []string
		for _, k := range []string{"A", "B", "a", "b", "c", "d"} {
			if v, ok := got[k]; ok {
				all = append(all, k+"="+v)
			}
		}
		if strings.Join(all, " ") != c.want {
			t.Errorf("%s %q: %v", c.typ, c.text, got)
		}
	}
}
