package console

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/ledger"
	"github.com/awancloud/awan/internal/service/compute"
	"github.com/awancloud/awan/internal/service/image"
)

const (
	flavorKind   = "compute/flavor"
	keypairKind  = "keypair/keypair"
	typeKind     = "volume/volume-type"
	secGroupKind = "network/security-group"
)

// wizardPage is the form that makes a server, filled in so that it can be sent as it is.
type wizardPage struct {
	CSRF, Once, List, All string
	Sent                  url.Values
	Images                []imageChoice
	Flavors               []flavorChoice
	Subnets, Groups       []option
	Keys                  []string
	Types                 []string
	Err                   *fail.Error
	Left                  *fail.Error // an error that is beside no field
	NewKey                string
	Besides               string // what disks and a public address cost an hour; "": there are no rates
	MoreDisks             []int
}

type imageChoice struct {
	Value, Name, Text, Note string
	least                   int64 // memory, MiB
}

type flavorChoice struct {
	Name, Text, Refused string
	CPUs                int
	Memory              string
	Takes               string // of the quota
	Price               string // for an hour while it runs; "": there are no rates
	memory              int64
	slow                bool // it has less than whole processors
}

// At gives the error of a field, with what lies below it.
func (p wizardPage) At(field string) *fail.Error {
	if p.Err != nil && below(p.Err.Field, field) {
		return p.Err
	}
	return nil
}

