package scan

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"sort"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// advisory is one vulnerability of one package, as it is stored.
type advisory struct {
	ID       string   `json:"id"`
	Aliases  []string `json:"aliases,omitempty"`
	Summary  string   `json:"summary,omitempty"`
	Severity Severity `json:"severity"`
	Ranges   []rng    `json:"ranges,omitempty"`
	Versions []string `json:"versions,omitempty"`
}

// rng is a range as OSV writes one: events in the order of versions.
type rng struct {
	Events []evt `json:"events"`
}

type evt struct {
	Introduced   string `json:"introduced,omitempty"`
	Fixed        string `json:"fixed,omitempty"`
	LastAffected string `json:"last_affected,omitempty"`
}

// entry is an advisory with the package it is about.
type entry struct {
	eco, pkg string
	advisory
}

// osv is a vulnerability in OSV's format, https://ossf.github.io/osv-schema/.
type osv struct {
	ID        string   `json:"id"`
	Withdrawn string   `json:"withdrawn"`
	Aliases   []string `json:"aliases"`
	Upstream  []string `json:"upstream"`
	Summary   string   `json:"summary"`
	Details   string   `json:"details"`
	Severity  []cvss   `json:"severity"`
	Affected  []struct {
		Package struct {
			Ecosystem string `json:"ecosystem"`
			Name      string `json:"name"`
		} `json:"package"`
		Severity []cvss `json:"severity"`
		Ranges   []struct {
			Type   string `json:"type"`
			Events []evt  `json:"events"`
		} `json:"ranges"`
		Versions  []string `json:"versions"`
		Ecosystem words    `json:"ecosystem_specific"`
		Database  words    `json:"database_specific"`
	} `json:"affected"`
	Database words `json:"database_specific"`
}

type cvss struct {
	Type  string `json:"type"`
	Score string `json:"score"`
}

// words are where lists put a severity in words.
type words struct {
	Severity any `json:"severity"`
	Urgency  any `json:"urgency"`
}

func (w words) severity() Severity {
	for _, v := range []any{w.Severity, w.Urgency} {
		if s, ok := v.(string); ok {
			if sev := ofWord(s); sev != Unknown {
				return sev
			}
		}
	}
	return Unknown
}

func gravest(vectors []cvss) Severity {
	best := Unknown
	for _, v := range vectors {
		sev := Unknown
		if s, ok := score(v.Score); ok {
			sev = ofScore(s)
		} else if v.Type == "Ubuntu" {
			sev = ofWord(v.Score)
		}
		if rank[sev] > rank[best] {
			best = sev
		}
	}
	return best
}

// entries turns a vulnerability into what is stored of it.
func (o *osv) entries() (out []entry) {
	if o.Withdrawn != "" || o.ID == "" {
		return nil
	}
	summary := o.Summary
	if summary == "" {
		summary, _, _ = strings.Cut(o.Details, "\n")
	}
	if len(summary) > 200 {
		summary = strings.ToValidUTF8(summary[:200], "") + "…"
	}
	for _, a := range o.Affected {
		if a.Package.Name == "" || a.Package.Ecosystem == "" {
			continue
		}
		e := entry{eco: a.Package.Ecosystem, pkg: a.Package.Name, advisory: advisory{ID: o.ID, Aliases: append(append([]string{}, o.Aliases...), o.Upstream...), Summary: summary, Versions: a.Versions}}
		for _, r := range a.Ranges {
			if r.Type != "GIT" {
				e.Ranges = append(e.Ranges, rng{r.Events})
			}
		}
		for _, sev := range []Severity{gravest(a.Severity), gravest(o.Severity), a.Ecosystem.severity(), a.Database.severity(), o.Database.severity()} {
			if sev != Unknown {
				e.Severity = sev
				break
			}
		}
		if e.Severity == "" {
			e.Severity = Unknown
		}
		if e.eco == "PyPI" {
			e.pkg = pypiName(e.pkg)
		}
		if len(e.Ranges) > 0 || len(e.Versions) > 0 {
			out = append(out, e)
		}
	}
	return out
}

