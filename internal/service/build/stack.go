package build

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"text/template"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Stack is a way to build a kind of source: one file of catalog/stacks.
type Stack struct {
	Name       string   // "go"
	Title      string   // "Go"
	Order      int      // stacks are tried from the lowest
	Detect     []string // any of these files in the source means this stack
	Explain    string   // a template: what was found, and what it means
	Own        bool     // the source brings its own Dockerfile
	Package    string   // instead of files: the kind of package this builds ("elf", "jar", "war")
	Versions   []Version
	Dockerfile string // a template
}

// Plan is what detection decided: the Dockerfile to build and why.
type Plan struct {
	Stack      string
	Title      string
	Runtime    string // "go-1-26"; empty where the recipe needs none
	Explain    string // for the user: "found go.mod, so this is a Go program; …"
	Dockerfile string
}

// Stacks are the catalogue's stacks, in the order they are tried.
type Stacks []Stack

// ReadStacks reads stacks/*.yaml of the catalogue.
func ReadStacks(catalog fs.FS) (Stacks, error) {
	names, err := fs.Glob(catalog, "stacks/*.yaml")
	if err != nil {
		return nil, fail.Wrap(err, fail.Internal, "reading the catalogue's stacks")
	}
	var out Stacks
	for _, name := range names {
		text, err := fs.ReadFile(catalog, name)
		if err != nil {
			return nil, fail.Wrap(err, fail.Internal, "reading the catalogue's %s", name)
		}
		var s Stack
		decoder := yaml.NewDecoder(bytes.NewReader(text))
		decoder.KnownFields(true)
		if err := decoder.Decode(&s); err != nil {
			return nil, fail.New(fail.Invalid, "the catalogue's %s cannot be read", name).Because(err)
		}
		for _, v := range s.Versions {
			if err := v.check(); err != nil {
				return nil, fail.New(fail.Invalid, "the catalogue's %s has a version that cannot be read", name).Because(err)
			}
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Stack) int { return cmp.Compare(a.Order, b.Order) })
	return out, nil
}

// maxDescription bounds the files that detection reads.
const maxDescription = 1 << 20

// Detect finds the stack of a source and writes its Dockerfile, for the newest version of the stack that the catalogue has
// and the source allows. registry is the host that the cloud's images are named by; dockerfile is the path of the source's
// own Dockerfile when the user named one ("" looks for "Dockerfile").
func (s Stacks) Detect(source fs.FS, registry, dockerfile string) (Plan, error) {
	return s.detect(source, Choice{Registry: registry, Dockerfile: dockerfile, Runtimes: s.Runtimes(), Now: time.Now()})
}

// Choice is what decides beside the source itself.
type Choice struct {
	Registry, Dockerfile string
	Stack                string // a stack or a runtime by name; "" is detected
	Package              string // the kind of package that the source is, when it is one
	Runtimes             []Runtime
	Now                  time.Time
}

