package sim

import (
	"context"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/workload"
)

// Step is one thing a simulated program does. In a command they are words: {"sim", "out:hello", "wait:50ms", "exit:3"}.
type Step struct {
	Out, Err string        // a line
	Env      string        // "NAME=value" of this variable as a line
	Wait     time.Duration // time that passes
	OOM      bool          // reaches its memory limit
	Forever  bool          // stays until told to end
	Stubborn bool          // stays, deaf to SIGTERM
	Exit     *int          // ends with this code
}

// program reads a command in Steps' words; any other command runs for ever.
func program(w workload.Want) []Step {
	if len(w.Command) == 0 || w.Command[0] != "sim" {
		return []Step{{Forever: true}}
	}
	var out []Step
	for _, word := range w.Command[1:] {
		verb, arg, _ := strings.Cut(word, ":")
		switch verb {
		case "out":
			out = append(out, Step{Out: arg})
		case "err":
			out = append(out, Step{Err: arg})
		case "env":
			out = append(out, Step{Env: arg})
		case "wait":
			d, _ := time.ParseDuration(arg)
			out = append(out, Step{Wait: d})
		case "oom":
			out = append(out, Step{OOM: true})
		case "forever":
			out = append(out, Step{Forever: true})
		case "stubborn":
			out = append(out, Step{Stubborn: true})
		case "exit":
			n, _ := strconv.Atoi(arg)
			out = append(out, Step{Exit: &n})
		}
	}
	return out
}

func stubborn(w workload.Want) bool {
	return slices.ContainsFunc(program(w), func(s Step) bool { return s.Stubborn })
}

// perform does the steps until the last or until told to end. Without an exit step the code is 0.
func (e *Engine) perform(in *instance, w workload.Want, steps []Step, kill chan exit) exit {
	for _, s := range steps {
		switch {
		case s.Wait > 0:
			t := time.NewTimer(s.Wait)
			select {
			case <-t.C:
			case x := <-kill:
				t.Stop()
				return x
			}
		case s.OOM:
			return exit{code: 137, oom: true}
		case s.Forever, s.Stubborn:
			return <-kill
		case s.Exit != nil:
			return exit{code: *s.Exit}
		case s.Err != "":
			e.print(in, "stderr", s.Err)
		case s.Env != "":
			e.print(in, "stdout", s.Env+"="+environment(w)[s.Env])
		default:
			e.print(in, "stdout", s.Out)
		}
		select {
		case x := <-kill:
			return x
		default:
		}
	}
	return exit{}
}

func environment(w workload.Want) map[string]string {
	env := maps.Clone(w.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, w.Secrets)
	return env
}

// Exec implements workload.Engine.
func (e *Engine) Exec(ctx context.Context, i id.ID, x workload.Exec) (int, error) {
	c := Call{Method: "Exec", Instance: i}
	if err := e.before(ctx, c); err != nil {
		return 0, err
	}
	if len(x.Command) == 0 {
		return 0, fail.Field("command", "is needed")
	}
	e.mu.Lock()
	in := e.instances[i]
	known := in != nil && in.seen.WantHash != ""
	var want workload.Want
	running := false
	if known {
		want, running = in.want, in.seen.Phase == workload.PhaseRunning
		for p, b := range in.user {
			want.Files = append(slices.Clone(want.Files), workload.File{Path: p, Content: b})
		}
	}
	e.mu.Unlock()
	switch {
	case !known:
		return 0, fail.New(fail.Gone, "instance %s does not exist", i)
	case !running:
		return 0, fail.New(fail.Precondition, "the instance does not run").Then("start it first")
	}
	do := e.o.Exec
	if do == nil {
		do = builtin
	}
	code, err := do(ctx, i, want, x)
	return code, e.after(ctx, c, err)
}

// builtin knows the few commands that tests of this port use.
func builtin(_ context.Context, _ id.ID, w workload.Want, x workload.Exec) (int, error) {
	out := x.Stdout
	if out == nil {
		out = io.Discard
	}
	switch x.Command[0] {
	case "true":
	case "false":
		return 1, nil
	case "echo":
		_, err := io.WriteString(out, strings.Join(x.Command[1:], " ")+"\n")
		return 0, err
	case "cat":
		if len(x.Command) == 2 {
			for _, f := range w.Files {
				if f.Path == x.Command[1] {
					_, err := out.Write(f.Content)
					return 0, err
				}
			}
			return 1, nil
		}
		if x.Stdin != nil {
			_, err := io.Copy(out, x.Stdin)
			return 0, err
		}
	case "env":
		env := environment(w)
		maps.Copy(env, x.Env)
		for _, k := range slices.Sorted(maps.Keys(env)) {
			if _, err := io.WriteString(out, k+"="+env[k]+"\n"); err != nil {
				return 0, err
			}
		}
	case "sh":
		if len(x.Command) == 3 {
			if n, ok := strings.CutPrefix(x.Command[2], "exit "); ok {
				return strconv.Atoi(n)
			}
		}
		return 127, nil
	default:
		return 0, fail.New(fail.Invalid, "the command %q is not in the image", x.Command[0])
	}
	return 0, nil
}
