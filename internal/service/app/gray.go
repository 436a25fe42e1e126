package app

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/awancloud/awan/internal/kernel/event"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/job"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// beginGray makes the release that was just planned a gray one, where the strategy says so and there is something to
// run beside.
func (s *Service) beginGray(row *componentRow) {
	st := &row.Status
	if row.Spec.Strategy != strategyGray || st.Next.Plain || st.Running == "" || wanted(row) == 0 {
		return
	}
	first := row.Spec.Gray.Traffic
	st.Gray = &Gray{Phase: grayStarting, Release: st.Next.Number, Traffic: Traffic{Match: "all", Sticky: first.Sticky}, Next: &first, Since: s.Now().UTC()}
	s.sizeGray(row)
}

// sizeGray says how many instances the gray release needs for its share.
func (s *Service) sizeGray(row *componentRow) {
	g := row.Status.Gray
	t := &g.Traffic
	if g.Next != nil {
		t = g.Next
	}
	want := wanted(row)
	g.Instances = 0
	if want > 0 {
		g.Instances = max(row.Spec.Gray.Instances, (want*t.Weight+99)/100, 1)
	}
}

// returning tells that a gray release is being taken back.
func (st *ComponentStatus) returning() bool { return st.Gray != nil && st.Gray.Phase == grayReturning }

// divide tells the ingress which requests go to a gray release: it is asked whenever the component is looked at, so a
// restart of the cloud changes nothing.
func (s *Service) divide(row *componentRow) {
	s.Ingress.backend(row.ID).tallies.setSlow(row.Spec.Guard.slow())
	g := row.Status.Gray
	switch {
	case g == nil || g.Phase == grayFinishing:
		s.Ingress.Divide(row.ID, 0, nil)
	case g.Phase == grayReturning:
		s.Ingress.Divide(row.ID, g.Release, &Traffic{})
	default:
		s.Ingress.Divide(row.ID, g.Release, &g.Traffic)
	}
}

// rollGray brings the instances of both releases to their numbers, and the new traffic into force when enough are ready.
func (s *Service) rollGray(ctx context.Context, row *componentRow) error {
	st := &row.Status
	g := st.Gray
	if g.Phase == grayStarting {
		if err := s.guard(row); err != nil {
			return err
		}
	}
	ready, starting := map[string]int{}, 0
	for i := range st.Instances {
		in := &st.Instances[i]
		if in.Phase != phasePlanned {
			if err := s.look(ctx, row, in); err != nil {
				return err
			}
		}
		switch in.Phase {
		case phaseReady:
			ready[in.Hash]++
		case phasePlanned:
		default:
			starting++
		}
	}
	st.Ready = ready[st.Running] + ready[st.Next.Hash]
	if ready[st.Next.Hash] >= g.Instances && g.Next != nil {
		g.Traffic, g.Next = *g.Next, nil
		s.divide(row)
		s.emit(ctx, row.ID, event.Info, "GrayTraffic", "release %d gets %s; release %d gets the others", g.Release, g.words(), st.Release)
		return job.Nap(0, "release "+fmt.Sprint(g.Release)+" gets "+g.words()) // stored before surplus instances leave
	}
	if before := len(st.Instances); before > 0 {
		if err := s.trim(ctx, row); err != nil {
			return err
		}
		if len(st.Instances) < before {
			return job.Nap(0, "stopping instances that are too many")
		}
	}
	for i := range st.Instances {
		in := &st.Instances[i]
		if in.Phase == phasePlanned && starting < max(1, wanted(row)/4) {
			if err := s.startOne(ctx, row, in); err != nil {
				return err
			}
			starting++
		}
	}
	if ready[st.Next.Hash] < g.Instances || ready[st.Running] < wanted(row) {
		return job.Nap(rollPause, fmt.Sprintf("%d of %d new instances ready beside %d of release %d", ready[st.Next.Hash], g.Instances, ready[st.Running], st.Release))
	}
	return nil
}

// GrayContinue is the input of going on with a gray release.
type GrayContinue struct {
	Weight *int `json:"weight" doc:"the new release's share of the requests; empty: the next of spec.gray.steps, or all" unit:"%" min:"1" max:"100"`
}

// GrayModify changes who gets a gray release. What is left out stays.
type GrayModify struct {
	Weight *int   `json:"weight" doc:"share of the requests that no rule matches" unit:"%" min:"0" max:"100"`
	Match  string `json:"match" doc:"whether all rules must hold for a request, or any of them" enum:"all,any"`
	Rules  []Rule `json:"rules" doc:"conditions on a request; an empty list takes them away" max:"20"`
	Sticky *bool  `json:"sticky" doc:"keeps a client on its side of the weight, by a cookie"`
}

// GrayBack is the input of taking a gray release back.
type GrayBack struct {
	Reason string `json:"reason" doc:"why, for the events" max:"500"`
}

// GrayView tells how a gray release does, beside the live one.
type GrayView struct {
	Gray
	Live    GrayCount `json:"live" doc:"the release before"`
	New     GrayCount `json:"new" doc:"the gray release"`
	Verdict string    `json:"verdict,omitempty" doc:"why the guard takes it back"`
}

// GrayCount is one side of a gray release.
type GrayCount struct {
	Release   int `json:"release"`
	Instances int `json:"instances"`
	Ready     int `json:"ready"`
	Tally
}

