package federation_test

import (
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/federation"
)

func TestMap(t *testing.T) {
	words := federation.Words{"sub": {"17"}, "email": {"alice@example.org"}, "groups": {"crew", "night;day"}, "kind": {"Employee"}}
	for rules, want := range map[string]string{
		`[{"local":[{"user":{"name":"{0}"}}],"remote":[{"type":"email"}]}]`:                                                                                                          "alice@example.org",
		`[{"local":[{"user":{"name":"{1}","email":"{0}"},"groups":"{2}"}],"remote":[{"type":"email"},{"type":"sub"},{"type":"groups"}]}]`:                                            "17 alice@example.org crew,day,night",
		`[{"local":[{"user":{"name":"{0}"}},{"group":{"name":"admins"}}],"remote":[{"type":"sub"},{"type":"kind","any_one_of":["Employee"]}]}]`:                                      "17 admins",
		`[{"local":[{"user":{"name":"{0}"}},{"group":{"id":"g1"}}],"remote":[{"type":"sub"},{"type":"kind","not_any_of":["Guest"]}]}]`:                                               "17 g1",
		`[{"local":[{"user":{"name":"{0}"}}],"remote":[{"type":"sub"},{"type":"email","any_one_of":[".*@example.org$"],"regex":true}]}]`:                                             "17",
		`[{"local":[{"user":{"name":"{0}"},"groups":"{1}"}],"remote":[{"type":"sub"},{"type":"groups","whitelist":["crew"]}]}]`:                                                      "17 crew",
		`[{"local":[{"user":{"name":"{0}"},"groups":"{1}"}],"remote":[{"type":"sub"},{"type":"groups","blacklist":["crew"]}]}]`:                                                      "17 day,night",
		`[{"local":[{"user":{"name":"{0}"}}],"remote":[{"type":"HTTP_OIDC_EMAIL"}]}]`:                                                                                                "alice@example.org",
		`[{"local":[{"user":{"name":"{0}"}}],"remote":[{"type":"OIDC-sub"}]},{"local":[{"group":{"name":"all"}}],"remote":[{"type":"email"}]}]`:                                      "17 all",
		`[{"local":[{"user":{"name":"{0}"}}],"remote":[{"type":"sub"},{"type":"kind","any_one_of":["Guest"]}]},{"local":[{"user":{"name":"guest-{0}"}}],"remote":[{"type":"sub"}]}]`: "guest-17",
		`[{"local":[{"user":{"name":"{0}"}}],"remote":[{"type":"sub"},{"type":"kind","any_one_of":["Guest"]}]}]`:                                                                     "! no rule",
		`[{"local":[{"user":{"name":"{0}"}}],"remote":[{"type":"missing"}]}]`:                                                                                                        "! no rule",
		`[{"local":[{"user":{"name":"{1}"}}],"remote":[{"type":"sub"}]}]`:                                                                                                            "! {1} stands for no remote entry",
		`[{"local":[{"user":{"name":"{0}"}}],"remote":[{"type":"sub","any_one_of":["("],"regex":true}]}]`:                                                                            "! not a regular expression",
		`[{"local":[{"user":{"name":"{0}"}}],"remote":[{"type":"sub","any_one_of":["a"],"not_any_of":["b"]}]}]`:                                                                      "! give one of",
		`[{"local":[{"user":{"name":"x"},"projects":[]}],"remote":[{"type":"sub"}]}]`:                                                                                                "! projects are not made",
		`[{"local":[{"user":{"name":"x","type":"local"}}],"remote":[{"type":"sub"}]}]`:                                                                                               "! only ephemeral",
		`[{"local":[],"remote":[{"type":"sub"}]}]`:                                                                                                                                   "! both local and remote",
		`[{"locale":[]}]`: "! unknown field",
		`[]`:              "! 1 to 100 rules",
		`{}`:              "! cannot be read",
	} {
		m, err := federation.Map([]byte(rules), words)
		if says, bad := strings.CutPrefix(want, "! "); bad {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %+v, %v; want %q", rules, m, err, says)
			} else if k := fail.KindOf(err); k != fail.Invalid && k != fail.Denied {
				t.Errorf("%s: kind %s", rules, k)
			}
			continue
		}
		got := strings.TrimSpace(m.Name + " " + m.Email)
		if len(m.Groups) > 0 {
			got += " " + strings.Join(m.Groups, ",")
		}
		if err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", rules, got, err, want)
		}
	}
}
