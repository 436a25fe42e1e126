package servicestage

import (
	"encoding/json"
	"math"
	"strings"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/app"
	"github.com/awancloud/awan/internal/service/config"
)

// componentWords is a component as a client described it, field by field: what this cloud acts on is read from it, the
// rest is kept and given back.
type componentWords map[string]json.RawMessage

// componentBody is the part of it that this cloud acts on.
type componentBody struct {
	Name           *string     `json:"name"`
	EnvironmentID  *string     `json:"environment_id"`
	Description    *string     `json:"description"`
	Labels         *[]label    `json:"labels"`
	Version        *string     `json:"version"`
	RuntimeStack   *stack      `json:"runtime_stack"`
	Source         *source     `json:"source"`
	Replica        *int        `json:"replica"`
	LimitCPU       *float64    `json:"limit_cpu"`    // cores
	LimitMemory    *float64    `json:"limit_memory"` // GiB
	Envs           *[]env      `json:"envs"`
	Timezone       *string     `json:"timezone"`
	JVMOpts        *string     `json:"jvm_opts"`
	Command        *command    `json:"command"`
	Readiness      *probe      `json:"readiness_probe"`
	Liveness       *probe      `json:"liveness_probe"`
	Accesses       *[]entrance `json:"external_accesses"`
	CustomMetric   *metric     `json:"custom_metric"`
	Enterprise     *string     `json:"enterprise_project_id"`
	DeployStrategy *strategy   `json:"deploy_strategy"`
	UpdateStrategy *strategy   `json:"update_strategy"`
	Refer          *[]refer    `json:"refer_resources"`
	Storages       *[]storage  `json:"storages"`
	PostStart      *lifecycle  `json:"post_start"`
	PreStop        *lifecycle  `json:"pre_stop"`
	CreateMode     *string     `json:"create_mode"`
	ConfigMode     *string     `json:"config_mode"`
	Workload       *string     `json:"workload_content"`

	Port    int            `json:"-"` // of a workload
	Mounted []config.Mount `json:"-"` // of a workload, beside its storages
}

type (
	stack struct {
		Name       string `json:"name"`
		Type       string `json:"type"`
		DeployMode string `json:"deploy_mode"`
		Version    string `json:"version,omitempty"`
	}
	env struct {
		Name  string `json:"name"`
		Value string `json:"value"`
		Inner bool   `json:"inner,omitempty"`
	}
	command struct {
		Command []string `json:"command"`
		Args    []string `json:"args"`
	}
	probe struct {
		Type    string   `json:"type"`
		Delay   int      `json:"delay"`   // seconds
		Timeout int      `json:"timeout"` // seconds
		Scheme  string   `json:"scheme"`
		Port    int      `json:"port"`
		Path    string   `json:"path"`
		Command []string `json:"command"`
	}
	entrance struct {
		Protocol string `json:"protocol"`
		Address  string `json:"address"`
		Port     int    `json:"forward_port"`
	}
	lifecycle struct {
		Type    string   `json:"type"`
		Command []string `json:"command"`
	}
	refer struct {
		ID   string `json:"id"`
		Type string `json:"type"`
	}
	metric struct {
		Path string `json:"path"`
		Port int    `json:"port"`
	}
)

// Names of variables that stand for fields of their own here; they are not among the envs a client sees.
const (
	zoneVariable = "TZ"
	jvmVariable  = "JAVA_TOOL_OPTIONS"
)

// tags are the labels that the body leaves a component with.
func (b *componentBody) tags(old map[string]string) map[string]string {
	if b.Labels == nil {
		return old
	}
	out := map[string]string{}
	for _, l := range *b.Labels {
		out[l.Key] = l.Value
	}
	return out
}

func (b *componentBody) replicas(old int) int {
	if b.Replica == nil {
		return old
	}
	return *b.Replica
}

// merge adds what a client says now to what it said before. A null takes a field away.
func (w componentWords) merge(now componentWords) {
	for k, v := range now {
		if string(v) == "null" {
			delete(w, k)
		} else {
			w[k] = v
		}
	}
	for _, ours := range []string{"name", "environment_id", "application_id", "description", "labels", "envs", "replica", "enterprise_project_id"} {
		delete(w, ours) // the row has them
	}
}