func (s *Service) grayActions() []action {
	return []action{
		{Verb: "gray-check", Doc: "how the gray release does beside the live one: instances, answers, errors", Level: kind.Read, Serve: s.serveGray},
		{Verb: "gray-continue", Doc: "give the gray release a larger share of the requests, or all of them", Level: kind.Write, In: GrayContinue{}, Change: s.grayContinue},
		{Verb: "gray-modify", Doc: "change which requests the gray release gets", Level: kind.Write, In: GrayModify{}, Change: s.grayModify},
		{Verb: "gray-rollback", Doc: "take the gray release back: the release before gets all requests", Level: kind.Write, In: GrayBack{}, Change: s.grayRollback},
	}
}

func openGray(row *componentRow) (*Gray, error) {
	if g := row.Status.Gray; g != nil && row.Status.Next != nil {
		return g, nil
	}
	return nil, fail.New(fail.Precondition, "no gray release of %s is under way", row.Name).Then("start one: awan deploy --name %s --strategy gray --weight 10", row.Name)
}

// underWay is the error of what cannot be done beside a gray release.
func underWay(row *componentRow) error {
	return fail.New(fail.Precondition, "a gray release of %s is under way: release %d gets %s", row.Name, row.Status.Gray.Release, row.Status.Gray.words()).
		Then("finish it first (awan gray continue %s --weight 100) or take it back (awan gray rollback %s)", row.Name, row.Name)
}

func (s *Service) grayContinue(_ context.Context, _ store.Tx, row *componentRow, in any) (string, error) {
	g, err := openGray(row)
	if err != nil {
		return "", err
	}
	weight := 100
	for _, step := range row.Spec.Gray.Steps {
		if step > g.Weight {
			weight = step
			break
		}
	}
	if w := in.(*GrayContinue).Weight; w != nil {
		if *w < g.Weight {
			return "", fail.Field("weight", "%d %% is less than the %d %% it has", *w, g.Weight).Then("to make the share smaller: awan gray modify %s --weight %d", row.Name, *w)
		}
		weight = *w
	}
	if weight == 100 {
		g.Phase, g.Next = grayFinishing, nil
		return "update", nil
	}
	t := g.Traffic
	t.Weight = weight
	g.Next = &t
	s.sizeGray(row)
	return "update", nil
}

func (s *Service) grayModify(_ context.Context, _ store.Tx, row *componentRow, in any) (string, error) {
	g, err := openGray(row)
	if err != nil {
		return "", err
	}
	m, t := in.(*GrayModify), g.Traffic
	if m.Weight != nil {
		t.Weight = *m.Weight
	}
	if m.Match != "" {
		t.Match = m.Match
	}
	if m.Rules != nil {
		t.Rules = m.Rules
	}
	if m.Sticky != nil {
		t.Sticky = *m.Sticky
	}
	if err := checkTraffic("in", t); err != nil {
		return "", err
	}
	g.Next = &t
	s.sizeGray(row)
	return "update", nil
}

// grayRollback gives the row the live release's spec again and lets the new instances leave.
func (s *Service) grayRollback(_ context.Context, tx store.Tx, row *componentRow, in any) (string, error) {
	g, err := openGray(row)
	if err != nil {
		return "", err
	}
	live, err := s.Release.Get(tx, row.Status.ReleaseID)
	if err != nil {
		return "", err
	}
	if live == nil {
		return "", fail.New(fail.Precondition, "release %d is not stored any more", row.Status.Release).Then("finish the gray release instead: awan gray continue %s --weight 100", row.Name)
	}
	var spec ComponentSpec
	if err := json.Unmarshal([]byte(live.Spec.Config), &spec); err != nil {
		return "", fail.Wrap(err, fail.Internal, "the release cannot be read")
	}
	row.Spec = carryOver(spec, row.Spec)
	g.Phase, g.Next = grayReturning, nil
	text := fmt.Sprintf("release %d is taken back; release %d gets all requests", g.Release, row.Status.Release)
	if reason := in.(*GrayBack).Reason; reason != "" {
		text += ": " + reason
	}
	return "update", event.Emit(tx, row.ID, event.Event{At: s.Now().UTC(), Level: event.Warning, Type: "RolledBack", Text: text})
}

func (s *Service) serveGray(_ context.Context, row *componentRow, _ any, st kind.Stream) error {
	g, err := openGray(row)
	if err != nil {
		return err
	}
	n := row.Status.Next
	v := GrayView{Gray: *g, Live: GrayCount{Release: row.Status.Release, Tally: s.Ingress.Tally(row.ID, row.Status.Release)},
		New: GrayCount{Release: n.Number, Tally: s.Ingress.Tally(row.ID, n.Number)}}
	for _, in := range row.Status.Instances {
		c := &v.Live
		if in.Hash == n.Hash {
			c = &v.New
		}
		c.Instances++
		if in.Phase == phaseReady {
			c.Ready++
		}
	}
	v.Verdict = row.Spec.Guard.verdict(v.New.Tally)
	return st.Emit(v)
}

// checkGray refuses a new release beside a gray one. How many instances run, and how releases are made, may change.
func checkGray(old, row *componentRow) error {
	if old == nil || old.Status.Gray == nil {
		return nil
	}
	was, is := released(old.Spec), released(row.Spec)
	for k, v := range is.Secrets {
		if v == kind.Mask {
			is.Secrets[k] = was.Secrets[k]
		}
	}
	a, err := json.Marshal(was)
	if err != nil {
		return err
	}
	b, err := json.Marshal(is)
	if err != nil {
		return err
	}
	if string(a) != string(b) {
		return underWay(old)
	}
	return nil
}
