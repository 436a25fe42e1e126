// Package openstack_test runs the openstack command line, unmodified, against the listener.
package openstack_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/awancloud/awan/test/conformance/cloudtest"
)

// driver calls the client's main once a line: starting Python takes longer than everything the client then does.
const driver = `
import contextlib, io, json, sys
from openstackclient import shell
import openstackclient.common.clientmanager
from osc_lib import clientmanager
for line in sys.stdin:
    if "--os-compute-api-version" in line: # the client of another version would stay
        vars(clientmanager.ClientManager)["compute"]._handle = None
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            rc = shell.main(json.loads(line))
        except SystemExit as e:
            rc = e.code
    if "--os-compute-api-version" in line:
        vars(clientmanager.ClientManager)["compute"]._handle = None
    print(json.dumps({"rc": rc or 0, "out": out.getvalue(), "err": err.getvalue()}), flush=True)
`

// cli is the openstack command as a user who logs in by password.
type cli struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Scanner
}

type result struct {
	RC  int
	Out string
	Err string
}

func environment(c *cloudtest.Cloud, user, password string) []string {
	env := []string{"OS_AUTH_URL=" + c.URL + "/v3", "OS_IDENTITY_API_VERSION=3", "OS_USERNAME=" + user, "OS_PASSWORD=" + password,
		"OS_PROJECT_NAME=" + c.Admin.Project, "OS_USER_DOMAIN_NAME=" + c.Admin.Domain, "OS_PROJECT_DOMAIN_NAME=" + c.Admin.Domain,
		"OS_REGION_NAME=awan-1", "OS_CACERT=" + c.CAFile}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); !strings.HasPrefix(name, "OS_") && !strings.HasSuffix(strings.ToLower(name), "_proxy") {
			env = append(env, v)
		}
	}
	return env
}

// command finds the client and the interpreter it runs in.
func command(t *testing.T) (client, python string) {
	t.Helper()
	client, err := exec.LookPath("openstack")
	if err != nil {
		t.Skip("the openstack command is not installed (Debian: python3-openstackclient)")
	}
	b, err := os.ReadFile(client)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(b), "\n")
	python, ok := strings.CutPrefix(first, "#!")
	if !ok || !strings.Contains(python, "python") {
		t.Skip("the openstack command is not a Python script")
	}
	return client, strings.TrimSpace(python)
}

// start runs the client; more variables take the place of the project's.
func start(t *testing.T, c *cloudtest.Cloud, user, password string, more ...string) *cli {
	t.Helper()
	_, python := command(t)
	cmd := exec.Command(python, "-c", driver)
	cmd.Env = environment(c, user, password)
	if len(more) > 0 {
		cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, "OS_PROJECT_") })
		cmd.Env = append(cmd.Env, more...)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	s := bufio.NewScanner(out)
	s.Buffer(nil, 1<<20)
	return &cli{t, in, s}
}

func (c *cli) run(args ...string) result {
	c.t.Helper()
	b, err := json.Marshal(args)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.in.Write(append(b, '\n')); err != nil {
		c.t.Fatal(err)
	}
	if !c.out.Scan() {
		c.t.Fatal("the client ended: ", c.out.Err())
	}
	var r result
	if err := json.Unmarshal(c.out.Bytes(), &r); err != nil {
		c.t.Fatal(err)
	}
	return r
}

// ok runs a command that must succeed and gives its output.
func (c *cli) ok(line string) string {
	c.t.Helper()
	r := c.run(strings.Fields(line)...)
	if r.RC != 0 {
		c.t.Fatalf("openstack %s: exit %d\n%s%s", line, r.RC, r.Out, r.Err)
	}
	return r.Out
}

// fails runs a command that must not succeed and gives what it says.
func (c *cli) fails(line string) string {
	c.t.Helper()
	r := c.run(strings.Fields(line)...)
	if r.RC == 0 {
		c.t.Fatalf("openstack %s: it succeeds:\n%s", line, r.Out)
	}
	return r.Out + r.Err
}

// show runs a command that prints one thing.
func (c *cli) show(line string) map[string]any {
	c.t.Helper()
	out := c.ok(line + " -f json")
	var v map[string]any
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		c.t.Fatalf("openstack %s: %v in %s", line, err, out)
	}
	return v
}

