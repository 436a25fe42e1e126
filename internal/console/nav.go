package console

import (
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// navGroup is a part of the menu that folds; one without a title does not.
type navGroup struct {
	Key, Title string
	Open       bool
	Items      []navItem
}

type navItem struct {
	Title, Path, Icon string
	Active            bool
	What              string // more words to find it by
}

// section is a part of the menu by what people come to do. It has the kinds that it names, in that order, and behind them
// what else its services have.
type section struct {
	key, title string
	kinds      []string
	services   []string
	pages      []navPage
}

// navPage is an entry that is no kind's list.
type navPage struct {
	may  action // the zero value: everybody
	item navItem
}

// sections are in the order in which people meet them: to run apps, to run machines, to see to rights, to check.
var sections = []section{
	{key: "apps", title: "Run apps", kinds: []string{"app/application", "app/environment", "app/release", "config/config", "config/secret", "config/config-group", "app/configuration",
		"app/task", "app/schedule", "app/scaling-policy", "app/lane-group", "app/lane"}, services: []string{"config"}},
	{key: "delivery", title: "Sources and images", kinds: []string{"registry/repository", "registry/organization", "registry/image-trigger", "registry/image-sync", "registry/remote-registry", "registry/retention",
		"registry/scan", "registry/scan-policy", "registry/vulnerability-list", "app/credential", "app/deploy-token", "app/stack", "app/custom-stack"}, services: []string{"registry", "app"}},
	{key: "access", title: "Names and access", kinds: []string{"access/custom-domain", "access/access-rule", "access/tcp-port", "dns/zone", "dns/record-set"}, services: []string{"access", "dns"}},
	{key: "monitoring", title: "Monitoring", kinds: []string{"metric/alarm", "metric/channel"}, services: []string{"metric", "alarm", "log"}},
	{key: "machines", title: "Servers and disks", kinds: []string{"compute/server", "volume/volume", "volume/snapshot", "image/image", "image/public-image", "keypair/keypair", "compute/flavor", "compute/server-group"},
		services: []string{"compute", "volume", "image", "keypair"}},
	{key: "network", title: "Networks", kinds: []string{"network/vpc", "network/subnet", "network/security-group", "network/public-ip", "network/port"}, services: []string{"network"}},
	{key: "balancing", title: "Load balancing", kinds: []string{"balancer/load-balancer", "balancer/listener", "balancer/pool", "balancer/member", "balancer/health-monitor"}, services: []string{"balancer"}},
	{key: "rights", title: "People and rights", kinds: []string{"identity/user", "identity/group", "identity/policy", "identity/grant", "identity/project", "identity/enterprise-project", "identity/agency",
		"identity/access-key", "federation/identity-provider", "federation/mapping"}, services: []string{"identity", "federation"},
		pages: []navPage{{action{"identity", "policy", "simulate"}, navItem{Title: "Policy simulator", Path: "/simulate", Icon: "policy", What: "why allowed denied"}},
			{action{"identity", "policy", "unused"}, navItem{Title: "Unused rights", Path: "/unused", Icon: "policy"}}}},
	{key: "audit", title: "Audit and use", kinds: []string{"audit/as-built"}, services: []string{"audit"},
		pages: []navPage{{action{"audit", "entry", call.List}, navItem{Title: "Audit log", Path: "/audit", Icon: "audit", What: "who did what why"}},
			{action{"quota", "quota", call.List}, navItem{Title: "Quota", Path: "/quota", Icon: "quota", What: "limits"}},
			{action{"billing", "usage", call.List}, navItem{Title: "Usage", Path: "/usage", Icon: "usage", What: "bills cost"}}}},
	{key: "cloud", title: "The cloud", services: []string{"catalog"}, pages: []navPage{{action{}, navItem{Title: "API explorer", Path: "/explorer", Icon: "terminal", What: "curl openapi"}}}},
}

// nav is the menu: what the caller may list, folded but for what they work in.
func (q *request) nav() []navGroup {
	var asks []action
	for _, k := range q.Door.Kinds {
		asks = append(asks, action{k.Service, k.Name, call.List})
	}
	for _, s := range sections {
		for _, p := range s.pages {
			if p.may != (action{}) {
				asks = append(asks, p.may)
			}
		}
	}
	deploys := action{"app", "component", call.Create}
	may := q.may(append(asks, deploys))
	lists := func(k *kind.Def) bool { return k != nil && may[action{k.Service, k.Name, call.List}] }

	first := navGroup{Items: []navItem{{Title: "Dashboard", Path: "/", Icon: "home"}}}
	if lists(q.Door.KindOf(componentKind)) {
		first.Items = append(first.Items, navItem{Title: "Apps", Path: "/apps", Icon: "app", What: "components deploy"})
	}
	hidden := map[string]bool{componentKind: true} // their own pages show more
	if q.Buckets != nil && lists(q.Door.KindOf(bucketKind)) {
		first.Items = append(first.Items, navItem{Title: "Buckets", Path: "/buckets", Icon: "bucket", What: "objects files s3 obs"})
		hidden[bucketKind] = true
	}
	out := []navGroup{first}
	for _, s := range sections {
		g := navGroup{Key: s.key, Title: s.title}
		for _, k := range s.of(q.Door.Kinds) {
			if lists(k) && !hidden[k.FullName()] {
				g.Items = append(g.Items, navItem{Title: label(k.Plural), Path: listPath(k), Icon: iconOf(k), What: k.Doc})
			}
		}
		for _, p := range s.pages {
			if p.may == (action{}) || may[p.may] {
				g.Items = append(g.Items, p.item)
			}
		}
		if s.key == "cloud" && slices.ContainsFunc(q.Door.Kinds, func(k *kind.Def) bool { return k.Retention > 0 && lists(k) }) {
			g.Items = append(g.Items, navItem{Title: "Trash", Path: "/trash", Icon: "trash", What: "deleted restore"})
		}
		if len(g.Items) > 0 {
			out = append(out, g)
		}
	}
	q.unfold(out, may[deploys])
	return out
}

// of gives the section's kinds: those it names, then the others of its services that no section names.
func (s section) of(all []*kind.Def) (out []*kind.Def) {
	for _, name := range s.kinds {
		if i := slices.IndexFunc(all, func(k *kind.Def) bool { return k.FullName() == name }); i >= 0 {
			out = append(out, all[i])
		}
	}
	for _, k := range all {
		if s.home(k) && !slices.Contains(s.kinds, k.FullName()) {
			out = append(out, k)
		}
	}
	return out
}

// home tells whether a kind that may be named nowhere belongs to the section. The last one takes what no service claims.
func (s section) home(k *kind.Def) bool {
	claimed := func(o section) bool { return slices.Contains(o.services, k.Service) }
	for _, o := range sections {
		if slices.Contains(o.kinds, k.FullName()) {
			return false
		}
	}
	return claimed(s) || s.key == sections[len(sections)-1].key && !slices.ContainsFunc(sections, claimed)
}

// unfold opens the groups that the browser remembers, and the one of this page. A browser that remembers nothing is a
// newcomer's: who deploys sees what belongs to apps, who only looks sees what can be checked.
func (q *request) unfold(groups []navGroup, deploys bool) {
	at := strings.Replace(q.URL.Path, "/new/", "/k/", 1)
	open, known := strings.Split(q.cookie(navCookie), "."), q.cookie(navCookie) != ""
	if !known && deploys {
		open = []string{"apps"}
	} else if !known {
		open = []string{"audit", "rights"}
	}
	for i := range groups {
		g := &groups[i]
		g.Open = slices.Contains(open, g.Key)
		for j := range g.Items {
			it := &g.Items[j]
			it.Active = it.Path == at || it.Path != "/" && strings.HasPrefix(at, it.Path+"/")
			g.Open = g.Open || it.Active
		}
	}
}

// navCookie says which groups are open. Scripts write it, and it says nothing else.
const navCookie = "awan-menu"
