package scan

import (
	"encoding/json"
	"slices"
	"strings"

	npm "github.com/aquasecurity/go-npm-version/pkg"
	pep440 "github.com/aquasecurity/go-pep440-version"
	apk "github.com/knqyf263/go-apk-version"
	deb "github.com/knqyf263/go-deb-version"
	mvn "github.com/masahiro331/go-mvn-version"
	"golang.org/x/mod/semver"

	"github.com/awancloud/awan/internal/kernel/store"
)

// compare orders two versions by the rules of an ecosystem; ok is false when one of them is none.
func compare(eco, a, b string) (order int, ok bool) {
	if a == b {
		return 0, true
	}
	family, _, _ := strings.Cut(eco, ":")
	switch family {
	case "Debian", "Ubuntu":
		x, err := deb.NewVersion(a)
		y, err2 := deb.NewVersion(b)
		return x.Compare(y), err == nil && err2 == nil
	case "Alpine":
		x, err := apk.NewVersion(a)
		y, err2 := apk.NewVersion(b)
		return x.Compare(y), err == nil && err2 == nil
	case "Go":
		x, y := goVersion(a), goVersion(b)
		return semver.Compare(x, y), semver.IsValid(x) && semver.IsValid(y)
	case "npm":
		x, err := npm.NewVersion(a)
		y, err2 := npm.NewVersion(b)
		return x.Compare(y), err == nil && err2 == nil
	case "PyPI":
		x, err := pep440.Parse(a)
		y, err2 := pep440.Parse(b)
		if err != nil || err2 != nil {
			return 0, false
		}
		return x.Compare(y), true
	case "Maven":
		x, err := mvn.NewVersion(a)
		y, err2 := mvn.NewVersion(b)
		return x.Compare(y), err == nil && err2 == nil
	}
	return 0, false
}

// goVersion writes Go's own versions (1.22rc1) as semantic ones.
func goVersion(v string) string {
	for _, pre := range []string{"rc", "beta"} {
		if i := strings.Index(v, pre); i > 0 && !strings.Contains(v[:i], "-") {
			base := v[:i]
			if strings.Count(base, ".") == 1 {
				base += ".0"
			}
			return "v" + base + "-" + pre + "." + v[i+len(pre):]
		}
	}
	return "v" + v
}

// affects tells whether an advisory is about a version, and which version has it fixed.
func (a *advisory) affects(eco, version string) (bool, string) {
	for _, r := range a.Ranges {
		if hit, fixed := r.affects(eco, version); hit {
			return true, fixed
		}
	}
	return slices.Contains(a.Versions, version), ""
}

func (r rng) affects(eco, version string) (hit bool, fixed string) {
	type point struct {
		at   string
		kind int // 0 introduced, 1 fixed, 2 last affected
	}
	var points []point
	for _, e := range r.Events {
		switch {
		case e.Introduced != "":
			points = append(points, point{e.Introduced, 0})
		case e.Fixed != "":
			points = append(points, point{e.Fixed, 1})
		case e.LastAffected != "":
			points = append(points, point{e.LastAffected, 2})
		}
	}
	order := func(a, b string) (int, bool) {
		switch { // "0" is before everything
		case a == b:
			return 0, true
		case a == "0":
			return -1, true
		case b == "0":
			return 1, true
		}
		return compare(eco, a, b)
	}
	slices.SortStableFunc(points, func(a, b point) int {
		n, _ := order(a.at, b.at)
		return n
	})
	for i, p := range points {
		n, ok := order(version, p.at)
		if !ok {
			return false, "" // not comparable: the list of versions decides
		}
		switch {
		case p.kind == 0 && n >= 0:
			hit, fixed = true, ""
			if i+1 < len(points) && points[i+1].kind == 1 {
				fixed = points[i+1].at
			}
		case p.kind == 1 && n >= 0, p.kind == 2 && n > 0:
			hit = false
		}
	}
	return hit, fixed
}

// lists are the loaded lists at one moment.
type lists struct {
	rows  []*listRow
	state string // names their versions: when it changes, images are scanned again
}

func (s *Service) lists(tx store.Tx) (lists, error) {
	var l lists
	rows, _, err := s.List.D.List(tx, "-", anyFilter)
	for _, r := range rows {
		row := r.(*listRow)
		l.rows = append(l.rows, row)
		l.state += row.Name + "@" + row.Status.Loaded.UTC().Format("2006-01-02T15:04:05Z") + "/" + string(row.Status.Version[24:]) + " "
	}
	l.state = strings.TrimSpace(l.state)
	return l, err
}

// covers tells whether some list has the ecosystem.
func (l lists) covers(eco string) bool {
	for _, r := range l.rows {
		if slices.Contains(r.Status.Ecosystems, eco) {
			return true
		}
	}
	return false
}

// find looks a package up in every list.
func (l lists) find(tx store.Tx, p Package) (out []Finding, err error) {
	name, version := p.Name, p.Version
	if p.Source != "" {
		name, version = p.Source, p.SourceVersion
	}
	seen := map[string]bool{}
	for _, r := range l.rows {
		for _, b := range tx.Scan(advisoryPrefix(r.Status.Version, p.Eco, name), "") {
			var a advisory
			if err := json.Unmarshal(b, &a); err != nil {
				return nil, err
			}
			hit, fixed := a.affects(p.Eco, version)
			if !hit || seen[a.ID] {
				continue
			}
			seen[a.ID] = true
			out = append(out, Finding{ID: a.ID, Aliases: a.Aliases, Package: p.Name, Version: p.Version, Fixed: fixed, Severity: a.Severity, Summary: a.Summary,
				Where: p.Where, Eco: p.Eco})
		}
		if err := tx.ScanErr(); err != nil {
			return nil, err
		}
	}
	return out, nil
}