// list runs a command that prints a table.
func (c *cli) list(line string) []map[string]any {
	c.t.Helper()
	out := c.ok(line + " -f json")
	var v []map[string]any
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		c.t.Fatalf("openstack %s: %v in %s", line, err, out)
	}
	return v
}

func has(rows []map[string]any, column string, value any) bool {
	for _, r := range rows {
		if r[column] == value {
			return true
		}
	}
	return false
}

func (c *cli) want(ok bool, format string, args ...any) {
	c.t.Helper()
	if !ok {
		c.t.Errorf(format, args...)
	}
}

func TestCommandItself(t *testing.T) {
	client, _ := command(t)
	c := cloudtest.Start(t)
	cmd := exec.Command(client, "token", "issue", "-f", "json")
	cmd.Env = environment(c, c.Admin.User, c.Admin.Password)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("openstack token issue: %v\n%s", err, out)
	}
	var v struct {
		ID        string `json:"id"`
		ProjectID string `json:"project_id"`
		UserID    string `json:"user_id"`
	}
	if err := json.Unmarshal(out, &v); err != nil || v.ID == "" || v.ProjectID != string(c.Admin.ProjectID) || v.UserID != string(c.Admin.UserID) {
		t.Errorf("openstack token issue: %v in %s", err, out)
	}
}

