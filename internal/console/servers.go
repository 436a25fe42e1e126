package console

import (
	"bytes"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/compute"
	"github.com/awancloud/awan/internal/service/volume"
)

const (
	serverKind = "compute/server"
	volumeKind = "volume/volume"
	subnetKind = "network/subnet"
)

// machineRoutes are the pages of servers, networks and disks beyond those that their kinds give.
var machineRoutes = map[string]handler{
	"GET /k/compute/servers/{id}": (*request).serverShow, "GET /k/compute/servers/{id}/head": (*request).serverHead, "GET /k/compute/servers/{id}/use": (*request).serverUse,
	"GET /k/compute/servers/{id}/metrics/live": (*request).serverPicturesLive,
	"GET /k/compute/servers/{id}/log":          (*request).serverLog, "GET /k/compute/servers/{id}/serial": (*request).serverSerial,
	"GET /k/compute/servers/{id}/vnc": (*request).serverVNC,
	"GET /new/compute/servers":        (*request).serverNew, "POST /new/compute/servers": (*request).serverMake,
	"GET /k/network/vpcs/{id}/picture":   (*request).vpcPicture,
	"POST /k/volume/volumes/{id}/attach": (*request).volumeAttach, "POST /k/volume/volumes/{id}/detach": (*request).volumeDetach,
	"PUT /k/image/images/{id}/upload": (*request).imageUpload, "PUT /k/image/public-images/{id}/upload": (*request).imageUpload,
	"GET /projects/{project}/compute/servers/{id}": (*request).serverFrom,
}

type server = kind.Row[compute.ServerSpec, compute.ServerStatus]

// serverPage is a server with what people do to it.
type serverPage struct {
	rowPage
	Row    *server
	Can    map[string]bool
	Power  string // in one word for people
	On     bool
	Runs   string // on what, in plain words
	Slow   bool
	SSH    string
	Cards  []cardLine
	Disks  []diskLine
	Free   []option // volumes that it could get
	Nets   []option // subnets that a card could be in
	Use    serverUse
	Over   serverMetrics // the same over time
	Log    string
	Screen string // the console that is shown: serial or vnc
	More   bool   // the caller may make volumes
	Busy   string // id of the job that the page shows
}

type option struct{ Value, Text string }

type cardLine struct {
	compute.NIC
	Net, NetHref, Picture string
	First                 bool
}

type diskLine struct {
	compute.Disk
	Name, Href string
}

// serverUse is what a server uses now.
type serverUse struct {
	Path                       string
	Known, On                  bool
	CPU, Memory, Read, Written string
	Reads, Writes              int64
	Agent                      bool
	Percent                    int // of its memory
	Reason                     string
}

func (q *request) server() (*kind.Def, *server, error) {
	k, err := q.need(serverKind, "servers")
	if err != nil {
		return nil, nil, err
	}
	row, err := q.get(k, q.PathValue("id"))
	if err != nil {
		return nil, nil, err
	}
	return k, row.(*server), nil
}

func (q *request) serverShow() error {
	k, row, err := q.server()
	if err != nil {
		return err
	}
	p, err := q.serverPage(k, row)
	if err != nil {
		return err
	}
	switch s := q.URL.Query().Get("screen"); s {
	case "serial", "vnc":
		p.Screen = s
		if s == "serial" {
			p.Log = q.consoleLog(row, 100)
		}
		return q.render("server_console", p.Name+" console", p)
	}
	if p.rowPage, err = q.rowPage(k, row); err != nil {
		return err
	}
	p.plainActions()
	p.Cards, p.Disks = q.cards(row), q.disks(row)
	if p.Can["attach-volume"] {
		p.Free, p.More = q.freeVolumes(), q.mayAsk(volumeKind, call.Create)
	}
	if p.Can["attach-interface"] {
		p.Nets = q.options(subnetKind, func(r kind.AnyRow) string { return scalar(asMap(docOf(r)["spec"])["cidr"]) })
	}
	p.Use, p.Over = q.useOf(row), q.serverMetrics(row)
	p.Log = q.consoleLog(row, 100)
	return q.render("server", p.Name, p)
}

