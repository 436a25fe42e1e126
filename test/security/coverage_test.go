package security_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/dialect/auth"
	huaweidns "github.com/awancloud/awan/internal/dialect/huawei/dns"
	"github.com/awancloud/awan/internal/dialect/huawei/elb"
	"github.com/awancloud/awan/internal/dialect/huawei/iam"
	"github.com/awancloud/awan/internal/dialect/huawei/servicestage"
	"github.com/awancloud/awan/internal/dialect/huawei/swr"
	"github.com/awancloud/awan/internal/dialect/native"
	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/dialect/prometheus"
	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/federation"
)

// town is a cloud with somebody to attack and those who try.
type town struct {
	also int // a status that a route may answer too, see early
	*whole
	domain, project string            // the victim's
	rows            map[string]string // of the victim, an id by kind: "identity/user"
	values          map[string]string // for placeholders of the dialects' paths
	token           map[string]string // by person
}

// The persons. Each gets what the property says, on every route.
const (
	nobody  = "nobody"  // sends no credential
	mallory = "mallory" // may do everything, in another domain
	fresh   = "fresh"   // a new user of the victim's domain
	reader  = "reader"  // has the read-only policy in the victim's domain
)

func openTown(t *testing.T) *town {
	w := boot(t, t.TempDir())
	root := w.root()
	d := w.admin["AWAN_DOMAIN"]
	v := &town{whole: w, rows: map[string]string{}, values: map[string]string{}, token: map[string]string{nobody: ""}}
	var who struct {
		DomainID  string `json:"domain_id"`
		ProjectID string `json:"project_id"`
	}
	w.native(root, "GET", "/whoami", nil, &who)
	v.domain, v.project = who.DomainID, who.ProjectID
	inDomain, inProject := "/domains/-/", "/projects/"+v.project+"/"
	const password = `"password":"correct-horse"`

	group := w.make(root, inDomain+"identity/groups", "crew", `{}`).Resource.ID
	user := w.make(root, inDomain+"identity/users", "victim", `{`+password+`,"groups":["crew"]}`).Resource.ID
	role := w.make(root, inDomain+"identity/policies", "custom", `{"document":{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["app:*:get"]}]}}`).Resource.ID
	for _, subject := range []string{`"user":"victim"`, `"group":"crew"`} {
		for _, in := range []string{``, `,"project":"` + v.project + `"`, `,"inherited":true,"project":"` + v.project + `"`} {
			w.make(root, inDomain+"identity/grants", "", `{"policy":"custom",`+subject+in+`}`)
		}
	}
	key := w.make(root, inDomain+"identity/access-keys", "", `{"user":"victim"}`)
	var access struct {
		Key string `json:"access_key"`
	}
	if err := json.Unmarshal(key.Resource.Status, &access); err != nil {
		t.Fatal(err)
	}
	w.make(root, inDomain+"federation/mappings", "staff", `{"rules":[{"local":[{"user":{"name":"{0}"}}],"remote":[{"type":"sub"}]}]}`)
	idp := w.make(root, inDomain+"federation/identity-providers", "corp", `{"protocol":"oidc","mapping":"staff","issuer":"https://login.example.org","client_id":"awan"}`)
	w.make(root, inDomain+"federation/oidc-clients", "shop", `{"redirect_uris":["https://shop.example.org/callback"]}`)
	v.federated(idp.Resource.ID)
	credential := w.make(root, inDomain+"identity/application-credentials", "robot", `{"user":"victim","project":"`+v.project+`"}`).Resource.ID
	consumer := w.make(root, inDomain+"identity/consumers", "robot", `{}`).Resource.ID
	stored := w.make(root, inDomain+"identity/user-credentials", "", `{"user":"victim","type":"ec2","project":"`+v.project+`","blob":"{\"access\":\"VICTIMSKEY\",\"secret\":\"correct-horse\"}"}`).Resource.ID
	lesser := w.make(root, inDomain+"identity/policies", "lesser", `{"document":{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["app:*:get"]}]}}`).Resource.ID
	w.make(root, inDomain+"identity/implied-policies", "", `{"policy":"custom","implied":"lesser"}`)
	trust := w.make(root, inDomain+"identity/trusts", "", `{"trustee":"victim","project":"`+v.project+`","policies":["full-access"]}`).Resource.ID
	rule := w.make(root, inDomain+"identity/request-rules", "", `{"user":"victim","service":"compute","method":"GET","path":"/v2.1/servers"}`).Resource.ID
	blob := w.make(root, "/identity/policy-blobs", "", `{"type":"text/plain","blob":"b"}`).Resource.ID
	registered := w.make(root, "/identity/registered-limits", "", `{"service":"s","resource":"volumes","default":1}`).Resource.ID
	limit := w.make(root, inDomain+"identity/limits", "", `{"service":"s","resource":"volumes","limit":2,"project":"`+v.project+`"}`).Resource.ID
	w.make(root, "/catalog/regions", "far", `{}`)
	w.make(root, "/audit/as-built", "now", `{}`)
	service := w.make(root, "/catalog/services", "", `{"type":"test"}`).Resource.ID
	endpoint := w.make(root, "/catalog/endpoints", "", `{"service":"`+service+`","interface":"public","url":"https://far.example.org"}`).Resource.ID
	w.make(root, inDomain+"identity/policy-versions", "", `{"policy":"custom","document":{"Version":"5.0","Statement":[{"Effect":"Allow","Action":["app:*:list"]}]}}`)
	w.make(root, inDomain+"identity/agencies", "helpers", `{"trust_service":"app"}`)
	w.make(root, inDomain+"identity/mfa-devices", "phone", `{"user":"victim"}`)
	w.make(root, inDomain+"identity/passkeys", "laptop", `{"user":"victim","origin":"https://cloud.example.org"}`)
	w.make(root, inDomain+"identity/enterprise-projects", "retail", `{}`)
	w.make(root, inDomain+"identity/predefined-tags", "", `{"key":"team","value":"shop"}`)
	for _, to := range []string{`"agency":"helpers"`, `"agency":"helpers","project":"` + v.project + `"`, `"user":"victim","enterprise_project":"retail"`,
		`"group":"crew","enterprise_project":"retail"`} {
		w.make(root, inDomain+"identity/grants", "", `{"policy":"custom",`+to+`}`)
	}
	w.make(root, inProject+"keypair/keypairs", "door", `{}`)
	w.make(root, inProject+"app/applications", "shop", `{}`)
	w.make(root, inProject+"app/environments", "live", `{}`)
	w.make(root, inProject+"app/components", "web", `{"application":"shop","environment":"live","source":{"image":"library/web:1"},"probe":{"type":"none"}}`)
	w.make(root, inProject+"app/lane-groups", "paths", `{"application":"shop","entry":"web"}`)
	w.make(root, inProject+"app/lanes", "base", `{"group":"paths","type":"baseline"}`)

	w.make(root, inProject+"registry/organizations", "team", `{"members":{"victim":"read"}}`)
	w.make(root, inProject+"registry/repositories", "team/shop", `{"shares":[{"domain":"partner"}]}`)
	retention := w.make(root, inProject+"registry/retentions", "", `{"repository":"team/shop","rule":"newest","number":5}`)
	w.image(v.project+"/web:1", map[string]string{"etc/os-release": "ID=debian\nVERSION_ID=\"12\"\n"})
	w.make(root, inProject+"registry/remote-registries", "elsewhere", `{"url":"https://127.0.0.1:1","username":"mirror","password":"correct-horse"}`)
	w.make(root, inProject+"registry/image-syncs", "", `{"repository":"team/shop","remote":"elsewhere","organization":"team"}`)
	w.make(root, inProject+"registry/image-triggers", "", `{"repository":"team/shop","component":"web"}`)
	w.make(root, inProject+"registry/scan-policies", "lax", `{"block":"critical","environment":"elsewhere"}`)
	w.load(root, "none", `[{"id":"CVE-0","affected":[{"package":{"ecosystem":"Debian:12","name":"nothing"},"versions":["1"]}]}]`)
	w.make(root, inProject+"bucket/buckets", "photos", `{"versioning":"enabled"}`)
	w.make(root, inProject+"volume/volumes", "data", `{"size":1}`)
	w.make(root, inProject+"volume/snapshots", "before", `{"volume":"data"}`)
	w.make(root, inProject+"volume/volumes", "gift", `{"size":1}`)
	w.make(root, inProject+"volume/volume-transfers", "", `{"volume":"gift"}`)
	w.make(root, inProject+"image/images", "golden", `{}`)
	w.make(root, inProject+"compute/server-groups", "apart", `{"policy":"soft-anti-affinity"}`)
	w.make(root, inProject+"compute/servers", "web", `{"flavor":"m1.tiny","image":"Debian 12","group":"apart"}`)
	w.make(root, inDomain+"identity/projects", "annex", `{}`)
	there := w.logIn(d, w.admin["AWAN_USER"], w.admin["AWAN_PASSWORD"], "annex")
	theirs := w.make(there, "/projects/annex/image/images", "theirs", `{}`).Resource.ID
	w.native(there, "POST", "/projects/annex/image/images/"+theirs+"/actions/share", map[string]string{"project": v.project}, nil)
	w.make(root, inProject+"config/config-groups", "shop", `{}`)
	w.make(root, inProject+"config/configs", "settings", `{"content":"a=1"}`)
	w.make(root, inProject+"config/secrets", "db", `{"values":{"password":"hush"}}`)
	w.make(root, inProject+"app/configurations", "shop.live", `{"application":"shop","environment":"live"}`)
	w.make(root, inProject+"app/tasks", "migrate", `{"component":"web","command":["sim","exit:0"]}`)
	w.make(root, inProject+"app/schedules", "nightly", `{"component":"web","cron":"0 3 * * *"}`)
	w.make(root, inProject+"app/scaling-policies", "web", `{"component":"web"}`)
	w.make(root, inProject+"metric/channels", "hook", `{"url":"https://127.0.0.1:1/"}`)
	w.make(root, inProject+"metric/alarms", "high", `{"query":"level","channels":["hook"]}`)
	w.native(root, "POST", inProject+"metric/channels/hook/actions/test", nil, nil) // makes a notification
	w.make(root, inProject+"app/credentials", "host", `{"host":"git.example.org","password":"correct-horse"}`)
	w.make(root, inProject+"app/custom-stacks", "mine", `{"type":"go","version":"1","base":"mine:1"}`)
	w.make(root, inProject+"app/deploy-tokens", "ci", `{"component":"web"}`)
	w.make(root, inProject+"access/custom-domains", "shop.example.org", `{"component":"web"}`)
	w.make(root, inProject+"access/access-rules", "web", `{"component":"web","rate":1000}`)
	ca, err := json.Marshal(string(w.CA.Certificate()))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range [][3]string{{"load-balancers", "front", `{}`}, {"pools", "web", `{"balancer":"front","protocol":"http"}`}, {"members", "one", `{"pool":"web","address":"192.168.0.250","port":80}`},
		{"health-monitors", "web", `{"pool":"web","type":"tcp"}`}, {"listeners", "web", `{"balancer":"front","protocol":"http","port":80,"pool":"web"}`},
		{"forwarding-policies", "web", `{"listener":"web","action":"pool","pool":"web"}`}, {"forwarding-rules", "web", `{"policy":"web","of":"path","values":["/"]}`},
		{"certificates", "authority", `{"type":"client","certificate":` + string(ca) + `}`}, {"ip-groups", "office", `{"addresses":[{"address":"192.0.2.0/24"}]}`}} {
		w.make(root, inProject+"balancer/"+x[0], x[1], x[2])
	}
	zone := w.make(root, inProject+"dns/zones", "shop.example.org", `{}`).Resource.ID
	w.make(root, inProject+"access/tcp-ports", "web", `{"component":"web","target":80}`)

	w.make(root, inDomain+"identity/users", fresh, `{`+password+`}`)
	w.make(root, inDomain+"identity/users", reader, `{`+password+`}`)
	w.make(root, inDomain+"identity/grants", "", `{"policy":"read-only","user":"reader"}`)
	v.token[fresh] = w.logIn(d, fresh, "correct-horse", v.project)
	v.token[reader] = w.logIn(d, reader, "correct-horse", v.project)
	w.make(root, "/identity/domains", "elsewhere", `{}`)
	w.make(root, "/domains/elsewhere/identity/users", mallory, `{`+password+`}`)
	w.make(root, "/domains/elsewhere/identity/projects", "lair", `{}`)
	w.make(root, "/domains/elsewhere/identity/grants", "", `{"policy":"full-access","user":"mallory"}`)
	v.token[mallory] = w.logIn("elsewhere", mallory, "correct-horse", "lair")

	v.values = map[string]string{"domain_id": v.domain, "project_id": v.project, "user_id": user, "group_id": group, "role_id": role,
		"access_key": access.Key, "idp_id": idp.Resource.ID, "mapping_id": v.id("federation/mapping"), "protocol_id": "oidc", "tag": "1", "credential_id": credential, "region_id": "far", "service_id": service, "endpoint_id": endpoint,
		"namespace": "team", "repository": "shop", "access_domain": "partner", "trigger": "web", "retention_id": strconv.Itoa(int(swr.Number(id.ID(retention.Resource.ID)))),
		"policy_id": role, "access_key_id": access.Key, "resource_type": "user", "resource_id": user, "service_code": "app", "feature_name": "v5_console",
		"version_id": "v2", "option": "password_regex", "stored_id": stored, "access": "VICTIMSKEY",
		"registered_limit_id": registered, "limit_id": limit, "implied_id": lesser,
		"trust_id": trust, "rule_id": rule, "blob_id": blob, "consumer_id": consumer, "request_token_id": consumer, "provider_id": idp.Resource.ID}
	v.makeNetworks(root, inProject)
	v.findRows()
	v.networkValues()
	for name, k := range map[string]string{"environment_id": "app/environment", "application_id": "app/application", "component_id": "app/component",
		"runtimestack_id": "app/custom-stack", "config_group_id": "config/config-group", "config_id": "config/config", "config_history_id": "config/config-version",
		"lane_group_id": "app/lane-group", "lane_id": "app/lane"} {
		v.values[name] = v.rows[k]
	}
	v.values["job_id"], v.values["cluster_id"], v.values["addon_id"] = strings.Repeat("0", 32), "c", "none"
	for name, k := range map[string]string{"loadbalancer_id": "load-balancer", "listener_id": "listener", "pool_id": "pool", "member_id": "member", "healthmonitor_id": "health-monitor",
		"certificate_id": "certificate", "l7policy_id": "forwarding-policy", "l7rule_id": "forwarding-rule", "ipgroup_id": "ip-group"} {
		v.values[name] = v.rows["balancer/"+k]
	}
	v.values["flavor_id"] = "none"
	v.values["zone_id"], v.values["recordset_id"] = zone, v.rows["dns/record-set"]
	v.values["agency_id"], v.values["enterprise_project_id"] = v.rows["identity/agency"], v.rows["identity/enterprise-project"]
	return v
}

