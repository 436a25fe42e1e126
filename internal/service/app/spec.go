package app

import (
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/config"
)

// EnvironmentSpec describes where components run.
type EnvironmentSpec struct {
	Description string            `json:"description" doc:"what it is for" max:"255"`
	Egress      string            `json:"egress" doc:"where its components may connect to beyond the project: none, or public internet addresses" enum:"none,internet" default:"none"`
	Variables   map[string]string `json:"variables" doc:"environment variables given to every component in it" max:"200"`
	Foreign     string            `json:"foreign" form:"-" doc:"what a client of another cloud's API said that this cloud gives back and does not use" max:"65536"`
}

// EnvironmentStatus is empty: an environment is a rule, not a thing.
type EnvironmentStatus struct{}

// ApplicationSpec groups components that belong together.
type ApplicationSpec struct {
	Description string `json:"description" doc:"what it does" max:"255"`
	Foreign     string `json:"foreign" form:"-" doc:"what a client of another cloud's API said that this cloud gives back and does not use" max:"65536"`
}

// ApplicationStatus is empty.
type ApplicationStatus struct{}

// Source is what a component is made from: an uploaded folder or package, a git repository, or an image.
type Source struct {
	Digest     string `json:"digest" doc:"digest of an uploaded folder or package (the upload action gives it)" pattern:"^sha256:[0-9a-f]{64}$"`
	Image      string `json:"image" doc:"or an image of the registry: project/name:tag or project/name@sha256:...; or one of another registry by its full name, where the operator allows that registry" max:"512"`
	Dockerfile string `json:"dockerfile" doc:"path of the Dockerfile in the source; empty: Dockerfile where there is one, else a recipe for the detected stack" max:"255"`
	Stack      string `json:"stack" doc:"stack to build with, or one version of it (node, node-22); empty: detected" max:"63"`

	Git        GitSource `json:"git" doc:"or a git repository of somebody else"`
	Credential string    `json:"credential" doc:"what opens the repository, the other registry, or the package's host" ref:"app/credential"`
	Branch     string    `json:"branch" doc:"branch that is deployed when it is pushed to the component's own repository here" default:"main" pattern:"^[A-Za-z0-9_][A-Za-z0-9_./-]*$" max:"255"`
	Commit     string    `json:"commit" doc:"of an upload: the commit it was made from, for people" max:"300"`

	Package PackageSource `json:"package,omitzero" doc:"or a package that lies at an address"`
}

// Probe tells how to find out whether an instance can serve.
type Probe struct {
	Type     string    `json:"type" doc:"how to ask" enum:"tcp,http,command,none" default:"tcp"`
	Path     string    `json:"path" doc:"for http: the path; any status below 400 is healthy" default:"/" max:"255"`
	Command  []string  `json:"command" doc:"for command: what to run in the instance; exit code 0 is healthy" max:"64"`
	Interval kind.Span `json:"interval" doc:"time between two probes" default:"5s" min:"1" max:"300"`
	Timeout  kind.Span `json:"timeout" doc:"how long one may take" default:"2s" min:"1" max:"60"`
	Failures int       `json:"failures" doc:"failures in a row that make an instance unready" default:"3" min:"1" max:"20"`
	Grace    kind.Span `json:"grace" doc:"how long a new instance may take to become ready" default:"60s" min:"1" max:"1800"`
}

// ComponentSpec describes one deployable part of an application.
type ComponentSpec struct {
	Application string            `json:"application" doc:"the application it belongs to" ref:"app/application" default:"default" immutable:"true"`
	Environment string            `json:"environment" doc:"the environment it runs in" ref:"app/environment" default:"default" immutable:"true"`
	Source      Source            `json:"source" doc:"what it is made from"`
	Replicas    int               `json:"replicas" doc:"instances" default:"1" min:"0" max:"50"`
	CPU         int64             `json:"cpu" doc:"CPU limit of one instance" unit:"thousandths of a core" default:"500" min:"50" max:"64000"`
	Memory      int64             `json:"memory" doc:"memory limit of one instance" unit:"MiB" default:"256" min:"16" max:"1048576"`
	Storage     int64             `json:"storage" doc:"writable layer of one instance; it goes with the instance" unit:"MiB" default:"256" min:"16" max:"102400"`
	Pids        int64             `json:"pids" doc:"processes and threads of one instance" default:"256" min:"8" max:"32768"`
	Port        int               `json:"port" doc:"port the program listens on; given to it as PORT" default:"8080" min:"1" max:"65535"`
	Command     []string          `json:"command" doc:"replaces the image's command" max:"64"`
	Env         map[string]string `json:"env" doc:"environment variables" max:"200"`
	Secrets     map[string]string `json:"secrets" doc:"environment variables whose values are never shown again" secret:"true" max:"200"`
	Probe       Probe             `json:"probe" doc:"how to find out whether an instance can serve"`
	Liveness    Liveness          `json:"liveness,omitzero" doc:"how to find out whether an instance must be started anew"`
	Metrics     Metrics           `json:"metrics,omitzero" doc:"where its instances tell measurements of their own"`
	Strategy    string            `json:"strategy" doc:"rolling: new instances first, then the old ones go, in batches; recreate: the old ones go first, all at once; gray: new instances beside the old ones get a share of the requests, until it is continued or rolled back" enum:"rolling,recreate,gray" default:"rolling"`
	Rolling     Rolling           `json:"rolling,omitzero" doc:"how fast a rolling release goes"`
	Gray        GrayRelease       `json:"gray,omitzero" doc:"what a gray release gets first, and how it goes on"`
	Guard       Guard             `json:"guard,omitzero" doc:"takes a release back by itself when it answers badly"`
	Hooks       Hooks             `json:"hooks,omitzero" doc:"commands around a release and in its instances"`
	Stopped     bool              `json:"stopped" doc:"keeps no instance running"`
	Description string            `json:"description" doc:"what it does" max:"255"`
	Foreign     string            `json:"foreign" form:"-" doc:"what a client of another cloud's API said that this cloud gives back and does not use" max:"65536"`

	Mounts []config.Mount `json:"mounts,omitempty" doc:"configs and secrets that its instances get" max:"50"`
}

