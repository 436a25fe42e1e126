package servicestage

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/config"
)

// deployment is what this cloud acts on of a Kubernetes Deployment
// (https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/deployment-v1/).
type deployment struct {
	Kind string `json:"kind"`
	Spec struct {
		Replicas *int `json:"replicas"`
		Strategy struct {
			Type    string `json:"type"`
			Rolling struct {
				Surge any `json:"maxSurge"`
			} `json:"rollingUpdate"`
		} `json:"strategy"`
		Template struct {
			Spec struct {
				Init       []json.RawMessage `json:"initContainers"`
				Containers []container       `json:"containers"`
				Volumes    []volume          `json:"volumes"`
			} `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
}

type (
	container struct {
		Image   string   `json:"image"`
		Command []string `json:"command"`
		Args    []string `json:"args"`
		Ports   []struct {
			Name string `json:"name"`
			Port int    `json:"containerPort"`
		} `json:"ports"`
		Env []struct {
			Name  string `json:"name"`
			Value string `json:"value"`
			From  *struct {
				Secret *keyRef `json:"secretKeyRef"`
			} `json:"valueFrom"`
		} `json:"env"`
		EnvFrom []struct {
			Config *keyRef `json:"configMapRef"`
			Secret *keyRef `json:"secretRef"`
		} `json:"envFrom"`
		Resources struct {
			Limits map[string]any `json:"limits"`
		} `json:"resources"`
		Readiness *check `json:"readinessProbe"`
		Liveness  *check `json:"livenessProbe"`
		Lifecycle struct {
			PostStart *handler `json:"postStart"`
			PreStop   *handler `json:"preStop"`
		} `json:"lifecycle"`
		Mounts []struct {
			Name    string `json:"name"`
			Path    string `json:"mountPath"`
			SubPath string `json:"subPath"`
		} `json:"volumeMounts"`
	}
	keyRef struct {
		Name string `json:"name"`
		Key  string `json:"key"`
	}
	check struct {
		handler
		Delay   int `json:"initialDelaySeconds"`
		Timeout int `json:"timeoutSeconds"`
	}
	handler struct {
		Exec *struct {
			Command []string `json:"command"`
		} `json:"exec"`
		HTTP *struct {
			Path   string `json:"path"`
			Port   any    `json:"port"`
			Scheme string `json:"scheme"`
		} `json:"httpGet"`
		TCP *struct {
			Port any `json:"port"`
		} `json:"tcpSocket"`
	}
	volume struct {
		Name   string `json:"name"`
		Config *struct {
			Name string `json:"name"`
		} `json:"configMap"`
		Secret *struct {
			Name string `json:"secretName"`
		} `json:"secret"`
		Empty *struct{} `json:"emptyDir"`
	}
)

const workloadField = "workload_content"

// workload reads a component that is described as a Kubernetes Deployment, in YAML or JSON: what it says takes the place of
// the body's own fields.
func (b *componentBody) workload() error {
	switch text(b.ConfigMode) {
	case "":
		return nil
	case "yaml":
	default:
		return fail.Field("config_mode", "%q is not yaml", *b.ConfigMode)
	}
	if text(b.Workload) == "" {
		return fail.Field(workloadField, "is required with config_mode yaml").Then("give a Deployment of apps/v1")
	}
	d, err := readDeployment(*b.Workload)
	if err != nil {
		return err
	}
	c := d.Spec.Template.Spec.Containers[0]
	b.Replica = d.Spec.Replicas
	b.UpdateStrategy = &strategy{Type: d.Spec.Strategy.Type, MaxSurge: d.Spec.Strategy.Rolling.Surge}
	if c.Image != "" {
		b.Source = &source{Kind: "image", URL: c.Image}
	}
	if len(c.Command)+len(c.Args) > 0 {
		b.Command = &command{Command: c.Command, Args: c.Args}
	}
	if len(c.Ports) > 0 {
		b.Port = c.Ports[0].Port
	}
	if b.LimitCPU, err = c.limit("cpu", 1); err != nil {
		return err
	}
	if b.LimitMemory, err = c.limit("memory", 1<<30); err != nil {
		return err
	}
	if b.Readiness, err = c.probe("readinessProbe", c.Readiness); err != nil {
		return err
	}
	if b.Liveness, err = c.probe("livenessProbe", c.Liveness); err != nil {
		return err
	}
	if b.PostStart, err = c.Lifecycle.PostStart.hook("postStart"); err != nil {
		return err
	}
	if b.PreStop, err = c.Lifecycle.PreStop.hook("preStop"); err != nil {
		return err
	}
	if err := b.variablesOf(&c); err != nil {
		return err
	}
	return b.volumesOf(&c, d.Spec.Template.Spec.Volumes)
}

func readDeployment(content string) (d deployment, err error) {
	var said map[string]any
	dec := yaml.NewDecoder(strings.NewReader(content))
	if err := dec.Decode(&said); err != nil {
		return d, fail.Field(workloadField, "is neither YAML nor JSON").Because(err)
	}
	if dec.Decode(new(map[string]any)) == nil {
		return d, fail.Field(workloadField, "holds more than one document").Then("give the Deployment alone; configs and secrets are resources of their own")
	}
	b, err := json.Marshal(said)
	if err == nil {
		err = json.Unmarshal(b, &d)
	}
	if err != nil {
		return d, fail.Field(workloadField, "is no Deployment").Because(err).Then("see the Deployment of apps/v1")
	}
	of := d.Spec.Template.Spec
	switch {
	case d.Kind != "Deployment":
		return d, fail.Field(workloadField+".kind", "%q cannot be run here", d.Kind).Then("give a Deployment: what it describes becomes a component; there is no Kubernetes behind it")
	case len(of.Init) > 0:
		return d, fail.Field(workloadField+".spec.template.spec.initContainers", "an instance is one container").Then("use the component's hook before a release")
	case len(of.Containers) != 1:
		return d, fail.Field(workloadField+".spec.template.spec.containers", "%d containers are given, an instance is one", len(of.Containers)).Then("make a component of each")
	}
	return d, nil
}

// limit reads a resource limit in the unit that many of a whole are; none and 0 are no limit of its own.
func (c *container) limit(name string, unit float64) (*float64, error) {
	v, ok := c.Resources.Limits[name]
	if !ok {
		return nil, nil
	}
	n, ok := quantity(v)
	if !ok {
		return nil, fail.Field(workloadField+".resources.limits."+name, "%v is not an amount", v).Then("write it as 500m, 0.5, 256Mi or 1Gi")
	}
	if n == 0 {
		return nil, nil
	}
	n /= unit
	return &n, nil
}

// quantity reads an amount as Kubernetes writes it: 0.5, 500m, 256Mi, 1G.
func quantity(v any) (float64, bool) {
	if n, ok := v.(float64); ok {
		return n, n >= 0
	}
	s, ok := v.(string)
	if !ok {
		return 0, false
	}
	factor := 1.0
	for suffix, f := range map[string]float64{"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12} {
		if number, is := strings.CutSuffix(s, suffix); is {
			s, factor = number, f
			break
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	return n * factor, err == nil && n >= 0 && !math.IsInf(n, 0)
}

// port finds a port by its number or its name.
func (c *container) port(v any) int {
	switch v := v.(type) {
	case float64:
		return int(v)
	case string:
		for _, p := range c.Ports {
			if p.Name == v {
				return p.Port
			}
		}
		n, _ := strconv.Atoi(v)
		return n
	}
	return 0
}

func (c *container) probe(field string, k *check) (*probe, error) {
	if k == nil {
		return nil, nil
	}
	p := &probe{Delay: k.Delay, Timeout: k.Timeout}
	switch {
	case k.HTTP != nil:
		p.Type, p.Path, p.Scheme, p.Port = "http", k.HTTP.Path, k.HTTP.Scheme, c.port(k.HTTP.Port)
	case k.TCP != nil:
		p.Type, p.Port = "tcp", c.port(k.TCP.Port)
	case k.Exec != nil:
		p.Type, p.Command = "command", k.Exec.Command
	default:
		return nil, fail.Field(workloadField+"."+field, "is none of httpGet, tcpSocket and exec")
	}
	return p, nil
}

func (h *handler) hook(field string) (*lifecycle, error) {
	if h == nil {
		return nil, nil
	}
	if h.Exec == nil {
		return nil, fail.Field(workloadField+".lifecycle."+field, "only commands run around an instance's life").Then("use exec")
	}
	return &lifecycle{Type: "command", Command: h.Exec.Command}, nil
}

func (b *componentBody) variablesOf(c *container) error {
	envs := []env{}
	for i, e := range c.Env {
		switch {
		case e.From == nil:
			envs = append(envs, env{Name: e.Name, Value: e.Value})
		case e.From.Secret != nil:
			b.Mounted = append(b.Mounted, config.Mount{Secret: e.From.Secret.Name, Key: e.From.Secret.Key, Variable: e.Name, As: "variables", Reload: "roll"})
		default:
			return fail.Field(workloadField+".env["+itoa(i)+"].valueFrom", "only secretKeyRef can be followed here").Then("take all lines of a config with envFrom, or write the value")
		}
	}
	b.Envs = &envs
	for i, f := range c.EnvFrom {
		m := config.Mount{As: "variables", Reload: "roll"}
		switch {
		case f.Config != nil:
			m.Config = f.Config.Name
		case f.Secret != nil:
			m.Secret = f.Secret.Name
		default:
			return fail.Field(workloadField+".envFrom["+itoa(i)+"]", "is neither configMapRef nor secretRef")
		}
		b.Mounted = append(b.Mounted, m)
	}
	return nil
}

func (b *componentBody) volumesOf(c *container, volumes []volume) error {
	out := []storage{}
	for i, v := range volumes {
		st := storage{Name: v.Name}
		switch {
		case v.Config != nil:
			st.Type, st.Parameters.Name = "ConfigMap", v.Config.Name
		case v.Secret != nil:
			st.Type, st.Parameters.Name = "Secret", v.Secret.Name
		case v.Empty != nil:
			st.Type = "EmptyDir"
		default:
			return fail.Field(workloadField+".volumes["+itoa(i)+"]", "volume %s cannot be mounted here", v.Name).
				Then("use configMap or secret for what programs read, emptyDir for what they may lose, a bucket or a database for what must last")
		}
		for _, m := range c.Mounts {
			if m.Name == v.Name {
				st.Mounts = append(st.Mounts, storageMount{Path: m.Path, SubPath: m.SubPath})
			}
		}
		out = append(out, st)
	}
	b.Storages = &out
	return nil
}