// federated logs somebody in through an identity provider.
func (v *town) federated(provider string) {
	v.t.Helper()
	p, err := v.Federation.Find(v.t.Context(), "", provider)
	if err == nil {
		_, err = v.Federation.Enter(v.t.Context(), federation.Known{Provider: p, Subject: "17", Words: federation.Words{"sub": {"17"}}}, ledger.Entry{Dialect: "test", RequestID: "r"})
	}
	if err != nil {
		v.t.Fatal(err)
	}
}

// id gives the id of the victim's row of a kind that has one.
func (v *town) id(fullName string) (found string) {
	v.t.Helper()
	err := v.Store.View(v.t.Context(), func(tx store.Tx) error {
		rows, _, err := v.Door.KindOf(fullName).List(tx, v.domain, kind.Filter{Limit: 1})
		for _, r := range rows {
			found = string(r.M().ID)
		}
		return err
	})
	if err != nil || found == "" {
		v.t.Fatalf("no %s: %v", fullName, err)
	}
	return found
}

// findRows notes one row of the victim for each kind. A kind without one cannot be covered: openTown must make one.
func (v *town) findRows() {
	v.t.Helper()
	err := v.Store.View(v.t.Context(), func(tx store.Tx) error {
		for _, k := range v.Door.Kinds {
			scope := map[kind.Scope]string{kind.InCloud: "-", kind.InDomain: v.domain, kind.InProject: v.project}[k.Scope]
			rows, _, err := k.List(tx, scope, kind.Filter{Limit: 1})
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				v.t.Errorf("there is no %s to try the routes of that kind with: make one in openTown", k.FullName())
				continue
			}
			v.rows[k.FullName()] = string(rows[0].M().ID)
		}
		return nil
	})
	if err != nil {
		v.t.Fatal(err)
	}
	v.rows["identity/user"], v.rows["identity/domain"] = v.values["user_id"], v.domain
}

