package app

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// Strategies: how a new release takes the place of the one before.
const (
	strategyRolling  = "rolling"
	strategyRecreate = "recreate"
	strategyGray     = "gray"
)

// Rolling says how fast a rolling release goes.
type Rolling struct {
	Batches int       `json:"batches" doc:"in how many batches; 0: as the batch size says" min:"0" max:"50"`
	Size    int       `json:"batch_size" doc:"instances of one batch; 0: a quarter of them" min:"0" max:"50"`
	Surge   int       `json:"surge" doc:"instances that may run beyond the wanted number meanwhile; 0: one batch" min:"0" max:"50"`
	Pause   kind.Span `json:"pause" doc:"time between two batches" min:"0" max:"3600"`
}

// Rule is one condition on a request.
type Rule struct {
	Source string `json:"source" doc:"what of the request: header, cookie, query (a parameter) or address (the client's)" enum:"header,cookie,query,address" required:"true"`
	Name   string `json:"name" doc:"name of the header, cookie or parameter" max:"128" example:"X-Tester"`
	Op     string `json:"op" doc:"how it is compared; an address by prefix is compared with a network, 10.0.0.0/8 say" enum:"exact,prefix,regex" default:"exact"`
	Value  string `json:"value" doc:"what it is compared with" max:"1024" example:"yes"`
}

// Traffic says which requests go to a gray release, or along a lane: those that the rules match, and of the others a share.
type Traffic struct {
	Weight int    `json:"weight" doc:"share of the requests that no rule matches" unit:"%" min:"0" max:"100"`
	Match  string `json:"match" doc:"whether all rules must hold for a request, or any of them" enum:"all,any" default:"all"`
	Rules  []Rule `json:"rules,omitempty" doc:"conditions on a request" max:"20"`
	Sticky bool   `json:"sticky" doc:"keeps a client on its side of the weight, by a cookie"`
}

// GrayRelease says how a gray release begins and goes on.
type GrayRelease struct {
	Traffic
	Instances int   `json:"instances" doc:"new instances of the first batch; 0: as many as the weight asks for" min:"0" max:"50"`
	Steps     []int `json:"steps,omitempty" doc:"shares to go on to, one with each continue; after the last it is 100 %" max:"20"`
}

// Guard takes a release back by itself when it answers badly.
type Guard struct {
	ErrorRate int       `json:"error_rate" doc:"most of its answers that may be errors (status 500 and above); 0: not looked at" unit:"%" min:"0" max:"100"`
	Latency   kind.Span `json:"latency" doc:"time in which 95 of 100 answers must begin; 0: not looked at" min:"0" max:"300"`
	Requests  int       `json:"requests" doc:"answers to wait for before it is judged" default:"20" min:"1" max:"1000000"`
	Window    kind.Span `json:"window" doc:"how long it is observed after the last batch, before the release counts as live" min:"0" max:"1800"`
}

func (g Guard) on() bool { return g.ErrorRate > 0 || g.Latency > 0 }

func (g Guard) slow() time.Duration { return time.Duration(g.Latency) }

// Hook is a command that runs once for a release, in an instance of its own with the release's image, variables and limits.
type Hook struct {
	Command []string  `json:"command,omitempty" doc:"what to run; empty: nothing" max:"64"`
	Timeout kind.Span `json:"timeout" doc:"how long it may take" default:"5m" min:"1" max:"3600"`
}

// Hooks run around a release and in its instances.
type Hooks struct {
	Before    Hook `json:"before" doc:"before the release takes traffic, a migration say; when it fails the release fails"`
	After     Hook `json:"after" doc:"after the release went live; when it fails there is an event, and the release stays"`
	PostStart Hook `json:"post_start" doc:"in every instance after its start; it takes no requests before this succeeded"`
	PreStop   Hook `json:"pre_stop" doc:"in every instance before it is stopped, when it takes no more requests"`
}

// Gray is a gray release under way. It is stored, so that it outlives a restart of the cloud.
type Gray struct {
	Phase     string    `json:"phase" doc:"starting, open, finishing or returning"`
	Release   int       `json:"release" doc:"number of the new release"`
	Traffic             // in force
	Next      *Traffic  `json:"next,omitempty" doc:"what comes into force when enough new instances are ready"`
	Instances int       `json:"instances" doc:"new instances wanted"`
	Since     time.Time `json:"since"`
	Acting    time.Time `json:"acting,omitzero"` // when it was last taken back by itself
}