// debianReleases are the names by which Debian's security tracker knows its releases.
var debianReleases = map[string]string{"buster": "10", "bullseye": "11", "bookworm": "12", "trixie": "13", "forky": "14"}

// tracker is Debian's security tracker in JSON, https://security-tracker.debian.org/tracker/data/json: packages, then
// vulnerabilities, then releases.
type tracker map[string]map[string]struct {
	Description string `json:"description"`
	Releases    map[string]struct {
		Status  string `json:"status"`
		Fixed   string `json:"fixed_version"`
		Urgency string `json:"urgency"`
	} `json:"releases"`
}

func (t tracker) entries() (out []entry) {
	for pkg, flaws := range t {
		for flaw, f := range flaws {
			for name, r := range f.Releases {
				number := debianReleases[name]
				if number == "" || r.Status == "undetermined" || r.Fixed == "0" {
					continue // an unknown release, or the release never had it
				}
				ev := []evt{{Introduced: "0"}}
				if r.Status == "resolved" && r.Fixed != "" {
					ev = append(ev, evt{Fixed: r.Fixed})
				}
				out = append(out, entry{eco: "Debian:" + number, pkg: pkg, advisory: advisory{ID: flaw, Summary: f.Description,
					Severity: ofWord(r.Urgency), Ranges: []rng{{ev}}}})
			}
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].pkg+out[i].ID+out[i].eco < out[j].pkg+out[j].ID+out[j].eco })
	return out
}

// maxOne bounds one document of a list, in bytes.
const maxOne = 256 << 20

// read gives every entry of a list: a zip of OSV documents as osv.dev publishes it, one OSV document, a list of them, or
// Debian's tracker.
func read(f *os.File, size int64, use func([]entry) error) error {
	head := make([]byte, 4)
	if _, err := f.ReadAt(head, 0); err != nil {
		return fail.New(fail.Invalid, "the list is empty").Then("send all.zip of an ecosystem from osv.dev, OSV JSON, or Debian's tracker data")
	}
	if string(head) == "PK\x03\x04" {
		z, err := zip.NewReader(f, size)
		if err != nil {
			return fail.New(fail.Invalid, "the zip file is damaged").Because(err)
		}
		for _, e := range z.File {
			if !strings.HasSuffix(e.Name, ".json") {
				continue
			}
			if e.UncompressedSize64 > maxOne {
				return fail.New(fail.TooLarge, "%s in the zip file is larger than %d MiB", e.Name, maxOne>>20)
			}
			r, err := e.Open()
			if err != nil {
				return fail.New(fail.Invalid, "%s in the zip file is damaged", e.Name).Because(err)
			}
			b, err := io.ReadAll(io.LimitReader(r, maxOne))
			_ = r.Close()
			if err != nil {
				return fail.New(fail.Invalid, "%s in the zip file is damaged", e.Name).Because(err)
			}
			if err := document(e.Name, b, use); err != nil {
				return err
			}
		}
		return nil
	}
	if size > maxOne {
		return fail.New(fail.TooLarge, "a list in JSON may have %d MiB", maxOne>>20).Then("send it as a zip of OSV documents")
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	if err != nil {
		return err
	}
	return document("the list", b, use)
}

func document(name string, b []byte, use func([]entry) error) error {
	b = bytes.TrimSpace(b)
	wrong := func(err error) error {
		return fail.New(fail.Invalid, "%s is not in a form that is known here", name).Because(err).
			Then("send all.zip of an ecosystem from osv.dev, OSV JSON, or Debian's tracker data")
	}
	if len(b) > 0 && b[0] == '[' {
		var all []osv
		if err := json.Unmarshal(b, &all); err != nil {
			return wrong(err)
		}
		for i := range all {
			if err := use(all[i].entries()); err != nil {
				return err
			}
		}
		return nil
	}
	var one osv
	if err := json.Unmarshal(b, &one); err == nil && one.ID != "" {
		return use(one.entries())
	}
	var t tracker
	if err := json.Unmarshal(b, &t); err != nil {
		return wrong(err)
	}
	return use(t.entries())
}
