package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// manifest is a file that describes a whole application: what it says, and where it says it.
type manifest struct {
	file, dir string
	lines     map[string]int // of every key, by its path: "components.web.replicas"
	errs      []error

	name, environment string
	secrets           []string
	wants             []*desired // in the order in which they are made
}

// desired is one resource that the file wants.
type desired struct {
	kind   *kind.Desc
	name   string
	path   string         // of it in the file
	spec   map[string]any // what the file says of it
	keep   bool           // made when it is not there, never changed: an environment that is only named
	build  string         // folder that it is built from
	digest string         // of that folder, once packed
	after  []string       // components that are made before
}

// manifestExtra are the keys of a component in the file that no component has itself.
var manifestExtra = []kind.Field{
	{Name: "build", Type: kind.String, Doc: "folder to build it from, relative to this file"},
	{Name: "image", Type: kind.String, Doc: "short for source: {image: …}"},
	{Name: "after", Type: kind.ListOf, Item: &kind.Field{Type: kind.String}, Doc: "components that are made before this one"},
}

// topFields describe the file's top level; components, schedules, tasks and configs are by name.
func (s *session) topFields() []kind.Field {
	text := func(name, doc string) kind.Field { return kind.Field{Name: name, Type: kind.String, Doc: doc} }
	byName := func(name, doc string, fields []kind.Field) kind.Field {
		return kind.Field{Name: name, Type: kind.MapOf, Doc: doc, Item: &kind.Field{Type: kind.Object, Fields: fields}}
	}
	of := func(service, name string, without ...string) []kind.Field {
		k := s.kindOf(service, name)
		if k == nil {
			return nil
		}
		return slices.DeleteFunc(slices.Clone(k.Spec), func(f kind.Field) bool { return slices.Contains(without, f.Name) })
	}
	fileField := text("file", "file with the content, relative to this file")
	variables := kind.Field{Type: kind.MapOf, Item: &kind.Field{Type: kind.String}}
	vars, labels := variables, variables
	vars.Name, vars.Doc = "variables", "environment variables of every component of the application in this environment"
	labels.Name, labels.Doc = "labels", "labels of every instance of it"
	return []kind.Field{
		{Name: "name", Type: kind.String, Required: true, Doc: "the application's name"},
		text("description", "what the application does"),
		{Name: "environment", Type: kind.Object, Doc: "the environment's name; or its name with what it is", Fields: append([]kind.Field{text("name", "its name")}, of("app", "environment")...)},
		vars, labels,
		{Name: "secrets", Type: kind.ListOf, Item: &kind.Field{Type: kind.String}, Doc: "secrets that must be there; their values never stand in this file"},
		byName("configs", "configs, by name; they belong to the config group called like the application", append([]kind.Field{fileField}, of("config", "config", "group", "sensitive")...)),
		byName("components", "components, by name", slices.Concat(of("app", "component", "application", "environment"), manifestExtra)),
		byName("schedules", "schedules that start tasks, by name", of("app", "schedule")),
		byName("tasks", "tasks that run once, by name", of("app", "task", "schedule")),
	}
}

// readManifest reads and checks a file; all its mistakes are told at once.
func (s *session) readManifest(file, environment string) (*manifest, error) {
	var b []byte
	var err error
	m := &manifest{file: file, dir: filepath.Dir(file), lines: map[string]int{}}
	if file == "-" {
		m.dir = "."
		b, err = io.ReadAll(s.Stdin)
	} else {
		b, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, fail.Wrap(err, fail.NotFound, "%s cannot be read", file).Then("say which file: -f FILE; awan schema describes its form")
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, fail.New(fail.Invalid, "%s: %s", file, strings.TrimPrefix(err.Error(), "yaml: ")).Because(err)
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, fail.New(fail.Invalid, "%s says nothing", file).Then("begin with name: NAME; awan schema describes the form")
	}
	top := m.object(doc.Content[0], s.topFields(), "")
	m.name, _ = top["name"].(string)
	if m.name == "" && len(m.errs) == 0 {
		m.wrong("", "name is missing: how the application is called")
	}
	s.collect(m, top, environment)
	if err := m.order(); err != nil {
		m.errs = append(m.errs, err)
	}
	return m, m.failed(s.Stderr)
}

// failed tells all mistakes but the last, which it returns.
func (m *manifest) failed(to io.Writer) error {
	if len(m.errs) == 0 {
		return nil
	}
	slices.SortStableFunc(m.errs, func(a, b error) int { return cmp.Compare(lineIn(a), lineIn(b)) })
	for _, err := range m.errs[:len(m.errs)-1] {
		fmt.Fprintf(to, "error: %s\n", clean(fail.From(err).Field+": "+fail.From(err).Message))
	}
	return m.errs[len(m.errs)-1]
}

func lineIn(err error) (n int) {
	parts := strings.SplitN(fail.From(err).Field, ":", 3)
	if len(parts) > 1 {
		_, _ = fmt.Sscanf(parts[1], "%d", &n)
	}
	return n
}

// at gives file:line: path of a place; a path that the file does not have is looked for further up.
func (m *manifest) at(path string) string {
	for p := path; ; {
		if n := m.lines[p]; n > 0 {
			return fmt.Sprintf("%s:%d: %s", m.file, n, path)
		}
		i := strings.LastIndexAny(p, ".[")
		if i < 0 {
			return m.file + ": " + path
		}
		p = p[:i]
	}
}

func (m *manifest) wrong(path, format string, args ...any) {
	m.errs = append(m.errs, fail.Field(strings.TrimSuffix(m.at(path), ": "), format, args...))
}