// serverPage is what the page's head needs.
func (q *request) serverPage(k *kind.Def, row *server) (*serverPage, error) {
	p := &serverPage{Row: row, Can: map[string]bool{}}
	m := row.M()
	p.Kind, p.Meta, p.Name, p.List, p.Path, p.CSRF = &k.Desc, m, q.rowName(k, row), listPath(k), rowPath(k, m), q.csrf()
	var asks []action
	for _, v := range call.Verbs(k) {
		asks = append(asks, action{k.Service, k.Name, v.Verb})
	}
	for a, ok := range q.may(asks) {
		p.Can[a.verb] = ok
	}
	p.CanEdit = p.Can[call.Update]
	p.On, p.Power = row.Status.Power == compute.On || row.Status.Power == compute.Paused, string(row.Status.Power)
	p.Runs, p.Slow = runsOn(row)
	if p.Job = q.jobOf(m); p.Job != nil && p.Job.Live {
		p.Busy = string(p.Job.ID)
	}
	if at := row.Status.PublicIP; at != "" && row.Spec.KeyPair != "" && row.Status.User != "" {
		p.SSH = "ssh " + row.Status.User + "@" + at
	}
	return p, nil
}

// runsOn says in plain words what a server's processors are.
func runsOn(row *server) (string, bool) {
	switch row.Status.Accelerator {
	case "kvm":
		return "It runs on this machine's own processors (kvm).", false
	case "tcg":
		return "Its processors are emulated (tcg), which is slow: expect minutes where others need seconds. This machine does not let servers run on its own processors (kvm).", true
	case "sim":
		return "It is simulated: no machine is behind it.", false
	case "":
		return "", false
	}
	return "It runs on " + row.Status.Accelerator + ".", false
}

// plainActions leaves to the list of actions what the page has no control for.
func (p *serverPage) plainActions() {
	above := []string{"start", "stop", "reboot", "attach-volume", "detach-volume", "attach-interface", "detach-interface"}
	p.Actions = slices.DeleteFunc(p.Actions, func(a actionView) bool {
		resize := strings.HasSuffix(a.Verb, "-resize") && (p.Row.Status.Resize == nil || !p.Row.Status.Resize.Confirm)
		return slices.Contains(above, a.Verb) || resize || a.Verb == "lock" && p.Row.Spec.Locked || a.Verb == "unlock" && !p.Row.Spec.Locked
	})
	p.Streams = slices.DeleteFunc(p.Streams, func(a actionView) bool {
		return slices.Contains([]string{"console", "console-log", "vnc", "measure"}, a.Verb)
	})
	p.Tables = slices.DeleteFunc(p.Tables, func(s shown) bool { return slices.Contains([]string{"Cards", "Disks", "Networks", "Volumes"}, s.Label) })
	p.Spec, p.Status = said(p.Spec), said(p.Status)
}

// said leaves out what was left open: a server has many settings that few use.
func said(all []shown) []shown {
	return slices.DeleteFunc(all, func(s shown) bool {
		return s.Text == "" && !s.Secret && s.At.IsZero() && s.Table == nil && len(s.Lines)+len(s.Pairs) == 0 && len(said(slices.Clone(s.Kids))) == 0
	})
}

// serverHead is the state, the buttons and the running operation, asked for again and again.
func (q *request) serverHead() error {
	k, row, err := q.server()
	if err != nil {
		return err
	}
	p, err := q.serverPage(k, row)
	if err != nil {
		return err
	}
	if shown := q.URL.Query().Get("busy"); shown != "" && shown != p.Busy {
		q.w.Header().Set("HX-Refresh", "true") // what it did is everywhere on the page
	}
	return q.fragment("server", "serverhead", p)
}

func (q *request) serverUse() error {
	_, row, err := q.server()
	if err != nil {
		return err
	}
	return q.fragment("server", "serveruse", q.useOf(row))
}