// attempt is one request of one person.
type attempt struct {
	person, method, path, body string
	header                     []string
	want                       []int
}

// try sends it and compares.
func (v *town) try(a attempt) {
	v.t.Helper()
	header := append([]string{"X-Auth-Token", v.token[a.person]}, a.header...)
	got := v.ask(a.method, a.path, a.body, header...)
	if !slices.Contains(a.want, got.status) && (a.person == nobody || got.status != v.also) {
		v.t.Errorf("%s %s %s as %s: %d, want %v\n  %s", a.method, a.path, a.body, a.person, got.status, a.want, strings.TrimSpace(got.body))
	}
}

// writes tells whether a verb changes something: its level, from the kind.
func writes(t testing.TB, k *kind.Def, verb string) bool {
	for _, v := range call.Verbs(k) {
		if v.Verb == verb {
			return v.Level == kind.Write || v.Level == kind.Admin
		}
	}
	t.Fatalf("%s has no verb %s", k.FullName(), verb)
	return false
}

// cover tries a route that is about a kind, at path: the victim's thing.
func (v *town) cover(method, path, body string, k *kind.Def, verb string, asMallory attempt) {
	v.t.Helper()
	v.try(attempt{nobody, method, path, body, nil, []int{401}})
	v.try(attempt{fresh, method, path, body, nil, []int{403}})
	asMallory.person, asMallory.method, asMallory.body = mallory, method, body
	if asMallory.path == "" {
		asMallory.path = path
	}
	if asMallory.want == nil {
		asMallory.want = []int{404}
	}
	v.try(asMallory)
	if writes(v.t, k, verb) {
		v.try(attempt{reader, method, path, body, nil, []int{403}})
	}
}