// collect makes the list of wanted resources.
func (s *session) collect(m *manifest, top map[string]any, environment string) {
	add := func(service, name string, d *desired) *desired {
		if d.kind = s.kindOf(service, name); d.kind == nil {
			m.wrong(d.path, "this awan has no kind %s", name)
			return d
		}
		if d.spec == nil {
			d.spec = map[string]any{}
		}
		m.wants = append(m.wants, d)
		return d
	}
	env, _ := top["environment"].(map[string]any)
	m.environment = cmp.Or(environment, text(env["name"]), "default")
	delete(env, "name")
	add("app", "environment", &desired{name: m.environment, path: "environment", spec: env, keep: len(env) == 0 || environment != ""})
	app := &desired{name: m.name, path: "name"}
	if d, ok := top["description"]; ok {
		app.spec = map[string]any{"description": d}
	}
	add("app", "application", app)
	for _, v := range list(top["secrets"]) {
		m.secrets = append(m.secrets, text(v))
	}
	configs, _ := top["configs"].(map[string]any)
	if len(configs) > 0 {
		add("config", "config-group", &desired{name: m.name, path: "configs", keep: true})
	}
	for _, name := range sortedKeys(configs) {
		d := add("config", "config", &desired{name: name, path: "configs." + name, spec: mapping(configs[name])})
		d.spec["group"] = m.name
		m.content(d)
	}
	shared := map[string]any{}
	for _, key := range []string{"variables", "labels"} {
		if v, ok := top[key]; ok {
			shared[key] = v
		}
	}
	if len(shared) > 0 {
		shared["application"], shared["environment"] = m.name, m.environment
		add("app", "configuration", &desired{name: m.name + "." + m.environment, path: "variables", spec: shared})
	}
	for name, d := range byName(top["components"], "components") {
		d.name, d.build = name, text(d.spec["build"])
		if image, ok := d.spec["image"]; ok {
			put(d.spec, []string{"source", "image"}, image)
		}
		for _, a := range list(d.spec["after"]) {
			d.after = append(d.after, text(a))
		}
		for _, f := range manifestExtra {
			delete(d.spec, f.Name)
		}
		d.spec["application"], d.spec["environment"] = m.name, m.environment
		m.folder(d)
		for key, v := range mapping(d.spec["secrets"]) {
			if text(v) != kind.Mask {
				m.wrong(d.path+".secrets."+key, "values of secrets do not belong in this file: make a secret (awan secret create NAME --values %s=-) and mount it", key)
			}
		}
		add("app", "component", d)
	}
	for name, d := range byName(top["schedules"], "schedules") {
		d.name = name
		add("app", "schedule", d)
	}
	for name, d := range byName(top["tasks"], "tasks") {
		d.name = name
		add("app", "task", d)
	}
}

// content reads a config's file.
func (m *manifest) content(d *desired) {
	file, given := d.spec["file"]
	delete(d.spec, "file")
	if _, both := d.spec["content"]; given == both {
		m.wrong(d.path, "give either file or content")
		return
	}
	if !given {
		return
	}
	b, err := os.ReadFile(filepath.Join(m.dir, text(file)))
	if err != nil {
		m.wrong(d.path+".file", "%s cannot be read", text(file))
		return
	}
	d.spec["content"] = string(b)
}

// folder finds the folder that a component is built from.
func (m *manifest) folder(d *desired) {
	if d.build == "" {
		return
	}
	if d.spec["source"] != nil && (at(d.spec, "source.image") != nil || at(d.spec, "source.digest") != nil) {
		m.wrong(d.path+".build", "give either a folder to build or a source")
	}
	d.build = filepath.Join(m.dir, d.build)
	if st, err := os.Stat(d.build); err != nil || !st.IsDir() {
		m.wrong(d.path+".build", "there is no folder %s", d.build)
	}
}

func byName(v any, path string) func(func(string, *desired) bool) {
	all := mapping(v)
	return func(yield func(string, *desired) bool) {
		for _, name := range sortedKeys(all) {
			spec := mapping(all[name])
			if spec == nil {
				spec = map[string]any{}
			}
			if !yield(name, &desired{path: path + "." + name, spec: spec}) {
				return
			}
		}
	}
}

func mapping(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

// order puts components after those that they are to come after.
func (m *manifest) order() error {
	components := map[string]*desired{}
	var before, rest []*desired
	for _, d := range m.wants {
		switch {
		case d.kind.Name == "component":
			components[d.name] = d
		case d.kind.Name == "schedule" || d.kind.Name == "task":
			rest = append(rest, d)
		default:
			before = append(before, d)
		}
	}
	state := map[string]int{} // 1: on the way, 2: placed
	var visit func(d *desired) error
	visit = func(d *desired) error {
		switch state[d.name] {
		case 1:
			return fail.Field(m.at(d.path+".after"), "%s comes after itself", d.name)
		case 2:
			return nil
		}
		state[d.name] = 1
		for _, a := range d.after {
			other := components[a]
			if other == nil {
				return fail.Field(m.at(d.path+".after"), "this file has no component %q", a)
			}
			if err := visit(other); err != nil {
				return err
			}
		}
		state[d.name] = 2
		before = append(before, d)
		return nil
	}
	var errs []error
	for _, name := range sortedNames(components) {
		errs = append(errs, visit(components[name]))
	}
	m.wants = append(before, rest...)
	return errors.Join(errs...)
}

func sortedNames(all map[string]*desired) []string {
	out := make([]string, 0, len(all))
	for n := range all {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}
