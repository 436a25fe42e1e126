package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"pgregory.net/rapid"

	"github.com/awancloud/awan/internal/kernel/store"
)

// step is one thing a random transaction does: get, put, delete, scan.
type step struct {
	do    byte // 'g', 'p', 'd', 's'
	key   int
	value string
}

// program is a random transaction.
type program struct {
	view  bool
	abort bool // an Update that ends with an error
	steps []step
}

// world is the state of the few keys that a history is about; "" is absent.
type world [3]string

func (w world) key(i int) string { return fmt.Sprint("h/", i) }

// run is what the program must see and leave when nothing else happens meanwhile.
func (p program) run(w world) (seen string, after world) {
	before := w
	var out strings.Builder
	for _, s := range p.steps {
		switch s.do {
		case 'g':
			fmt.Fprintf(&out, "%q ", w[s.key])
		case 's':
			for i, v := range w {
				if v != "" {
					fmt.Fprintf(&out, "%d=%q ", i, v)
				}
			}
			out.WriteString("; ")
		case 'p':
			w[s.key] = s.value
		case 'd':
			w[s.key] = ""
		}
	}
	if p.abort {
		w = before
	}
	return out.String(), w
}

var errAbort = errors.New("abort")

// do runs the program against a store and gives what it saw.
func (p program) do(t testing.TB, s store.Store) (string, error) {
	var w world
	var out strings.Builder
	fn := func(tx store.Tx) error {
		out.Reset()
		for _, s := range p.steps {
			key := w.key(s.key)
			switch s.do {
			case 'g':
				v, _, err := tx.Get(key)
				if err != nil {
					return err
				}
				fmt.Fprintf(&out, "%q ", v)
			case 's':
				for k, v := range tx.Scan("h/", "") {
					fmt.Fprintf(&out, "%s=%q ", strings.TrimPrefix(k, "h/"), v)
				}
				out.WriteString("; ")
			case 'p':
				if err := tx.Put(key, []byte(s.value)); err != nil {
					return err
				}
			case 'd':
				if err := tx.Delete(key); err != nil {
					return err
				}
			}
			runtime.Gosched()
		}
		if p.abort {
			return errAbort
		}
		return nil
	}
	var err error
	if p.view {
		err = s.View(ctx(t), fn)
	} else {
		_, err = s.Update(ctx(t), fn)
	}
	if p.abort && errors.Is(err, errAbort) {
		err = nil
	}
	return out.String(), err
}