func (s Stacks) detect(source fs.FS, c Choice) (Plan, error) {
	if c.Dockerfile != "" {
		if !fs.ValidPath(c.Dockerfile) {
			return Plan{}, fail.Field("dockerfile", "%q is not a path inside the source", c.Dockerfile)
		}
		text, err := readSome(source, c.Dockerfile)
		if err != nil {
			return Plan{}, fail.Field("dockerfile", "there is no file %s in the source", c.Dockerfile).Because(err)
		}
		return Plan{Stack: "dockerfile", Title: "Dockerfile", Explain: "building with " + c.Dockerfile + ", as asked", Dockerfile: text}, nil
	}
	if c.Stack != "" {
		name := c.Stack
		if i := slices.IndexFunc(c.Runtimes, func(r Runtime) bool { return r.Name == name }); i >= 0 {
			name = c.Runtimes[i].Stack
		}
		if s = s.Named(name); len(s) == 0 {
			return Plan{}, fail.Field("spec.source.stack", "there is no stack %q", c.Stack).Then("see awan stack list")
		}
	}
	var tried []string
	for _, stack := range s {
		if c.Package != "" && stack.Package == c.Package {
			return stack.plan(source, c, "")
		}
		for _, file := range stack.Detect {
			tried = append(tried, file)
			found := find(source, file)
			if found == "" || c.Package != "" {
				continue
			}
			if plan, err := stack.plan(source, c, found); err != nil || plan.Dockerfile != "" {
				return plan, err
			}
		}
	}
	if c.Package != "" {
		return Plan{}, fail.Field("spec.source.stack", "the stack %s does not run a package of this kind", c.Stack).Then("leave the stack out")
	}
	if len(tried) < 2 {
		return Plan{}, fail.New(fail.Invalid, "this is no source for the stack %s: found no %s", c.Stack, strings.Join(tried, ""))
	}
	return Plan{}, fail.New(fail.Invalid, "it is not clear how to build this: found no %s or %s",
		strings.Join(tried[:len(tried)-1], ", "), tried[len(tried)-1]).Then("add one of them; a Dockerfile can build anything")
}

// find gives the first file that a pattern names.
func find(source fs.FS, pattern string) string {
	if !strings.ContainsAny(pattern, "*?[") {
		if isFile(source, pattern) {
			return pattern
		}
		return ""
	}
	if top, end, deep := strings.Cut(pattern, "/**/"); deep { // any folder below
		found := ""
		_ = fs.WalkDir(source, top, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return fs.SkipAll
			}
			if ok, _ := path.Match(end, path.Base(p)); ok && d.Type().IsRegular() {
				found = p
				return fs.SkipAll
			}
			return nil
		})
		return found
	}
	names, _ := fs.Glob(source, pattern)
	for _, n := range names {
		if isFile(source, n) {
			return n
		}
	}
	return ""
}

func (s Stack) plan(source fs.FS, c Choice, found string) (Plan, error) {
	p := Plan{Stack: s.Name, Title: s.Title}
	facts := struct{ Registry, Found, FoundFolder, Base string }{c.Registry, found, path.Dir(found), ""}
	var note string
	if len(s.Versions) > 0 {
		r, n, err := choose(c.Runtimes, s.Name, c.Stack, wanted(source, s.Name), c.Now)
		if err != nil {
			return Plan{}, err
		}
		p.Runtime, facts.Base, note = r.Name, c.Registry+"/"+r.Base, "; "+n
	}
	functions := functionsOn(source)
	var err error
	if p.Explain, err = render(s.Explain, functions, facts); err != nil {
		return Plan{}, err
	}
	p.Explain += note
	if s.Own {
		if p.Dockerfile, err = readSome(source, found); err == nil && strings.TrimSpace(p.Dockerfile) == "" {
			err = fail.New(fail.Invalid, "the Dockerfile is empty").Then("write a FROM line and what follows, or remove it")
		}
		return p, err
	}
	p.Dockerfile, err = render(s.Dockerfile, functions, facts)
	return p, err
}

func render(text string, functions template.FuncMap, facts any) (string, error) {
	t, err := template.New("stack").Funcs(functions).Option("missingkey=error").Parse(text)
	if err != nil {
		return "", fail.New(fail.Internal, "a recipe in the catalogue is broken").Because(err)
	}
	var out strings.Builder
	if err := t.Execute(&out, facts); err != nil {
		var known *fail.Error
		if errors.As(err, &known) {
			return "", known
		}
		return "", fail.New(fail.Internal, "a recipe in the catalogue is broken").Because(err)
	}
	return out.String(), nil
}

