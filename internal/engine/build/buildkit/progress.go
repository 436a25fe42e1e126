package buildkit

import (
	"bytes"
	"regexp"
	"strings"
	"sync"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"

	"github.com/awancloud/awan/internal/service/build"
)

// reporter turns BuildKit's stream of states into the port's steps and lines, one call at a time.
type reporter struct {
	mu     sync.Mutex
	to     build.Progress
	names  map[string]string // by vertex
	begun  map[digest.Digest]bool
	ended  map[digest.Digest]bool
	rest   map[digest.Digest][]byte // a line not yet ended
	failed string                   // the name of the step that failed first
	cut    string                   // the name of the step that was ended while it ran
	steps  int
	cached int
	// unreached are the steps that said that an address cannot be reached.
	unreached map[digest.Digest]bool
}

// nobodyThere is how package managers, git and compilers say that a name is not found or an address does not answer.
var nobodyThere = regexp.MustCompile(`(?i)name or service not known|temporary failure (in name resolution|resolving)|no such host|unknown ?host|ENOTFOUND|EAI_AGAIN|could not resolve host|network is unreachable|ENETUNREACH|server misbehaving`)

func newReporter(to build.Progress) *reporter {
	return &reporter{to: to, names: map[string]string{}, begun: map[digest.Digest]bool{}, ended: map[digest.Digest]bool{},
		rest: map[digest.Digest][]byte{}, unreached: map[digest.Digest]bool{}}
}

// log passes a line of our own on.
func (r *reporter) log(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.line(line)
}

func (r *reporter) line(line string) {
	if r.to != nil {
		r.to.Log(line)
	}
}

// follow reports until the stream ends.
func (r *reporter) follow(statuses <-chan *client.SolveStatus) {
	for s := range statuses {
		r.mu.Lock()
		for _, v := range s.Vertexes {
			r.vertex(v)
		}
		for _, l := range s.Logs {
			r.output(l.Vertex, l.Data)
		}
		for _, w := range s.Warnings {
			r.line("warning: " + string(w.Short))
		}
		r.mu.Unlock()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for v := range r.rest {
		r.flush(v)
	}
}

func (r *reporter) vertex(v *client.Vertex) {
	if strings.HasPrefix(v.Name, "[internal]") { // how the frontend reads the Dockerfile and the source
		return
	}
	name := display(v.Name)
	r.names[v.Digest.String()] = name
	step := build.Step{ID: v.Digest.String(), Name: name, Cached: v.Cached, Err: v.Error}
	if v.Started != nil {
		step.Started = v.Started.UTC()
	}
	if v.Started != nil && !r.begun[v.Digest] {
		r.begun[v.Digest] = true
		r.step(step)
	}
	if v.Completed != nil && !r.ended[v.Digest] {
		r.ended[v.Digest] = true
		step.Ended = v.Completed.UTC()
		if step.Started.IsZero() { // a cached step never starts
			step.Started = step.Ended
		}
		r.flush(v.Digest)
		if strings.HasPrefix(v.Name, "[") {
			r.steps++
			if v.Cached {
				r.cached++
			}
		}
		if v.Error != "" {
			if cut := strings.Contains(v.Error, "context canceled"); cut && r.cut == "" {
				r.cut = name
			} else if !cut && r.failed == "" {
				r.failed = name
			}
		}
		r.step(step)
	}
}

var (
	digestOf  = regexp.MustCompile(`@sha256:[0-9a-f]{64}`)
	mountFlag = regexp.MustCompile(` --mount=\S+`)
)

// display is a step's name as a person reads it: on one line, without digests and cache mounts.
func display(name string) string {
	return strings.Join(strings.Fields(mountFlag.ReplaceAllString(digestOf.ReplaceAllString(name, ""), "")), " ")
}

func (r *reporter) step(s build.Step) {
	if r.to != nil {
		r.to.Step(s)
	}
}

// output cuts what a step prints into lines.
func (r *reporter) output(v digest.Digest, data []byte) {
	rest := append(r.rest[v], data...)
	for {
		line, after, found := bytes.Cut(rest, []byte("\n"))
		if !found {
			break
		}
		if nobodyThere.Match(line) {
			r.unreached[v] = true
		}
		r.line(clean(line))
		rest = after
	}
	if len(rest) > 16<<10 { // no end of line in sight
		r.line(clean(rest))
		rest = nil
	}
	r.rest[v] = rest
}

func (r *reporter) flush(v digest.Digest) {
	if rest := r.rest[v]; len(rest) > 0 {
		r.line(clean(rest))
	}
	delete(r.rest, v)
}

// clean keeps what a carriage return left visible, and no control characters but tabs.
func clean(line []byte) string {
	line = bytes.TrimRight(line, "\r")
	if i := bytes.LastIndexByte(line, '\r'); i >= 0 {
		line = line[i+1:]
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' && c != '\t' && c != '\x1b' || c == 0x7f {
			return -1
		}
		return c
	}, strings.ToValidUTF8(string(line), "?"))
}

func (r *reporter) counts() (steps, cached int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.steps, r.cached
}

// failure is the step that failed, or that was running when the build was ended.
func (r *reporter) failure(vertex string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if step := r.names[vertex]; step != "" {
		return step
	}
	if r.failed != "" {
		return r.failed
	}
	return r.cut
}

// reachedNobody tells whether a step said that an address it needs cannot be reached.
func (r *reporter) reachedNobody(vertex string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.unreached[digest.Digest(vertex)]
}
