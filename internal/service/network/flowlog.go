package network

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
	"github.com/awancloud/awan/internal/service/fabric"
)

func (s *Service) checkFlowLog(_ context.Context, tx store.Tx, _, r *flowRow) error {
	sp := &r.Spec
	if len(some(sp.VPC, sp.Subnet, sp.Port)) != 1 {
		return fail.Field("spec.vpc", "say whose packets: of a VPC, a subnet or a port").Then("give one of them")
	}
	if sp.VPC != "" {
		v, err := refer(tx, s.VPC, &r.Meta, "spec.vpc", sp.VPC)
		if err != nil {
			return err
		}
		sp.VPC = string(v.ID)
	}
	if sp.Subnet != "" {
		v, err := refer(tx, s.Subnet, &r.Meta, "spec.subnet", sp.Subnet)
		if err != nil {
			return err
		}
		sp.Subnet = string(v.ID)
	}
	if sp.Port != "" {
		v, err := refer(tx, s.Port, &r.Meta, "spec.port", sp.Port)
		if err != nil {
			return err
		}
		sp.Port = string(v.ID)
	}
	return nil
}

// flowLogChanged lets the records of a flow log that is gone go with it, once that is stored.
func (s *Service) flowLogChanged(_ context.Context, _ store.Tx, old, r *flowRow) error {
	if r == nil && s.Dir != "" {
		time.AfterFunc(time.Minute, func() { s.dropRecords(old.ID) })
	}
	return nil
}

// dropRecords removes the records of a flow log that is really gone.
func (s *Service) dropRecords(flowLog id.ID) {
	_ = s.Store.View(context.Background(), func(tx store.Tx) error {
		r, err := s.FlowLog.Get(tx, flowLog)
		if err == nil && r == nil {
			_ = os.Remove(s.recordsOf(flowLog))
			_ = os.Remove(s.recordsOf(flowLog) + ".1")
		}
		return err
	})
}

func (s *Service) recordsOf(flowLog id.ID) string {
	return filepath.Join(s.Dir, "flowlogs", string(flowLog)+".jsonl")
}

// Record is one line of a flow log.
type Record struct {
	At       time.Time      `json:"at"`
	Port     id.ID          `json:"port"`
	Accepted bool           `json:"accepted"`
	In       bool           `json:"in"`
	Protocol string         `json:"protocol"`
	From     netip.AddrPort `json:"from"`
	To       netip.AddrPort `json:"to"`
	Packets  uint64         `json:"packets"`
	Bytes    uint64         `json:"bytes"`
}

// maxRecords is how large the file of a flow log grows before the one before it goes.
const maxRecords = 16 << 20

// flows writes the engine's records to the flow logs that they are for.
func (c *converger) flows(ctx context.Context) {
	if c.s.Dir == "" {
		return
	}
	for ctx.Err() == nil {
		for f, err := range c.s.Engine.Flows(ctx) {
			if err != nil {
				if ctx.Err() == nil {
					c.s.Log.Warn("flow records end; they begin again", "err", err)
				}
				break
			}
			if err := c.s.record(ctx, f); err != nil && ctx.Err() == nil {
				c.s.Log.Warn("a flow record cannot be written", "port", f.Port, "err", err)
			}
		}
		pause(ctx, 5*time.Second)
	}
}

func (s *Service) record(ctx context.Context, f fabric.Flow) error {
	var to []*flowRow
	err := s.Store.View(ctx, func(tx store.Tx) error {
		p, err := s.Port.Get(tx, f.Port)
		if err != nil || p == nil {
			return err
		}
		for _, x := range some(string(p.ID), p.Spec.Subnet, p.Status.VPC) {
			logs, err := users(tx, s.FlowLog, &p.Meta, "of", x, 0)
			if err != nil {
				return err
			}
			to = append(to, logs...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	line, err := json.Marshal(Record(f))
	if err != nil {
		return err
	}
	for _, l := range to {
		if l.Spec.Disabled || l.Spec.Traffic == "accept" && !f.Accepted || l.Spec.Traffic == "reject" && f.Accepted {
			continue
		}
		if err := appendLine(s.recordsOf(l.ID), append(line, '\n')); err != nil {
			return err
		}
	}
	return nil
}

func appendLine(file string, line []byte) error {
	if st, err := os.Stat(file); err == nil && st.Size() > maxRecords {
		if err := os.Rename(file, file+".1"); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(line)
	return errors.Join(err, f.Close())
}

// RecordsQuery is the input of a flow log's records action.
type RecordsQuery struct {
	Last int `json:"last" doc:"how many, the newest" default:"100" min:"1" max:"10000"`
}

func (s *Service) flowLogActions() []kind.Action[FlowLogSpec, FlowLogStatus] {
	return []kind.Action[FlowLogSpec, FlowLogStatus]{{Verb: "records", Doc: "the newest records, the oldest of them first", Level: kind.Read, In: RecordsQuery{},
		Serve: func(_ context.Context, r *flowRow, in any, st kind.Stream) error {
			for _, line := range lastLines(s.recordsOf(r.ID), in.(*RecordsQuery).Last) {
				var rec Record
				if err := json.Unmarshal(line, &rec); err != nil {
					continue // cut short by a crash
				}
				if err := st.Emit(rec); err != nil {
					return err
				}
			}
			return nil
		}}}
}

// lastLines reads the last n lines of a file and the one before it.
func lastLines(file string, n int) [][]byte {
	var out [][]byte
	for _, name := range []string{file + ".1", file} {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			out = append(out, append([]byte(nil), lines.Bytes()...))
			if len(out) > 2*n {
				out = append([][]byte(nil), out[len(out)-n:]...)
			}
		}
		_ = f.Close()
	}
	if len(out) > n {
		out = out[len(out)-n:]
	}
	return out
}