// Phases of a gray release.
const (
	grayStarting  = "starting"  // the first batch starts
	grayOpen      = "open"      // it serves its share, and waits for people to decide
	grayFinishing = "finishing" // it takes over
	grayReturning = "returning" // it is taken back
)

// HookRun is a hook's instance; it is written down before it exists.
type HookRun struct {
	ID      id.ID     `json:"id"`
	Name    string    `json:"name"`
	Began   time.Time `json:"began"`
	Done    bool      `json:"done,omitempty"`
	Failure string    `json:"failure,omitempty"`
}

// checkTraffic refuses rules that cannot be understood.
func checkTraffic(path string, t Traffic) error {
	for i, r := range t.Rules {
		at := fmt.Sprintf("%s.rules[%d]", path, i)
		if (r.Name == "") != (r.Source == "address") {
			if r.Name == "" {
				return fail.Field(at+".name", "is required for a %s", r.Source)
			}
			return fail.Field(at+".name", "an address has no name").Then("leave it out")
		}
		if _, err := r.compile(); err != nil {
			return fail.Field(at+".value", "%v", err)
		}
	}
	return nil
}

// compile makes a rule's test of a value.
func (r Rule) compile() (func(string) bool, error) {
	switch {
	case r.Op == "regex":
		re, err := regexp.Compile(r.Value)
		if err != nil {
			return nil, fmt.Errorf("%q is not a regular expression (RE2): %w", r.Value, err)
		}
		return re.MatchString, nil
	case r.Op == "prefix" && r.Source == "address":
		p, err := netip.ParsePrefix(r.Value)
		if err != nil {
			return nil, fmt.Errorf("%q is not a network, such as 10.0.0.0/8", r.Value)
		}
		return func(v string) bool {
			a, err := netip.ParseAddr(v)
			return err == nil && p.Contains(a)
		}, nil
	case r.Op == "prefix":
		return func(v string) bool { return strings.HasPrefix(v, r.Value) }, nil
	case r.Source == "address":
		want, err := netip.ParseAddr(r.Value)
		if err != nil {
			return nil, fmt.Errorf("%q is not an address", r.Value)
		}
		return func(v string) bool {
			a, err := netip.ParseAddr(v)
			return err == nil && a == want
		}, nil
	}
	return func(v string) bool { return v == r.Value }, nil
}

// checkRelease refuses what a release could not be made by.
func checkRelease(spec *ComponentSpec) error {
	if err := checkTraffic("spec.gray", spec.Gray.Traffic); err != nil {
		return err
	}
	last := 0
	for i, w := range spec.Gray.Steps {
		if w <= last || w > 100 {
			return fail.Field(fmt.Sprintf("spec.gray.steps[%d]", i), "the shares must rise, from 1 to 100")
		}
		last = w
	}
	if spec.Rolling.Batches > 0 && spec.Rolling.Size > 0 {
		return fail.Field("spec.rolling", "give either batches or batch_size, not both").Then("set the other one to 0")
	}
	return nil
}

// released is the part of a spec that a release is made of: all but how many instances run, how a release is made, and
// what the component is called and described by.
func released(spec ComponentSpec) ComponentSpec {
	spec.Replicas, spec.Stopped, spec.Strategy = 0, false, ""
	spec.Rolling, spec.Gray, spec.Guard, spec.Hooks = Rolling{}, GrayRelease{}, Guard{}, Hooks{}
	spec.Application, spec.Environment, spec.Description, spec.Foreign = "", "", "", ""
	return spec
}

// carryOver gives an earlier release's spec what does not belong to a release: how many instances run, and how releases
// are made and what everything is called by now.
func carryOver(earlier, now ComponentSpec) ComponentSpec {
	earlier.Application, earlier.Environment, earlier.Description = now.Application, now.Environment, now.Description
	earlier.Replicas, earlier.Stopped, earlier.Strategy = now.Replicas, now.Stopped, now.Strategy
	earlier.Rolling, earlier.Gray, earlier.Guard = now.Rolling, now.Gray, now.Guard
	return earlier
}

// words describes traffic to people: "10 % of the requests, and those with header X-Tester".
func (t Traffic) words() string {
	var rules []string
	for _, r := range t.Rules {
		rules = append(rules, strings.TrimSpace(r.Source+" "+r.Name))
	}
	share := fmt.Sprintf("%d %% of the requests", t.Weight)
	if len(rules) == 0 {
		return share
	}
	join := " and "
	if t.Match == "any" {
		join = " or "
	}
	return "the requests with matching " + strings.Join(rules, join) + ", and " + share + " beside them"
}