func TestIdentity(t *testing.T) {
	c := cloudtest.Start(t)
	cl := start(t, c, c.Admin.User, c.Admin.Password)

	t.Run("catalog", func(t *testing.T) {
		cl.t = t
		rows := cl.list("catalog list")
		cl.want(len(rows) == 2 && has(rows, "Type", "identity") && has(rows, "Type", "network"), "catalog: %v", rows)
		ends := cl.list("endpoint list")
		cl.want(len(ends) == 6 && ends[0]["URL"] == c.URL+"/v3" && ends[0]["Service Name"] == "keystone", "endpoints: %v", ends)
		cl.want(has(cl.list("region list"), "Region", "awan-1"), "no region")
		cl.want(cl.show("region show awan-1")["region"] == "awan-1", "no region awan-1")
		cl.want(has(cl.list("service list"), "Type", "identity"), "no service")
		out := cl.fails("region show elsewhere")
		cl.want(strings.Contains(out, "elsewhere"), "an unknown region: %s", out)
	})

	t.Run("domains", func(t *testing.T) {
		cl.t = t
		cl.want(has(cl.list("domain list"), "Name", "awan"), "no domain awan")
		cl.want(cl.show("domain show awan")["id"] == string(c.Admin.DomainID), "domain show")
		d := cl.show("domain create --description second other")
		cl.want(d["name"] == "other" && d["enabled"] == true, "domain create: %v", d)
		cl.ok("domain set --disable other")
		cl.want(cl.show("domain show other")["enabled"] == false, "domain set --disable")
		p := cl.show("project create --domain other theirs")
		cl.want(p["domain_id"] == d["id"], "project of another domain: %v", p)
		cl.want(has(cl.list("project list --domain other"), "Name", "theirs"), "project list --domain")
		cl.want(!has(cl.list("project list --domain awan"), "Name", "theirs"), "project list --domain awan shows another's")
		cl.ok("project delete --domain other theirs")
		cl.ok("domain delete other")
		cl.fails("domain show other")
	})

	t.Run("projects", func(t *testing.T) {
		cl.t = t
		p := cl.show("project create --description first --tag team=a shop")
		cl.want(p["name"] == "shop" && p["description"] == "first" && p["domain_id"] == string(c.Admin.DomainID), "project create: %v", p)
		cl.want(has(cl.list("project list"), "Name", "shop"), "project list")
		out := cl.fails("project create shop")
		cl.want(strings.Contains(out, "409") && strings.Contains(out, "shop is there already"), "the same name again: %s", out)
		cl.ok("project set --name store --disable shop")
		q := cl.show("project show store")
		cl.want(q["id"] == p["id"] && q["enabled"] == false, "project set: %v", q)
		cl.want(cl.show("project create --or-show store")["id"] == p["id"], "project create --or-show")
		cl.ok("project delete store")
		out = cl.fails("project show store")
		cl.want(strings.Contains(out, "No project"), "a deleted project: %s", out)
	})

	t.Run("users", func(t *testing.T) {
		cl.t = t
		u := cl.show("user create --password correct-horse --email alice@example.org --project awan-1 alice")
		cl.want(u["name"] == "alice" && u["enabled"] == true && u["default_project_id"] == string(c.Admin.ProjectID), "user create: %v", u)
		cl.want(u["password"] == nil, "user create shows a password: %v", u)
		cl.want(has(cl.list("user list"), "Name", "alice"), "user list")
		cl.want(len(cl.list("user list --long")) == 2, "user list --long")
		cl.ok("user set --email a@example.org --disable alice")
		v := cl.show("user show alice")
		cl.want(v["email"] == "a@example.org" && v["enabled"] == false, "user set: %v", v)
		cl.ok("user set --enable --password battery-staple alice")
		out := cl.fails("user create --password short bob")
		cl.want(strings.Contains(out, "400") && strings.Contains(out, "spec.password"), "a short password: %s", out)

		alice := start(t, c, "alice", "battery-staple")
		cl.want(alice.show("token issue")["user_id"] == u["id"], "alice's token")
		out = alice.fails("user list")
		cl.want(strings.Contains(out, "403") && strings.Contains(out, "identity:user:list"), "alice lists users: %s", out)
		alice.ok("user password set --original-password battery-staple --password staple-battery")
		start(t, c, "alice", "staple-battery").ok("token issue")
		out = start(t, c, "alice", "battery-staple").fails("token issue")
		cl.want(strings.Contains(out, "401") && strings.Contains(out, "password is wrong"), "the old password: %s", out)
		cl.ok("user delete alice")
		cl.fails("user show alice")
	})

	t.Run("groups", func(t *testing.T) {
		cl.t = t
		cl.ok("user create --password correct-horse carol")
		g := cl.show("group create --description hands crew")
		cl.want(g["name"] == "crew" && g["description"] == "hands", "group create: %v", g)
		cl.ok("group add user crew carol")
		cl.want(strings.Contains(cl.ok("group contains user crew carol"), "carol in group crew"), "group contains user")
		cl.want(has(cl.list("user list --group crew"), "Name", "carol"), "user list --group")
		cl.want(has(cl.list("group list --user carol"), "Name", "crew"), "group list --user")
		cl.ok("group set --name team crew")
		cl.ok("group remove user team carol")
		out := cl.run("group", "contains", "user", "team", "carol")
		cl.want(strings.Contains(out.Out+out.Err, "carol not in group team"), "after removal: %+v", out)
		cl.fails("group remove user team carol")
		cl.want(cl.show("group show team")["id"] == g["id"], "group show")
		cl.ok("group delete team")
		cl.ok("user delete carol")
	})

	t.Run("roles", func(t *testing.T) {
		cl.t = t
		cl.want(has(cl.list("role list"), "Name", "full-access"), "role list")
		cl.ok("user create --password correct-horse dora")
		cl.ok("group create night")
		cl.ok("role add --user dora --project awan-1 read-only")
		cl.ok("role add --user dora --project awan-1 read-only") // again: no error
		cl.ok("role add --group night --domain awan auditor")
		rows := cl.list("role assignment list --names")
		cl.want(has(rows, "User", "dora@awan") && has(rows, "Group", "night@awan") && has(rows, "Project", "awan-1@awan") &&
			has(rows, "Domain", "awan") && has(rows, "System", "all"), "role assignment list --names: %v", rows)
		rows = cl.list("role assignment list --user dora --project awan-1 --names")
		cl.want(len(rows) == 1 && rows[0]["Role"] == "read-only", "dora's roles: %v", rows)
		cl.ok("group add user night dora")
		rows = cl.list("role assignment list --user dora --effective --names")
		cl.want(len(rows) == 2, "dora's roles in effect: %v", rows)
		dora := start(t, c, "dora", "correct-horse")
		cl.want(has(dora.list("project list --my-projects"), "Name", "awan-1"), "dora's projects")
		out := cl.fails("role remove --user dora --project awan-1 auditor")
		cl.want(strings.Contains(out, "404"), "removing a role that is not there: %s", out)
		cl.ok("role remove --user dora --project awan-1 read-only")
		cl.ok("role remove --group night --domain awan auditor")
		cl.want(!has(cl.list("role assignment list --names"), "User", "dora@awan"), "the roles are still there")
		r := cl.show("role create rubber-stamp")
		cl.want(cl.show("role show rubber-stamp")["id"] == r["id"], "role create: %v", r)
		cl.ok("role add --user dora --project awan-1 rubber-stamp") // grants nothing until it has a document
		out = start(t, c, "dora", "correct-horse").fails("user list")
		cl.want(strings.Contains(out, "403"), "a role without a document allows: %s", out)
		cl.ok("role remove --user dora --project awan-1 rubber-stamp")
		cl.ok("role set --description stamps --name stamp rubber-stamp")
		cl.want(cl.show("role show stamp")["description"] == "stamps", "role set")
		cl.ok("role set --name rubber-stamp stamp")
		cl.ok("role add --user dora --system all read-only") // another operator
		cl.want(has(cl.list("role assignment list --user dora --system all --names"), "Role", "read-only"), "dora on the system")
		dora = start(t, c, "dora", "correct-horse", "OS_SYSTEM_SCOPE=all")
		cl.want(dora.show("token issue")["user_id"] != nil, "dora's token for the system")
		cl.want(has(dora.list("domain list"), "Name", "awan"), "dora sees the domains")
		cl.ok("role remove --user dora --system all read-only")
		out = start(t, c, "dora", "correct-horse", "OS_SYSTEM_SCOPE=all").fails("token issue")
		cl.want(strings.Contains(out, "401") && strings.Contains(out, "no role on the system"), "the system without a role: %s", out)
		cl.ok("role delete rubber-stamp")
		cl.ok("group delete night")
		cl.ok("user delete dora")
	})

	t.Run("application credentials", func(t *testing.T) {
		cl.t = t
		a := cl.show("application credential create --role read-only --secret correct-horse-battery robot")
		cl.want(a["secret"] == "correct-horse-battery" && a["name"] == "robot", "create: %v", a)
		cl.want(has(cl.list("application credential list"), "Name", "robot"), "list")
		b := cl.show("application credential show robot")
		cl.want(b["id"] == a["id"] && b["secret"] == nil, "show: %v", b)
		id, _ := a["id"].(string)
		robot := start(t, c, "", "", "OS_AUTH_TYPE=v3applicationcredential", "OS_APPLICATION_CREDENTIAL_ID="+id, "OS_APPLICATION_CREDENTIAL_SECRET=correct-horse-battery")
		cl.want(robot.show("token issue")["project_id"] == string(c.Admin.ProjectID), "the robot's token")
		out := robot.fails("group create robots")
		cl.want(strings.Contains(out, "403"), "the robot does more than its role allows: %s", out)
		out = cl.fails("application credential show none")
		cl.want(strings.Contains(out, "none"), "an unknown credential: %s", out)
		cl.ok("application credential delete robot")
	})

	t.Run("what operators add to the catalog", func(t *testing.T) {
		cl.t = t
		cl.ok("region create --description there far")
		s := cl.show("service create --name swift object-store")
		cl.ok("endpoint create --region far swift public https://far.example.org/v1")
		cl.want(has(cl.list("endpoint list --service swift"), "URL", "https://far.example.org/v1"), "endpoint list")
		out := cl.fails("endpoint create --region nowhere swift public https://far.example.org/v1")
		cl.want(strings.Contains(out, "nowhere"), "an endpoint in no region: %s", out)
		cl.want(has(cl.list("catalog list"), "Type", "object-store"), "the catalog")
		cl.ok("service set --description objects swift")
		cl.want(cl.show("service show swift")["id"] == s["id"], "service show")
		cl.want(cl.show("catalog show swift")["type"] == "object-store", "catalog show")
		ends := cl.list("endpoint list --service swift")
		end, _ := ends[0]["ID"].(string)
		cl.ok("endpoint set --url https://near.example.org/v1 " + end)
		cl.want(cl.show("endpoint show " + end)["url"] == "https://near.example.org/v1", "endpoint set")
		cl.ok("region set --description nearer far")
		cl.want(cl.show("region show far")["description"] == "nearer", "region set")
		cl.ok("endpoint delete " + end)
		cl.fails("endpoint show " + end)
		out = cl.fails("region delete awan-1")
		cl.want(strings.Contains(out, "comes with the cloud"), "the cloud's own region: %s", out)
		cl.ok("service delete swift")
		cl.ok("region delete far")
		cl.fails("region show far")
	})

	t.Run("tokens", func(t *testing.T) {
		cl.t = t
		tok, _ := cl.show("token issue")["id"].(string)
		cl.ok("token revoke " + tok)
		out := cl.fails("--os-auth-type token --os-token " + tok + " --os-username= --os-password= --os-user-domain-name= project list")
		cl.want(strings.Contains(out, "401"), "a revoked token: %s", out)
	})
}