func (q *request) useOf(row *server) serverUse {
	u := serverUse{Path: listPath(q.Door.KindOf(serverKind)) + "/" + string(row.ID)}
	if !q.mayAsk(serverKind, "measure") {
		u.Reason = "You may not see what it uses."
		return u
	}
	var now compute.Usage
	if err := q.ask(serverKind, "measure", string(row.ID), nil, &now); err != nil {
		u.Reason = "What it uses is not known now."
		return u
	}
	u.Known, u.On, u.Agent = true, now.Power == compute.On || now.Power == compute.Paused, now.Agent
	u.Memory, u.Read, u.Written, u.Reads, u.Writes = sizeText(now.Memory), sizeText(now.ReadBytes), sizeText(now.WriteBytes), now.ReadOps, now.WriteOps
	if row.Spec.Memory > 0 {
		u.Percent = int(min(100, now.Memory*100/(row.Spec.Memory<<20)))
	}
	at := q.Now()
	before, ok := q.readings.swap(row.ID, reading{at, now.CPUSeconds})
	if d := at.Sub(before.at).Seconds(); ok && d > 0 && now.CPUSeconds >= before.cpu {
		u.CPU = fmt.Sprintf("%.0f %%", (now.CPUSeconds-before.cpu)/d*100)
	}
	return u
}

// consoleLog is the end of what a server wrote on its serial console, without what only a terminal understands.
func (q *request) consoleLog(row *server, lines int) string {
	if !q.mayAsk(serverKind, "console-log") {
		return ""
	}
	var out bytes.Buffer
	c := q.newCall(q.Door.KindOf(serverKind), "console-log", string(row.ID))
	c.In = mustJSON(compute.ConsoleLogIn{Lines: lines})
	c.Stream = kind.Stream{Body: strings.NewReader(""), Emit: func(any) error { return nil }, Raw: func(string) (io.Writer, error) { return &out, nil }}
	if _, err := q.do(c); err != nil {
		return ""
	}
	return plainText(out.String())
}

// serverLog is the whole console log as text.
func (q *request) serverLog() error {
	_, row, err := q.server()
	if err != nil {
		return err
	}
	q.began = true
	q.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err = io.WriteString(q.w, q.consoleLog(row, 0))
	return err
}

// plainText takes the control sequences of terminals out of a text.
func plainText(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == 0x1b && i+1 < len(s) && s[i+1] == '[':
			for i += 2; i < len(s) && (s[i] < 0x40 || s[i] > 0x7e); i++ {
			}
		case c == 0x1b && i+1 < len(s) && s[i+1] == ']':
			for i += 2; i < len(s) && s[i] != 7 && s[i] != 0x1b; i++ {
			}
		case c == 0x1b:
			i++
		case c < 0x20 && c != '\n' && c != '\t' || c == 0x7f:
		default:
			b.WriteByte(c)
		}
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD")
}

func (q *request) cards(row *server) []cardLine {
	var out []cardLine
	for i, n := range row.Status.Cards {
		l := cardLine{NIC: n, First: i == 0}
		l.Net, l.NetHref = q.refer(subnetKind, string(n.Subnet))
		if n.VPC != "" {
			l.Picture = "/k/network/vpcs/" + string(n.VPC) + "/picture?from=" + url.QueryEscape(string(n.Port))
		}
		out = append(out, l)
	}
	return out
}

func (q *request) disks(row *server) []diskLine {
	var out []diskLine
	for _, d := range row.Status.Disks {
		l := diskLine{Disk: d}
		l.Name, l.Href = q.refer(volumeKind, string(d.Volume))
		out = append(out, l)
	}
	return out
}

// freeVolumes are those of the project that no server has.
func (q *request) freeVolumes() []option {
	var out []option
	for _, r := range q.firstRows(volumeKind) {
		if v, ok := r.(*volume.Row); ok && len(v.Status.Attachments) == 0 && v.State == kind.Active && v.Status.Transfer == "" {
			out = append(out, option{string(v.ID), fmt.Sprintf("%s (%d GiB)", nameOr(v.M()), v.Spec.Size)})
		}
	}
	return out
}

// serverFrom is where clients of other clouds send people who want to see a server's screen.
func (q *request) serverFrom() error {
	if want := id.ID(q.PathValue("project")); want != q.project.ID && slices.ContainsFunc(q.projects, func(p project) bool { return p.ID == want }) {
		q.setCookie(projectCookie, string(want), 365*24*time.Hour)
	}
	to := "/k/compute/servers/" + pathEscape(q.PathValue("id"))
	if s := q.URL.Query().Get("screen"); s != "" {
		to += "?" + url.Values{"screen": {s}}.Encode()
	}
	return q.see(to)
}