// cloudWide is what mallory gets on kinds that belong to no domain: reading finds only what is hers, and writing is for
// operators.
func cloudWide(verb string) []int {
	switch verb {
	case call.List:
		return []int{200}
	case call.Get, call.Events:
		return []int{404, 403}
	}
	return []int{403}
}

// proveS18 tries every route of every dialect as each person.
func proveS18(t *testing.T) {
	v := openTown(t)
	t.Run("native", v.coverNative)
	t.Run("native general", v.coverGeneral)
	a := &auth.Authenticator{Ident: v.Ident, Now: time.Now}
	o := wire.Options{Door: v.Door, Auth: a, Region: v.Region}
	identity := keystone.Options{Options: o, Federation: v.Federation, Endpoints: v.Endpoints}
	t.Run("openstack", func(t *testing.T) {
		v.coverDialect(t, "/identity", keystone.New(identity).Routes(), func(string) []string { return nil })
	})
	t.Run("huawei", func(t *testing.T) {
		v.coverDialect(t, "", iam.New(identity).Routes(), func(domain string) []string { return []string{"X-Domain-Id", domain} })
	})
	t.Run("swr", func(t *testing.T) {
		images := swr.New(swr.Options{Options: o, Kinds: v.Images, Host: func(r *http.Request) string { return r.Host }})
		v.coverDialect(t, "/swr", images.Routes(), func(domain string) []string { return []string{"X-Domain-Id", domain} })
	})
	t.Run("elb", func(t *testing.T) {
		v.coverDialect(t, "/elb", elb.New(elb.Options{Options: o, Balancer: v.Balancer}).Routes(), func(string) []string { return nil })
	})
	t.Run("dns", func(t *testing.T) {
		v.coverDialect(t, "/dns", huaweidns.New(huaweidns.Options{Options: o, DNS: v.DNS}).Routes(), func(domain string) []string { return []string{"X-Domain-Id", domain} })
	})
	t.Run("networks", func(t *testing.T) { v.coverNetworks(t, o) })
	t.Run("machines", func(t *testing.T) { v.coverMachines(t, o) })
	t.Run("metrics", v.coverMetrics)
	t.Run("git", v.coverGit)
	t.Run("servicestage", func(t *testing.T) {
		v.coverDialect(t, "", servicestage.New(servicestage.Options{Door: v.Door, Auth: a, App: v.App, Config: v.Config, Access: v.Access, Region: v.Region}).Routes(), func(string) []string { return nil })
	})
	t.Run("tokens", v.coverTokens)
	t.Run("a new user sees nothing of others", v.coverLists)
}

