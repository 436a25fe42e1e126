package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ledger"
)

func localTime(at string) string {
	if t, err := time.Parse(time.RFC3339, at); err == nil {
		return t.Local().Format(time.DateTime)
	}
	return at
}

func orNever(at string) string { return cmp.Or(when(at, time.Now()), "never") }

func (s *session) auditCheckpointCmd() *cobra.Command {
	return s.reading("checkpoint", "how long the sealed log is, signed", "Print the newest signed checkpoint of your domain's audit log, to be kept where the cloud cannot reach it.",
		examples("awan audit checkpoint", "awan audit checkpoint -o json"), nil,
		func(*client.Client) client.Request {
			return client.Request{Method: "GET", Path: s.domainPath() + "/audit/checkpoint"}
		},
		func(doc []byte) error {
			var c struct{ Note, Key string }
			if err := json.Unmarshal(doc, &c); err != nil {
				return fail.Wrap(err, fail.Internal, "the cloud's answer cannot be read")
			}
			if c.Note == "" {
				return fail.New(fail.NotFound, "nothing is sealed yet").Then("entries are sealed a second after they are written")
			}
			_, err := fmt.Fprintf(s.Stdout, "%skey: %s\n", clean(c.Note), clean(c.Key))
			return err
		})
}

func (s *session) auditVerifyCmd() *cobra.Command {
	var output, keep string
	cmd := &cobra.Command{Use: "verify", Short: "check that nothing in the audit log was changed or taken away",
		Long: "Read the whole sealed log of your domain and check it on this machine: every entry against the Merkle tree, and the tree against\n" +
			"the cloud's signed checkpoint. With --keep also against the checkpoint that FILE holds from last time, which then is replaced\n" +
			"by the new one: so that nobody, not even who holds the cloud's keys, can give out another history than before.",
		Example: examples("awan audit verify", "awan audit verify --keep ~/awan-checkpoint"), Args: cobra.NoArgs}
	outputFlag(cmd, &output)
	cmd.Flags().StringVar(&keep, "keep", "", "compare with the checkpoint in this `FILE`, and keep the new one there")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := s.client()
		if err != nil {
			return err
		}
		r, err := s.verifyAudit(cmd.Context(), c, keep)
		if err != nil {
			return err
		}
		if output != "table" {
			doc, err := json.Marshal(r)
			if err != nil {
				return err
			}
			if err := s.document(output, doc); err != nil {
				return err
			}
		} else if err := s.auditReport(r); err != nil {
			return err
		}
		if n := len(r.Problems); n > 0 {
			return fail.New(fail.Precondition, "the audit log is not as it was sealed: %d problems", n).Then("keep the old checkpoint and a copy of the data, and find out who had access")
		}
		if keep != "" && r.Checkpoint.Note != "" {
			return writeKept(keep, r)
		}
		return nil
	}
	return cmd
}

func (s *session) auditReport(r ledger.Report) error {
	if len(r.Problems) == 0 {
		against := "the signed checkpoint of " + r.Checkpoint.At.Local().Format(time.DateTime)
		if r.Kept > 0 {
			against += fmt.Sprintf(", and the one kept at %d", r.Kept)
		}
		_, err := fmt.Fprintf(s.Stdout, "the audit log is as it was sealed: %d records, checked against %s\nkey %s\n", r.Entries, against, clean(r.Key))
		return err
	}
	var rows [][]string
	for _, p := range r.Problems {
		at, index := "", ""
		if !p.At.IsZero() {
			at = p.At.Local().Format(time.DateTime)
		}
		if p.Index >= 0 {
			index = strconv.FormatInt(p.Index, 10)
		}
		rows = append(rows, []string{index, at, string(p.Entry), p.What})
	}
	return s.table([]string{"RECORD", "TIME", "ENTRY", "PROBLEM"}, rows)
}

// verifyAudit reads the log and checks it here.
func (s *session) verifyAudit(ctx context.Context, c *client.Client, keep string) (r ledger.Report, err error) {
	var kept *ledger.Checkpoint
	var keptKey string
	if keep != "" {
		if kept, keptKey, err = readKept(keep); err != nil {
			return r, err
		}
	}
	var head struct {
		ledger.Checkpoint
		Key     string
		Waiting int
	}
	path := s.domainPath() + "/audit"
	if err := c.Do(ctx, client.Request{Method: "GET", Path: path + "/checkpoint"}, &head); err != nil {
		return r, err
	}
	if keptKey != "" && keptKey != head.Key {
		return r, fail.New(fail.Precondition, "the cloud signs its audit log with another key than the one in %s", keep).Then("this is another cloud, or somebody began its log again: ask its operator, and keep the file")
	}
	v := new(ledger.Verifier)
	for from := int64(0); from < head.Size; {
		var page struct{ Items []ledger.Leaf }
		q := url.Values{"from": {strconv.FormatInt(from, 10)}, "limit": {strconv.FormatInt(min(1000, head.Size-from), 10)}}
		if err := c.Do(ctx, client.Request{Method: "GET", Path: path + "/leaves", Query: q}, &page); err != nil {
			return r, err
		}
		if len(page.Items) == 0 {
			break
		}
		for _, l := range page.Items {
			v.Add(l)
			from = max(from+1, l.Index+1)
		}
	}
	if r, err = v.Close(head.Key, head.Checkpoint, kept); err == nil {
		r.Waiting = head.Waiting
	}
	return r, err
}

// readKept reads the checkpoint and the key of an earlier check; none where the file is not there.
func readKept(file string) (*ledger.Checkpoint, string, error) {
	b, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, "", nil
	case err != nil:
		return nil, "", fail.Wrap(err, fail.Invalid, "%s cannot be read", file)
	}
	text, key, _ := strings.Cut(string(b), "key: ")
	c, err := ledger.ParseCheckpoint(text)
	if err != nil {
		return nil, "", fail.New(fail.Invalid, "%s holds no checkpoint of an audit log", file).Then("name another file, or move this one away")
	}
	return &c, strings.TrimSpace(key), nil
}

// writeKept replaces the file in one step.
func writeKept(file string, r ledger.Report) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%skey: %s\n", r.Checkpoint.Note, r.Key)
	tmp, err := os.CreateTemp(filepath.Dir(file), ".checkpoint-*")
	if err != nil {
		return fail.Wrap(err, fail.Denied, "%s cannot be written", file)
	}
	_, err = tmp.Write(b.Bytes())
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // the error before matters
		return fail.Wrap(err, fail.Denied, "%s cannot be written", file)
	}
	return nil
}
