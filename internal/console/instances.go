package console

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/service/app"
)

// usageVerb is the app's action that tells what its instances use now.
const usageVerb = "instances"

// instances lists an app's instances with what they use. CPU is what was used between two readings: of this page's two
// seconds, or since the instance's start at the first.
func (q *request) instances(p *appPage) []instanceView {
	used := map[id.ID]app.InstanceNow{}
	if a := p.Kind.ActionOf(usageVerb); a != nil && a.Stream && p.Can[usageVerb] {
		c := q.newCall(p.Kind, usageVerb, p.ID)
		c.Stream = kind.Stream{Body: strings.NewReader(""), Emit: func(v any) error {
			var doc struct {
				Items []app.InstanceNow `json:"items"`
			}
			if json.Unmarshal(mustJSON(v), &doc) == nil {
				for _, n := range doc.Items {
					used[n.ID] = n
				}
			}
			return nil
		}, Raw: func(string) (io.Writer, error) { return io.Discard, nil }}
		if _, err := q.do(c); err != nil { // the table is worth showing without it
			used = nil
		}
	}
	var out []instanceView
	for _, in := range p.Row.Status.Instances {
		v := instanceView{Instance: in, Short: shortID(in.ID), MemoryLimit: p.Row.Spec.Memory}
		if u, ok := used[in.ID]; ok && u.MemoryBytes > 0 {
			v.HasUsage, v.MemoryUsed = true, (u.MemoryBytes+1<<19)>>20
			v.CPU = q.cpuOf(in, u.CPU)
		}
		out = append(out, v)
	}
	return out
}

// cpuOf prints an instance's use of CPU in thousandths of a core, between this reading and the one before.
func (q *request) cpuOf(in app.Instance, seconds float64) string {
	now := q.Now()
	before, ok := q.readings.swap(in.ID, reading{now, seconds})
	if !ok || seconds < before.cpu {
		before = reading{in.Started, 0}
	}
	d := now.Sub(before.at).Seconds()
	if d <= 0 {
		return ""
	}
	return fmt.Sprintf("%.0f m", max(0, seconds-before.cpu)/d*1000)
}

// shortID is the end of an id, which differs where beginnings do not; the CLI takes it, too.
func shortID(i id.ID) string { return string(i[max(0, len(i)-8):]) }