func (v *town) coverNative(t *testing.T) {
	v.t = t
	routes := native.Routes(v.Door.Kinds)
	if len(routes) < 60 {
		t.Fatalf("only %d routes", len(routes))
	}
	fill := func(path, domain, project, row string) string {
		return strings.NewReplacer("{domain}", domain, "{project}", project, "{id}", row).Replace(path)
	}
	for _, r := range routes {
		row := v.rows[r.Kind.FullName()]
		body := ""
		if r.Method != http.MethodGet && r.Method != http.MethodDelete {
			body = "{}"
		}
		m := attempt{}
		if r.Kind.Scope == kind.InCloud {
			m.want = cloudWide(r.Verb)
		}
		if r.Kind.Public && r.Verb == call.Get {
			m.want = []int{200}
		}
		v.cover(r.Method, fill(r.Path, v.domain, v.project, row), body, r.Kind, r.Verb, m)
		if strings.Contains(r.Path, "{id}") && r.Kind.Scope != kind.InCloud { // the victim's id under mallory's own scope
			v.try(attempt{mallory, r.Method, fill(r.Path, "-", "lair", row), body, nil, []int{404}})
		}
	}
	t.Logf("%d routes", len(routes))
}

func (v *town) coverGeneral(t *testing.T) {
	v.t = t
	var jobID string
	for k := range v.scan("job/") {
		i := strings.LastIndexByte(k, '/')
		if len(k)-i != 33 {
			continue
		}
		j, err := v.Door.Job(t.Context(), ident.System(), id.ID(k[i+1:]))
		if err == nil && string(j.Project) == v.project { // those of the annex are nobody's here
			jobID = k[i+1:]
		}
	}
	if jobID == "" {
		t.Fatal("no job is stored")
	}
	for _, g := range native.Generals() {
		path := strings.NewReplacer("{domain}", v.domain, "{project}", v.project, "{id}", jobID).Replace(g.Path)
		body := ""
		if g.Method != http.MethodGet {
			body = "{}"
		}
		switch g.Needs {
		case "":
			if got := v.ask(g.Method, path, body); got.status == 401 || got.status == 403 {
				t.Errorf("%s %s is not open: %d", g.Method, path, got.status)
			}
		case native.LogInNeeded:
			v.try(attempt{nobody, g.Method, path, body, nil, []int{401}})
		default:
			v.try(attempt{nobody, g.Method, path, body, nil, []int{401}})
			v.try(attempt{fresh, g.Method, path, body, nil, []int{403}})
			v.try(attempt{mallory, g.Method, path, body, nil, []int{404}})
			if g.Method != http.MethodGet {
				v.try(attempt{reader, g.Method, path, body, nil, []int{403}})
			}
		}
	}
}