// ComponentStatus is what runs.
type ComponentStatus struct {
	URL       string     `json:"url" doc:"where it answers"`
	Address   string     `json:"address" doc:"its own loopback address"`
	Host      string     `json:"host" doc:"its own host name"`
	Image     string     `json:"image" doc:"what runs, by digest"`
	Stack     string     `json:"stack" doc:"what it was built with"`
	Commit    string     `json:"commit,omitempty" doc:"commit that runs"`
	Release   int        `json:"release" doc:"number of the live release"`
	ReleaseID id.ID      `json:"release_id"`
	Ready     int        `json:"ready" doc:"instances that can serve"`
	Instances []Instance `json:"instances" doc:"what should run, and how it does"`

	Built   *Built   `json:"built,omitempty" doc:"the newest image that was built, live or not"`
	Next    *Rollout `json:"next,omitempty" doc:"the release that is being rolled out"`
	Running string   `json:"running,omitempty" doc:"hash of the configuration that runs"`
	Gray    *Gray    `json:"gray,omitempty" doc:"a gray release under way"`
	Hook    *HookRun `json:"hook,omitempty" doc:"a hook that runs now"`
	Numbers int      `json:"numbers,omitempty" doc:"releases made so far"`
	Nonce   string   `json:"nonce,omitempty" doc:"changes with every restart that was asked for"`

	Pins   config.Pins `json:"pins,omitempty" doc:"versions of configs and secrets that run"`
	Config string      `json:"config,omitempty" doc:"fingerprint of the configuration that was rolled out last, or tried"`
}

// Built remembers what an image was made from, so that the same is not built again.
type Built struct {
	From  string `json:"from"`
	Image string `json:"image"`
	Stack string `json:"stack"`

	Commit string `json:"commit,omitempty"`
}

// Rollout is a release on its way.
type Rollout struct {
	Release id.ID  `json:"release"`
	Number  int    `json:"number"`
	Image   string `json:"image"`
	Stack   string `json:"stack"`
	Hash    string `json:"hash"`
	Note    string `json:"note,omitempty"`
	Plain   bool   `json:"plain,omitempty"` // a restart or a roll back: rolled out at once, without hooks

	Batch  int       `json:"batch,omitempty" doc:"batches that are through"`
	Resume time.Time `json:"resume,omitzero" doc:"when the next batch begins"`
	Rolled time.Time `json:"rolled,omitzero" doc:"when the last batch was through"`
	Hooked bool      `json:"hooked,omitempty" doc:"the hook before it has succeeded"`

	Tally *Tally `json:"tally,omitempty" doc:"its answers so far, for the guard"`

	Pins   config.Pins `json:"pins,omitempty"`
	Commit string      `json:"commit,omitempty"`
	Again  bool        `json:"again,omitempty" doc:"build although nothing changed"`
}

// Instance is one running copy.
type Instance struct {
	ID       id.ID     `json:"id"`
	Release  int       `json:"release" doc:"number of the release it runs"`
	Hash     string    `json:"hash"`
	Phase    string    `json:"phase" doc:"planned, starting, ready, unready, exited, leaving"`
	Address  string    `json:"address,omitempty"`
	Started  time.Time `json:"started,omitzero"`
	Restarts int       `json:"restarts"`
	LastExit string    `json:"last_exit,omitempty" doc:"why it last ended"`
	RetryAt  time.Time `json:"retry_at,omitzero" doc:"when it is started again"`

	Live config.Pins `json:"live,omitempty" doc:"versions of the configs and secrets that are replaced while it runs"`
}

// ReleaseSpec is one version of a component as it was deployed: enough to go back to it.
type ReleaseSpec struct {
	Component string `json:"component" doc:"the component's id" ref:"app/component"`
	Number    int    `json:"number" doc:"counts up from 1"`
	Image     string `json:"image" doc:"by digest"`
	Source    Source `json:"source" doc:"what it was built from"`
	Stack     string `json:"stack" doc:"what it was built with"`
	Commit    string `json:"commit" doc:"commit it was built from"`
	Config    string `json:"config" doc:"the component's spec at that time, secrets sealed" secret:"true"`
	By        string `json:"by" doc:"who deployed it"`
	Note      string `json:"note" doc:"why: deploy, rollback to 3, configuration"`
	Foreign   string `json:"foreign,omitempty" form:"-" doc:"the component's foreign at that time" max:"65536"`
}

// ReleaseStatus tells what became of it.
type ReleaseStatus struct {
	State string    `json:"rollout" doc:"rolling, gray, live, superseded, rolled back or failed"`
	Live  time.Time `json:"live,omitzero" doc:"when it went live"`
}

type (
	environmentRow = kind.Row[EnvironmentSpec, EnvironmentStatus]
	applicationRow = kind.Row[ApplicationSpec, ApplicationStatus]
	componentRow   = kind.Row[ComponentSpec, ComponentStatus]
	releaseRow     = kind.Row[ReleaseSpec, ReleaseStatus]
)