// functionsOn are what recipes can ask about a source.
func functionsOn(source fs.FS) template.FuncMap {
	return template.FuncMap{
		"files": func(names ...string) []string { // those that there are
			return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !isFile(source, n) })
		},
		"folders": func(names ...string) []string {
			return slices.DeleteFunc(slices.Clone(names), func(n string) bool {
				i, err := fs.Stat(source, n)
				return err != nil || !i.IsDir()
			})
		},
		"json": func(file string, keys ...string) (string, error) { // a string in a JSON file, "" when absent
			v, err := lookup(source, file, keys...)
			s, _ := v.(string)
			return s, err
		},
		"any": func(keys ...string) (bool, error) { // whether package.json has one of these with something in it
			for _, k := range keys {
				v, err := lookup(source, "package.json", k)
				if m, ok := v.(map[string]any); err != nil || ok && len(m) > 0 {
					return true, err
				}
			}
			return false, nil
		},
		"procfile": func(process string) string { // the command of a process in a Procfile
			text, _ := readSome(source, "Procfile")
			for line := range strings.Lines(text) {
				if command, ok := strings.CutPrefix(strings.TrimSpace(line), process+":"); ok {
					return strings.TrimSpace(command)
				}
			}
			return ""
		},
		"quote": func(s string) (string, error) {
			b, err := json.Marshal(s)
			return string(b), err
		},
		"goMain":   func() (string, error) { return goMain(source) },
		"javaMain": func() (string, error) { return javaMain(source) },
		"javaMaybe": func() string { // of a build that may say it itself
			main, err := javaMain(source)
			if err != nil {
				return ""
			}
			return main
		},
		"linked": func() (bool, error) { return linked(source, packageFile) },
		"fail":   func(message string) (string, error) { return "", fail.New(fail.Invalid, "%s", message) },
	}
}

func lookup(source fs.FS, file string, keys ...string) (any, error) {
	text, err := readSome(source, file)
	if err != nil {
		return nil, nil
	}
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return nil, fail.New(fail.Invalid, "%s is not JSON: %s", file, err)
	}
	for _, k := range keys {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	return v, nil
}

func isFile(source fs.FS, name string) bool {
	i, err := fs.Stat(source, name)
	return err == nil && i.Mode().IsRegular()
}

func readSome(source fs.FS, name string) (string, error) {
	i, err := fs.Stat(source, name)
	if err != nil {
		return "", err
	}
	if i.Size() > maxDescription {
		return "", fail.New(fail.TooLarge, "%s is larger than 1 MiB", name)
	}
	text, err := fs.ReadFile(source, name)
	return string(text), err
}

// goMain finds the program of a Go module: the top folder's, or the only one under cmd, or the one named like the module.
func goMain(source fs.FS) (string, error) {
	if hasMain(source, ".") {
		return ".", nil
	}
	entries, _ := fs.ReadDir(source, "cmd")
	var found []string
	for _, e := range entries {
		if e.IsDir() && hasMain(source, "cmd/"+e.Name()) {
			found = append(found, "./cmd/"+e.Name())
		}
	}
	text, _ := readSome(source, "go.mod")
	module := ""
	for line := range strings.Lines(text) {
		if m, ok := strings.CutPrefix(strings.TrimSpace(line), "module "); ok {
			module = path.Base(strings.TrimSpace(m))
		}
	}
	switch own := "./cmd/" + module; {
	case len(found) == 1:
		return found[0], nil
	case slices.Contains(found, own):
		return own, nil
	case len(found) == 0:
		return "", fail.New(fail.Invalid, "found go.mod but no program: no package main in the top folder or under cmd").
			Then("add one, or a Dockerfile")
	}
	return "", fail.New(fail.Invalid, "found several programs: %s", strings.Join(found, ", ")).
		Then("add a Dockerfile that builds the one you mean")
}

func hasMain(source fs.FS, folder string) bool {
	names, _ := fs.Glob(source, path.Join(folder, "*.go"))
	for _, n := range names {
		if strings.HasSuffix(n, "_test.go") {
			continue
		}
		text, err := readSome(source, n)
		if err != nil || strings.Contains(text, "//go:build ignore") {
			continue
		}
		for line := range strings.Lines(text) {
			if strings.TrimSpace(line) == "package main" {
				return true
			}
		}
	}
	return false
}