func below(field, of string) bool {
	rest, ok := strings.CutPrefix(field, of)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// wizardFields are those that show their error beside them.
var wizardFields = []string{"name", "spec.image", "spec.flavor", "spec.networks", "spec.groups", "spec.key_pair", "spec.root.size", "spec.root.type", "spec.volumes[0]", "spec.volumes[1]", "spec.public_ip", "spec.user_data"}

// Is tells whether a choice is made.
func (p wizardPage) Is(field, value string) bool { return slices.Contains(p.Sent[field], value) }

// Of is what was typed.
func (p wizardPage) Of(field string) string { return p.Sent.Get(field) }

func (q *request) serverNew() error {
	if q.URL.Query().Get("form") == "all" {
		q.SetPathValue("service", "compute")
		q.SetPathValue("plural", "servers")
		return q.kindNew()
	}
	k, err := q.need(serverKind, "servers")
	if err != nil {
		return err
	}
	if q.project.ID == "" {
		return q.see(listPath(k))
	}
	return q.wizard(k, url.Values{"root_keep": {""}, "bandwidth": {"5"}}, string(id.New()), nil, 200)
}

// wizard shows the form; what was not chosen yet is chosen.
func (q *request) wizard(k *kind.Def, sent url.Values, once string, e *fail.Error, status int) error {
	p := wizardPage{CSRF: q.csrf(), Once: once, List: listPath(k), All: "/new/compute/servers?form=all", Sent: sent, Err: e, MoreDisks: []int{0, 1}}
	if e != nil && !slices.ContainsFunc(wizardFields, func(f string) bool { return below(e.Field, f) }) {
		p.Left = e
	}
	p.Images, p.Flavors, p.Besides = q.imageChoices(), q.flavorChoices(), q.besides()
	p.Subnets = q.options(subnetKind, func(r kind.AnyRow) string { return scalar(asMap(docOf(r)["spec"])["cidr"]) })
	p.Groups = q.options(secGroupKind, func(r kind.AnyRow) string { return scalar(asMap(docOf(r)["spec"])["description"]) })
	for _, o := range q.options(keypairKind, func(kind.AnyRow) string { return "" }) {
		p.Keys = append(p.Keys, o.Text)
	}
	for _, o := range q.options(typeKind, func(kind.AnyRow) string { return "" }) {
		p.Types = append(p.Types, o.Text)
	}
	if q.mayAsk(keypairKind, call.Create) {
		p.NewKey = "/new/keypair/keypairs"
	}
	first := func(field, value string) {
		if _, chosen := sent[field]; !chosen && value != "" {
			sent.Set(field, value)
		}
	}
	if len(p.Images) > 0 {
		first("image", p.Images[0].Value)
	}
	first("flavor", p.usual())
	if len(p.Keys) > 0 {
		first("key_pair", p.Keys[0])
	}
	return q.renderStatus(status, "server_new", "New server", p)
}

// comfortable is the memory that a server of no special kind gets, in MiB.
const comfortable = 1024

// usual is the smallest size that is comfortable for the chosen image, else the smallest that it boots on.
func (p wizardPage) usual() string {
	var least int64
	for _, i := range p.Images {
		if p.Is("image", i.Value) {
			least = i.least
		}
	}
	for _, want := range []flavorChoice{{memory: max(least, comfortable)}, {memory: least, slow: true}} {
		for _, f := range p.Flavors {
			if f.Refused == "" && f.memory >= want.memory && (want.slow || !f.slow) {
				return f.Name
			}
		}
	}
	return ""
}

// imageChoices are the images that a server can be made from: the project's own first, then the cloud's.
func (q *request) imageChoices() []imageChoice {
	var out, names []imageChoice
	for _, full := range []string{"image/image", "image/public-image"} {
		for _, r := range q.firstRows(full) {
			m, ok := r.(*image.Row)
			if !ok || m.Spec.Hidden || m.Status.Phase != image.Usable && m.Status.Phase != image.OnDemand {
				continue
			}
			c := imageChoice{Value: string(m.ID), Name: nameOr(&m.Meta), Text: cmp.Or(m.Spec.OSVersion, m.Spec.Description), least: m.Spec.MinMemory}
			if m.Status.Phase == image.OnDemand {
				c.Note = "made when it is first used, which takes minutes"
			}
			if m.Spec.Alias != "" {
				c.Text = m.Spec.Description
				names = append(names, c)
				continue
			}
			out = append(out, c)
		}
	}
	return append(out, names...)
}

// flavorChoices are the sizes, smallest first, with what each takes of the quota.
func (q *request) flavorChoices() []flavorChoice {
	left := map[ledger.Dim]ledger.Quota{}
	if all, err := q.Door.Quotas(q.Context(), q.newCall(nil, "", "")); err == nil { // it may be none of the caller's business
		for _, l := range all {
			left[l.Dim] = l
		}
	}
	var rows []*kind.Row[compute.FlavorSpec, compute.FlavorStatus]
	for _, r := range q.firstRows(flavorKind) {
		f, ok := r.(*kind.Row[compute.FlavorSpec, compute.FlavorStatus])
		if ok && !f.Spec.Disabled && !f.Spec.Hidden && (!f.Spec.Private || slices.Contains(f.Spec.Projects, string(q.project.ID))) {
			rows = append(rows, f)
		}
	}
	slices.SortFunc(rows, func(a, b *kind.Row[compute.FlavorSpec, compute.FlavorStatus]) int {
		return cmp.Or(cmp.Compare(a.Spec.Memory, b.Spec.Memory), cmp.Compare(a.Spec.CPUs, b.Spec.CPUs), cmp.Compare(a.Name, b.Name))
	})
	var out []flavorChoice
	for _, f := range rows {
		c := flavorChoice{Name: f.Name, Text: f.Spec.Description, CPUs: f.Spec.CPUs, Memory: sizeText(f.Spec.Memory << 20), memory: f.Spec.Memory, slow: f.Spec.MilliCPU > 0}
		cpus, known := q.Door.Rates.Of("compute.cpus", float64(f.Spec.CPUs))
		if memory, also := q.Door.Rates.Of("compute.memory", float64(f.Spec.Memory)); known || also {
			c.Price = fmt.Sprintf("%s %s per hour", price(cpus+memory), q.Door.Rates.Currency)
		}
		var takes []string
		for _, n := range []struct {
			dim  ledger.Dim
			want int64
			word string
		}{{"compute.servers", 1, "servers"}, {"compute.cpus", int64(f.Spec.CPUs), "vCPU"}, {"compute.memory", f.Spec.Memory, "memory"}} {
			l, ok := left[n.dim]
			if !ok || l.Limit < 0 {
				continue
			}
			amount := func(v int64) string {
				if n.dim == "compute.memory" {
					return sizeText(v << 20)
				}
				return number(v)
			}
			if free := l.Limit - l.Used; n.want > free {
				c.Refused = fmt.Sprintf("the quota has %s of %s left (%s)", amount(max(0, free)), amount(l.Limit), n.word)
			}
			if n.dim != "compute.servers" {
				takes = append(takes, fmt.Sprintf("%s: %s of %s then used", n.word, amount(l.Used+n.want), amount(l.Limit)))
			}
		}
		c.Takes = strings.Join(takes, ", ")
		out = append(out, c)
	}
	return out
}

// price prints what something costs an hour: small amounts matter.
func price(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

// besides says what a server's disks and public address cost beside it.
func (q *request) besides() string {
	var parts []string
	for _, t := range q.options(typeKind, func(kind.AnyRow) string { return "" }) {
		if v, ok := q.Door.Rates.Of(ledger.Dim("volume."+strings.ToLower(t.Text)), 1); ok {
			parts = append(parts, fmt.Sprintf("a GiB of %s %s", t.Text, price(v)))
		}
	}
	if v, ok := q.Door.Rates.Of("network.public-ips", 1); ok {
		parts = append(parts, "a public address "+price(v))
	}
	if v, ok := q.Door.Rates.Of("network.bandwidth", 1); ok {
		parts = append(parts, "a Mbit/s of its bandwidth "+price(v))
	}
	if len(parts) == 0 {
		return ""
	}
	return "Beside that, per hour: " + strings.Join(parts, ", ") + " " + q.Door.Rates.Currency + "."
}

// serverMake reads the form into what any client would send.
func (q *request) serverMake() error {
	k, err := q.need(serverKind, "servers")
	if err != nil {
		return err
	}
	f := q.PostForm
	for _, field := range []string{"image", "flavor", "key_pair"} {
		if _, sent := f[field]; !sent {
			f[field] = []string{""} // nothing was chosen; so nothing is chosen for them
		}
	}
	again := func(e *fail.Error, status int) error { return q.wizard(k, f, f.Get("once"), e, status) }
	spec, err := readWizard(f)
	if err != nil {
		return again(fail.From(err), 400)
	}
	name := strings.TrimSpace(f.Get("name"))
	if name == "" {
		name = q.freeName(k, "server")
	}
	c := q.newCall(k, call.Create, "")
	c.Name, c.Idempotency = &name, f.Get("once")
	if c.Spec, err = json.Marshal(spec); err != nil {
		return err
	}
	r, err := q.do(c)
	if err != nil {
		return formError(err, again)
	}
	q.flash("Server " + name + " is being made.")
	return q.see(rowPath(k, r.Row.M()))
}

// readWizard makes a spec of what was sent.
func readWizard(f url.Values) (map[string]any, error) {
	var bad error
	whole := func(field, at string) int {
		text := strings.TrimSpace(f.Get(field))
		if text == "" {
			return 0
		}
		n, err := strconv.Atoi(text)
		if (err != nil || n < 0) && bad == nil {
			bad = fail.Field(at, "%q is not a whole number", text)
		}
		return n
	}
	spec := map[string]any{"flavor": f.Get("flavor"), "image": f.Get("image"), "key_pair": f.Get("key_pair"), "user_data": strings.ReplaceAll(f.Get("user_data"), "\r\n", "\n")}
	root := map[string]any{"size": whole("root_size", "spec.root.size"), "keep": f.Get("root_keep") != ""}
	if t := f.Get("root_type"); t != "" {
		root["type"] = t
	}
	spec["root"] = root
	if s := f.Get("subnet"); s != "" {
		spec["networks"] = []any{map[string]any{"subnet": s}}
	}
	if g := f["group"]; len(g) > 0 {
		spec["groups"] = g
	}
	if f.Get("public") != "" {
		spec["public_ip"] = map[string]any{"bandwidth": whole("bandwidth", "spec.public_ip.bandwidth")}
		spec["release_ip"] = true
	}
	var disks []any
	for i := range 2 {
		n := strconv.Itoa(i)
		if size := whole("disk_size_"+n, fmt.Sprintf("spec.volumes[%d].size", len(disks))); size > 0 {
			d := map[string]any{"size": size, "delete": f.Get("disk_delete_"+n) != ""}
			if t := f.Get("disk_type_" + n); t != "" {
				d["type"] = t
			}
			disks = append(disks, d)
		}
	}
	if disks != nil {
		spec["volumes"] = disks
	}
	return spec, bad
}

// freeName is server-1 or the next that no row shown to the caller has.
func (q *request) freeName(k *kind.Def, base string) string {
	taken := map[string]bool{}
	for _, r := range q.firstRows(k.FullName()) {
		taken[r.M().Name] = true
	}
	for n := 1; ; n++ {
		if name := base + "-" + strconv.Itoa(n); !taken[name] {
			return name
		}
	}
}