// testHistories runs random transactions side by side and has porcupine look for an order that explains them all.
func testHistories(t *testing.T, open Factory) {
	const rounds, clients, each = 8, 5, 20
	model := porcupine.Model{
		Init: func() any { return world{} },
		Step: func(state, input, output any) (bool, any) {
			seen, after := input.(program).run(state.(world))
			return seen == output.(string), after
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %s", input, output) },
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for round := range rounds {
		s := open(t)
		var mu sync.Mutex
		var history []porcupine.Operation
		began := time.Now()
		var wg sync.WaitGroup
		for c := range clients {
			r := rand.New(rand.NewPCG(seed, uint64(round*clients+c)))
			wg.Go(func() {
				for n := range each {
					p := randomProgram(r, fmt.Sprintf("%d.%d", c, n))
					call := time.Since(began)
					seen, err := p.do(t, s)
					back := time.Since(began)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					history = append(history, porcupine.Operation{ClientId: c, Input: p, Call: int64(call), Output: seen, Return: int64(back)})
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if got, info := porcupine.CheckOperationsVerbose(model, history, 20*time.Second); got == porcupine.Illegal {
			file := t.ArtifactDir() + "/history.html"
			_ = porcupine.VisualizePath(model, info, file)
			t.Fatalf("no order of these %d transactions explains what they saw: %s", len(history), file)
		} else if got == porcupine.Unknown {
			t.Logf("round %d: porcupine gave up", round)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func randomProgram(r *rand.Rand, name string) program {
	p := program{view: r.IntN(3) == 0}
	p.abort = !p.view && r.IntN(8) == 0
	for i := range 1 + r.IntN(4) {
		do := "gs"[r.IntN(2)]
		if !p.view {
			do = "ggppds"[r.IntN(6)]
		}
		p.steps = append(p.steps, step{do: do, key: r.IntN(len(world{})), value: fmt.Sprint(name, ".", i)})
	}
	return p
}

// testModel lets rapid drive a store and a map side by side.
func testModel(t *testing.T, open Factory) {
	rapid.Check(t, func(rt *rapid.T) {
		s := open(t)
		defer func() {
			if err := s.Close(); err != nil {
				rt.Error(err)
			}
		}()
		m := &machine{s: s, want: map[string]string{}}
		key := rapid.StringMatching(`[ab/\x00]{1,4}`)
		if rapid.Bool().Draw(rt, "high bytes") {
			key = rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 'a', 0xfe, 0xff}), 1, 4), func(b []byte) string { return string(b) })
		}
		rt.Repeat(map[string]func(*rapid.T){
			"update":   func(rt *rapid.T) { m.update(t, rt, key) },
			"scan":     func(rt *rapid.T) { m.scan(t, rt, key) },
			"snapshot": func(rt *rapid.T) { m.snapshot(t, rt) },
			"restore":  func(rt *rapid.T) { m.restore(t, rt) },
			"":         func(rt *rapid.T) { m.check(t, rt) },
		})
		m.replay(t, rt)
	})
}

type machine struct {
	s       store.Store
	want    map[string]string
	rev     store.Rev
	changes []store.Change // since the last restore, before which the watch is gone
	since   store.Rev
	copy    []byte
	copied  map[string]string
	copyRev store.Rev
}

func (m *machine) update(t testing.TB, rt *rapid.T, key *rapid.Generator[string]) {
	after, touched := maps.Clone(m.want), map[string]bool{}
	abort := rapid.IntRange(0, 5).Draw(rt, "abort") == 0
	type op struct{ key, value, do string }
	var ops []op
	for range rapid.IntRange(0, 5).Draw(rt, "writes") {
		ops = append(ops, op{key.Draw(rt, "key"), rapid.StringN(0, 5, -1).Draw(rt, "value"), rapid.SampledFrom([]string{"put", "put", "delete"}).Draw(rt, "do")})
	}
	rev, err := m.s.Update(ctx(t), func(tx store.Tx) error {
		after, touched = maps.Clone(m.want), map[string]bool{}
		for _, o := range ops {
			touched[o.key] = true
			if o.do == "put" {
				after[o.key] = o.value
				if err := tx.Put(o.key, []byte(o.value)); err != nil {
					return err
				}
			} else {
				delete(after, o.key)
				if err := tx.Delete(o.key); err != nil {
					return err
				}
			}
			if v, ok, err := tx.Get(o.key); err != nil || string(v) != after[o.key] || ok != (o.do == "put") {
				return fmt.Errorf("reads %q, %v, %v after %+v", v, ok, err, o)
			}
		}
		got := map[string]string{}
		if scan(tx, "", "", got); !maps.Equal(got, after) {
			return fmt.Errorf("scans %q, want %q", got, after)
		}
		if abort {
			return errAbort
		}
		return nil
	})
	if abort {
		if !errors.Is(err, errAbort) {
			rt.Fatal(err)
		}
		return
	}
	if err != nil {
		rt.Fatal(err)
	}
	var changes []store.Change
	for _, k := range slices.Sorted(maps.Keys(touched)) {
		_, was := m.want[k]
		if v, is := after[k]; is {
			changes = append(changes, store.Change{Rev: m.rev + 1, Key: k, Value: []byte(v)})
		} else if was {
			changes = append(changes, store.Change{Rev: m.rev + 1, Key: k, Deleted: true})
		}
	}
	if len(changes) > 0 {
		m.rev++
	}
	m.changes, m.want = append(m.changes, changes...), after
	if rev != m.rev {
		rt.Fatalf("the commit has revision %d, want %d", rev, m.rev)
	}
}

func (m *machine) scan(t testing.TB, rt *rapid.T, key *rapid.Generator[string]) {
	some := rapid.OneOf(key, rapid.Just(""))
	prefix, after := some.Draw(rt, "prefix"), some.Draw(rt, "after")
	var want []string
	for _, k := range slices.Sorted(maps.Keys(m.want)) {
		if strings.HasPrefix(k, prefix) && k > after {
			want = append(want, k)
		}
	}
	if _, got, _ := dump(t, m.s, prefix, after); !slices.Equal(got, want) {
		rt.Fatalf("Scan(%q, %q) = %q, want %q", prefix, after, got, want)
	}
}

func (m *machine) snapshot(t testing.TB, rt *rapid.T) {
	var buf bytes.Buffer
	rev, err := m.s.Snapshot(ctx(t), &buf)
	if err != nil || rev != m.rev {
		rt.Fatalf("snapshot of %d, want %d: %v", rev, m.rev, err)
	}
	m.copy, m.copied, m.copyRev = buf.Bytes(), maps.Clone(m.want), m.rev
}

func (m *machine) restore(t testing.TB, rt *rapid.T) {
	if m.copy == nil || rapid.IntRange(0, 3).Draw(rt, "seldom") > 0 {
		rt.Skip()
	}
	if err := m.s.Restore(ctx(t), bytes.NewReader(m.copy)); err != nil {
		rt.Fatal(err)
	}
	m.want, m.rev, m.changes = maps.Clone(m.copied), max(m.rev, m.copyRev)+1, nil
	m.since = m.rev
}

func (m *machine) check(t testing.TB, rt *rapid.T) {
	if got, _, rev := dump(t, m.s, "", ""); !maps.Equal(got, m.want) || rev != m.rev || m.s.Rev() != m.rev {
		rt.Fatalf("revision %d is %q, want %d, %q", rev, got, m.rev, m.want)
	}
}

// replay compares what a watcher is told with what was done.
func (m *machine) replay(t testing.TB, rt *rapid.T) {
	got := collect(t, m.s, "", m.since, len(m.changes))
	for i, w := range m.changes {
		if g := got[i]; g.Rev != w.Rev || g.Key != w.Key || !bytes.Equal(g.Value, w.Value) || g.Deleted != w.Deleted {
			rt.Fatalf("change %d is %+v, want %+v", i, g, w)
		}
	}
}
