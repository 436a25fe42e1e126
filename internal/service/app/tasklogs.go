package app

import (
	"context"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/workload"
)

// TaskLogsIn selects lines of a task's log.
type TaskLogsIn struct {
	Follow bool   `json:"follow" doc:"go on with new lines until the task ends"`
	Tail   int    `json:"tail" doc:"only the newest lines of each attempt; 0: all there are" min:"0" max:"100000"`
	Match  string `json:"match" doc:"only lines that contain this"`
}

// lookEvery is how often a task that is followed is looked at.
const lookEvery = 200 * time.Millisecond

func (s *Service) serveTaskLogs(ctx context.Context, row *taskRow, in any, st kind.Stream) error {
	q := in.(*TaskLogsIn)
	sent := map[id.ID]int{} // lines of each attempt that were sent
	for {
		over, err := s.sendTask(ctx, row, q, sent, st)
		if err != nil || over || !q.Follow {
			return err
		}
		select {
		case <-ctx.Done():
			return fail.From(ctx.Err())
		case <-time.After(lookEvery):
		}
		err = s.Store.View(ctx, func(tx store.Tx) error {
			now, err := s.Task.Get(tx, row.ID)
			if err == nil && now == nil {
				err = fail.New(fail.Gone, "task %s was deleted", row.Name)
			}
			row = now
			return err
		})
		if err != nil {
			return err
		}
	}
}

// sendTask sends what has not been sent yet; over tells that nothing more can come.
func (s *Service) sendTask(ctx context.Context, row *taskRow, q *TaskLogsIn, sent map[id.ID]int, st kind.Stream) (over bool, err error) {
	for _, a := range row.Status.Attempts {
		n := 0
		first := sent[a.Instance] == 0
		w := workload.LogQuery{Match: q.Match}
		if first {
			w.Tail = q.Tail
		}
		var lines []workload.Line
		for l, err := range s.Engine.Logs(ctx, a.Instance, w) {
			if fail.Is(err, fail.Gone) {
				break
			}
			if err != nil {
				return false, err
			}
			if n++; n > sent[a.Instance] {
				lines = append(lines, l)
			}
		}
		for _, l := range lines {
			if err := st.Emit(LogLine{l.At, a.Instance, l.Stream, l.Text}); err != nil {
				return false, err
			}
		}
		if first && q.Tail > 0 && q.Follow { // count all there are, for what follows
			n = 0
			for _, err := range s.Engine.Logs(ctx, a.Instance, workload.LogQuery{Match: q.Match}) {
				if err == nil {
					n++
				}
			}
		}
		sent[a.Instance] = max(n, sent[a.Instance])
	}
	return row.Status.Over(), nil
}