// spec is what the body asks of the app service: a spec, or over old a patch of one.
func (a *API) spec(x *exchange, b *componentBody, old *app.ComponentSpec) (wire.Spec, error) {
	s := wire.Spec{}
	wire.Set(s, "description", b.Description)
	wire.Set(s, "replicas", b.Replica)
	if b.LimitCPU != nil && *b.LimitCPU > 0 {
		s["cpu"] = int64(math.Round(*b.LimitCPU * 1000))
	}
	if b.LimitMemory != nil && *b.LimitMemory > 0 {
		s["memory"] = int64(math.Round(*b.LimitMemory * 1024))
	}
	if err := b.check(x.Param("project_id")); err != nil {
		return nil, err
	}
	if b.Source != nil {
		src, err := b.Source.spec()
		if err != nil {
			return nil, err
		}
		if b.Source.Kind != "image" {
			if src["stack"], err = a.stackFor(x, b.RuntimeStack, b.Source.Kind); err != nil {
				return nil, err
			}
		}
		s["source"] = src
	}
	s["env"] = b.variables(old)
	if b.Command != nil {
		if len(b.Command.Command) == 0 && len(b.Command.Args) > 0 {
			return nil, fail.Field("command.args", "arguments need the command they are for").Then("give command.command too")
		}
		s["command"] = append(append([]string{}, b.Command.Command...), b.Command.Args...)
	}
	if b.Accesses != nil && len(*b.Accesses) > 0 && (*b.Accesses)[0].Port > 0 {
		s["port"] = (*b.Accesses)[0].Port
	} else if b.Port > 0 {
		s["port"] = b.Port
	}
	if b.CustomMetric != nil {
		s["metrics"] = wire.Spec{"path": b.CustomMetric.Path, "port": b.CustomMetric.Port}
	}
	if b.Storages != nil {
		mounts, err := b.mounts()
		if err != nil {
			return nil, err
		}
		s["mounts"] = append(mounts, b.Mounted...)
	}
	if b.Readiness != nil {
		p, err := b.Readiness.spec("readiness_probe")
		if err != nil {
			return nil, err
		}
		if b.Readiness.Delay > 0 {
			p["grace"] = itoa(b.Readiness.Delay+60) + "s" // a program that is known to need so long is given that, and the usual minute
		}
		s["probe"] = p
	}
	if b.Liveness != nil {
		p, err := b.Liveness.spec("liveness_probe")
		if err != nil {
			return nil, err
		}
		p["port"], p["delay"] = b.Liveness.Port, itoa(b.Liveness.Delay)+"s"
		s["liveness"] = p
	}
	if err := b.hooks(s); err != nil {
		return nil, err
	}
	return s, b.strategies(s)
}

// check refuses what cannot be had here and would be missed.
func (b *componentBody) check(project string) error {
	if b.Refer != nil {
		for i, r := range *b.Refer {
			if r.Type == "cce" && r.ID != clusterID(project) {
				return fail.Field("refer_resources["+itoa(i)+"].id", "there is no cluster %q in this project", r.ID).
					Then("use %s, which GET …/cas/environments/resources?type=cce lists", clusterID(project))
			}
		}
	}
	return nil
}

// variables is the patch of the environment variables: those sent, those that stand for other fields, and no others.
func (b *componentBody) variables(old *app.ComponentSpec) map[string]any {
	out := map[string]any{}
	if b.Envs != nil {
		if old != nil {
			for k := range old.Env {
				if k != zoneVariable && k != jvmVariable {
					out[k] = nil
				}
			}
		}
		for _, e := range *b.Envs {
			out[e.Name] = e.Value
		}
	}
	for name, v := range map[string]*string{zoneVariable: b.Timezone, jvmVariable: b.JVMOpts} {
		if v != nil && *v != "" {
			out[name] = *v
		}
	}
	return out
}

func (p *probe) spec(field string) (wire.Spec, error) {
	s := wire.Spec{"type": strings.ToLower(p.Type)}
	switch s["type"] {
	case "tcp":
	case "http":
		if strings.EqualFold(p.Scheme, "https") {
			return nil, fail.Field(field+".scheme", "instances are asked over HTTP: the cloud itself speaks TLS for them").Then("use HTTP, or a tcp probe")
		}
		if p.Path != "" {
			s["path"] = p.Path
		}
	case "command":
		s["command"] = p.Command
	default:
		return nil, fail.Field(field+".type", "%q is none of tcp, http and command", p.Type)
	}
	if p.Timeout > 0 {
		s["timeout"] = itoa(p.Timeout) + "s"
	}
	return s, nil
}

// hooks reads the commands around an instance's life.
func (b *componentBody) hooks(s wire.Spec) error {
	hooks := wire.Spec{}
	for field, l := range map[string]*lifecycle{"post_start": b.PostStart, "pre_stop": b.PreStop} {
		if l == nil {
			continue
		}
		if l.Type != "command" || len(l.Command) == 0 {
			return fail.Field(field, "only commands run around an instance's life").Then(`give {"type": "command", "command": [...]}`)
		}
		hooks[field] = wire.Spec{"command": l.Command}
	}
	if len(hooks) > 0 {
		s["hooks"] = hooks
	}
	return nil
}
