// Package main measures the whole cloud as its users meet it: the real program, as a process, over TLS. It prints a
// table and, with -out, writes one JSON object a line. Figures say little by themselves on a machine that does other
// things too: the load at the moment stands beside each, and a peer measured in the same run where there is one.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// row is one figure.
type row struct {
	Name  string   `json:"name"`
	Unit  string   `json:"unit"`
	Value float64  `json:"value"`
	Aim   string   `json:"aim,omitempty"`
	Peer  *float64 `json:"peer"` // the same of what it is compared with
	Load  float64  `json:"load"` // processes that wanted to run in the last minute
	note  string
}

// bench is a run.
type bench struct {
	rows  []row
	undo  []func()
	dir   string
	nrows int64
	cold  bool
	whole bool
}

// stopped is how Fatalf ends a section.
type stopped struct{ why string }

func main() {
	out := flag.String("out", "", "write one JSON object a line to this `FILE`")
	only := flag.String("only", "", "run only the sections named, comma-separated")
	b := &bench{}
	flag.Int64Var(&b.nrows, "rows", 100_000, "rows of the big table")
	flag.BoolVar(&b.cold, "cold", os.Getenv("AWAN_LONG") != "", "deploy the example app too, from nothing: it takes minutes")
	flag.BoolVar(&b.whole, "whole", false, "uploads: all 64 GiB, each freed again behind its writer")
	flag.Parse()
	os.Exit(b.main(*out, *only))
}

func (b *bench) main(out, only string) int {
	var err error
	if b.dir, err = os.MkdirTemp("", "awan-bench-"); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	b.Cleanup(func() { _ = os.RemoveAll(b.dir) })
	defer b.cleanup()
	began, failed := time.Now(), 0
	for _, s := range sections {
		if only != "" && !slices.Contains(strings.Split(only, ","), s.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s …\n", s.name)
		if why := b.section(s.run); why != "" {
			failed++
			fmt.Fprintf(os.Stderr, "bench: %s: %s\n", s.name, why)
		}
	}
	b.table(began)
	if out != "" {
		if err := b.write(out); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			return 1
		}
	}
	return min(failed, 1)
}

// section runs one group of measurements and takes away what it made.
func (b *bench) section(run func(*bench)) (why string) {
	before := len(b.undo)
	defer func() {
		if p := recover(); p != nil {
			s, ok := p.(stopped)
			if !ok {
				panic(p)
			}
			why = s.why
		}
		for len(b.undo) > before {
			b.pop()
		}
	}()
	run(b)
	return ""
}

func (b *bench) pop() {
	last := b.undo[len(b.undo)-1]
	b.undo = b.undo[:len(b.undo)-1]
	last()
}

func (b *bench) cleanup() {
	for len(b.undo) > 0 {
		b.pop()
	}
}

// Cleanup and the rest make a bench what cloudtest reports to.
func (b *bench) Cleanup(f func())          { b.undo = append(b.undo, f) }
func (b *bench) Helper()                   {}
func (b *bench) Logf(f string, a ...any)   { fmt.Fprintf(os.Stderr, f+"\n", a...) }
func (b *bench) Errorf(f string, a ...any) { b.Logf(f, a...) }
func (b *bench) Fatalf(f string, a ...any) { panic(stopped{fmt.Sprintf(f, a...)}) }
func (b *bench) Skipf(f string, a ...any)  { b.Fatalf(f, a...) }
func (b *bench) add(name, unit string, v float64) *row {
	b.rows = append(b.rows, row{Name: name, Unit: unit, Value: v, Load: loadAverage()})
	return &b.rows[len(b.rows)-1]
}

func (r *row) aim(s string) *row { r.Aim = s; return r }

func (r *row) beside(v float64, what string) *row { r.Peer, r.note = &v, what; return r }

func (b *bench) table(began time.Time) {
	fmt.Printf("%s, %d cores, %s\n", began.UTC().Format("2006-01-02 15:04 MST"), runtime.NumCPU(), time.Since(began).Round(time.Second))
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WHAT\tVALUE\tUNIT\tAIM\tPEER\tLOAD")
	for _, r := range b.rows {
		peer := ""
		if r.Peer != nil {
			peer = fmt.Sprintf("%s %s", figure(*r.Peer), r.note)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.1f\n", r.Name, figure(r.Value), r.Unit, r.Aim, peer, r.Load)
	}
	_ = w.Flush()
}

func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func (b *bench) write(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	e := json.NewEncoder(f)
	e.SetEscapeHTML(false)
	for _, r := range b.rows {
		if err := e.Encode(r); err != nil {
			return err
		}
	}
	return f.Close()
}

func loadAverage() (l float64) {
	s, _ := os.ReadFile("/proc/loadavg")
	_, _ = fmt.Sscan(string(s), &l)
	return l
}