// scan lists the store's keys under a prefix.
func (v *town) scan(prefix string) map[string]bool {
	keys := map[string]bool{}
	err := v.Store.View(v.t.Context(), func(tx store.Tx) error {
		for k := range tx.Scan(prefix, "") {
			keys[k] = true
		}
		return tx.ScanErr()
	})
	if err != nil {
		v.t.Fatal(err)
	}
	return keys
}

// early are routes that find fault with a request before anybody is asked whether the caller may: with what it says itself, or
// with what is not there in a row that the caller may read. It tells nobody anything. The value is the status.
func early(method, path string) int {
	switch route := method + " " + path; {
	case route == "POST /vpc/v2.0/{project_id}/bandwidths/{bandwidth_id}/remove", route == "POST /network/v2.0/subnets":
		return 400
	case route == "POST /vpc/v2.0/vpc/routes", route == "DELETE /vpc/v2.0/vpc/routes/{route_id}", strings.HasPrefix(route, "DELETE /vpc/") && strings.Contains(route, "/tags/"),
		strings.Contains(route, "/DNS-private_"): // the town's zone is public
		return 404
	}
	return 0
}

// coverDialect covers a dialect's table. header is what its clients say of their domain.
func (v *town) coverDialect(t *testing.T, prefix string, routes []wire.Route, header func(domain string) []string) {
	v.t = t
	defer func() { v.also = 0 }()
	for _, r := range routes {
		v.also = early(r.Method, prefix+r.Path)
		path := prefix + r.Path
		for name, value := range v.values {
			path = strings.ReplaceAll(path, "{"+name+"}", value)
		}
		if strings.ContainsAny(path, "{}") {
			t.Errorf("%s %s: openTown has no value for a placeholder", r.Method, r.Path)
			continue
		}
		body := ""
		if r.Method != http.MethodGet && r.Method != http.MethodDelete {
			body = "{}"
		}
		switch {
		case r.Open:
			continue
		case r.Kind == nil:
			v.try(attempt{nobody, r.Method, path, body, header(""), []int{401}})
			continue
		}
		m := attempt{header: header(v.domain)}
		if !strings.Contains(r.Path, "{") {
			m.path = path + "?domain_id=" + v.domain + "&scope.domain.id=" + v.domain
			if r.Kind.Scope == kind.InCloud {
				m.want = append(cloudWide(r.Verb), 404)
			}
		} else if r.Kind.Scope == kind.InCloud {
			m.want = append(cloudWide(r.Verb), 404)
		}
		if r.Kind.Public && !writes(t, r.Kind, r.Verb) { // whoever is logged in may read it
			m.want = append(m.want, 200)
		}
		v.cover(r.Method, path, body, r.Kind, r.Verb, m)
		if strings.Contains(r.Path, "{") && r.Kind.Scope != kind.InCloud { // without a word about the domain
			v.try(attempt{mallory, r.Method, path, body, nil, []int{404}})
		}
	}
	t.Logf("%d routes", len(routes))
}

