package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"
)

var buildStep = regexp.MustCompile(`(?m)^\s+build\s+([\d.a-z]+)\s*$`)

// builds compares the first build of an app in a project with one of the same app in which nothing changed, and one after
// a change to one file. Each is of a component of its own, so that each is really built; what is timed is the step
// "build" of its deploy. The base images are made before, by another project.
func builds(b *bench) {
	if !b.cold {
		b.Logf("bench: not measured without -cold")
		return
	}
	p := b.cloud()
	src := filepath.Join(b.dir, "builds-src")
	if err := os.CopyFS(src, os.DirFS("examples/guestbook")); err != nil {
		b.Fatalf("%v", err)
	}
	awan := func(args ...string) string {
		out, err := exec.Command(binary, append(args, "--data", p.Data)...).CombinedOutput()
		if err != nil {
			b.Fatalf("awan %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	build := func(project, name string) float64 {
		out := awan("deploy", src, "--name", name, "--memory", "64", "--project", project)
		m := buildStep.FindStringSubmatch(out)
		if m == nil {
			b.Fatalf("no step build in:\n%s", out)
		}
		d, err := time.ParseDuration(m[1])
		if err != nil {
			b.Fatalf("%v", err)
		}
		return d.Seconds()
	}
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(src, "bench.go"), []byte("package main\n\n"+text), 0o600); err != nil {
			b.Fatalf("%v", err)
		}
	}
	awan("project", "create", "bases")
	build("bases", "bases")
	var first, unchanged, changed []float64
	for i := range 3 {
		project := fmt.Sprintf("builds-%d", i)
		awan("project", "create", project)
		write(fmt.Sprintf("const bench = %q\n\nvar _ = bench\n", time.Now()))
		first = append(first, build(project, "first"))
		unchanged = append(unchanged, build(project, "second"))
		write(fmt.Sprintf("const other = %q\n\nvar _ = other\n", time.Now()))
		changed = append(changed, build(project, "third"))
	}
	b.add("build of examples/guestbook, the first in its project", "s", median(first))
	b.add("build of the same, nothing changed", "s", median(unchanged))
	b.add("first build beside the unchanged one", "times", median(first)/max(median(unchanged), 0.05)).aim(">= 5")
	b.add("build after a change to one file", "s", median(changed))
}