// coverMetrics: a project's measurements are for those who may read them there, the whole cloud's for operators.
func (v *town) coverMetrics(t *testing.T) {
	v.t = t
	routes := prometheus.New(prometheus.Options{Metrics: v.Metrics, Alarms: v.Alarms, Door: v.Door}).Routes()
	if len(routes) < 20 {
		t.Fatalf("only %d routes", len(routes))
	}
	for _, r := range routes {
		path := "/metrics" + strings.NewReplacer("{project}", v.project, "{name}", "component").Replace(strings.TrimSuffix(r.Path, "/"))
		v.try(attempt{nobody, r.Method, path, "", nil, []int{401}})
		v.try(attempt{fresh, r.Method, path, "", nil, []int{403}})
		if r.Kind.Scope == kind.InCloud {
			v.try(attempt{mallory, r.Method, path, "", nil, []int{403}})
			v.try(attempt{reader, r.Method, path, "", nil, []int{403}})
			continue
		}
		v.try(attempt{mallory, r.Method, path, "", nil, []int{404}})
		v.try(attempt{reader, r.Method, path, "", nil, []int{200, 400}}) // 400: without a query
		if own := v.ask(r.Method, strings.Replace(path, v.project, "lair", 1)+"?query=awan_component_replicas&match[]=awan_component_replicas&start=1&end=2&step=1",
			"", "X-Auth-Token", v.token[mallory]); strings.Contains(own.body, v.project) || strings.Contains(own.body, `"web"`) {
			t.Errorf("%s %s shows the victim's to mallory: %s", r.Method, path, own.body)
		}
	}
	t.Logf("%d routes", len(routes))
}

// coverTokens: nobody looks at, ends or uses another's token or password.
func (v *town) coverTokens(t *testing.T) {
	v.t = t
	victim := v.logIn(v.admin["AWAN_DOMAIN"], "victim", "correct-horse", "")
	for _, method := range []string{"GET", "DELETE"} {
		subject := []string{"X-Subject-Token", victim}
		v.try(attempt{nobody, method, "/v3/auth/tokens", "", subject, []int{401}})
		v.try(attempt{mallory, method, "/v3/auth/tokens", "", subject, []int{404}})
		v.try(attempt{fresh, method, "/v3/auth/tokens", "", subject, []int{403}})
	}
	v.try(attempt{reader, "DELETE", "/v3/auth/tokens", "", []string{"X-Subject-Token", victim}, []int{403}})
	for _, person := range []string{mallory, fresh, reader} {
		v.try(attempt{person, "POST", "/v3/users/" + v.values["user_id"] + "/password", `{"user":{"original_password":"correct-horse","password":"staple-battery"}}`,
			nil, []int{403, 404}})
	}
	if got := v.ask("GET", "/awan/v1/whoami", "", "X-Auth-Token", victim); got.status != 200 {
		t.Errorf("the victim's token does not work any more: %d", got.status)
	}
}

// coverLists: what a list shows to outsiders holds nothing of the victim.
func (v *town) coverLists(t *testing.T) {
	v.t = t
	for _, path := range []string{"/v3/domains", "/v3/projects", "/v3/users", "/v3/groups", "/v3/role_assignments", "/v3/auth/projects", "/v3/auth/domains",
		"/v3.0/OS-CREDENTIAL/credentials", "/v3.0/OS-ROLE/roles", "/v5/users", "/v5/groups", "/v5/groups-summary", "/v5/policies", "/v5/account-summary", "/v3.0/OS-PERMISSION/role-assignments", "/awan/v1/identity/domains", "/awan/v1/domains/-/identity/users"} {
		got := v.ask("GET", path, "", "X-Auth-Token", v.token[mallory])
		if got.status != 200 {
			t.Errorf("GET %s as mallory: %d", path, got.status)
		}
		for name, value := range v.values {
			if len(value) >= 16 && strings.Contains(got.body, value) {
				t.Errorf("GET %s shows the victim's %s to mallory", path, name)
			}
		}
	}
	got := v.ask("GET", "/v3/auth/projects", "", "X-Auth-Token", v.token[fresh])
	if got.status != 200 || strings.Contains(got.body, v.project) {
		t.Errorf("a new user has projects: %s", got.body)
	}
}
