package ledger

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/store"
)

// Every domain's entries are leaves of a Merkle tree of its own (RFC 6962's hashes), whose size and root the cloud signs. An
// entry is marked as waiting in the transaction that writes it, and becomes a leaf a second later. One that began a job is a
// leaf when it begins, which is kept whole, and another when it has ended.
//
// Keys: auditwait/<domain>/<entry>; auditleaf/<domain>/<number>; auditplace/<domain>/<entry> has the number of its newest
// leaf; audithash/<domain>/<index> are the tree's hashes as package tlog numbers them; audithead/<domain> is the newest
// signed checkpoint.
const (
	waitPrefix  = "auditwait/"
	leafPrefix  = "auditleaf/"
	placePrefix = "auditplace/"
	hashPrefix  = "audithash/"
	headPrefix  = "audithead/"
	adoptedKey  = "auditadopted" // entries of earlier versions are marked as waiting
)

// Leaf is one record of the tree.
type Leaf struct {
	Index int64  `json:"index"`
	Entry id.ID  `json:"entry"`
	Hash  string `json:"hash"` // base64, of the record when it was sealed
	// Begun: a later leaf has the entry as it ended.
	Begun bool `json:"begun,omitempty"`
	// Record is what the log holds, byte for byte; "": it is gone.
	Record string `json:"record"`
}

// storedLeaf keeps the record only where the log does not.
type storedLeaf struct {
	Entry  id.ID  `json:"entry"`
	Hash   string `json:"hash"`
	Record string `json:"record,omitempty"`
}

// Checkpoint is a signed note that says how long the log of a domain is and what its root is, in the form of C2SP's
// tlog-checkpoint, with the time as an extension line.
type Checkpoint struct {
	Origin string    `json:"origin"`
	Size   int64     `json:"size"`
	Root   string    `json:"root"` // base64
	At     time.Time `json:"at"`
	Note   string    `json:"note"` // signed, to be kept
}

func numbered(prefix string, domain id.ID, n int64) string {
	return prefix + folder(domain) + "/" + fmt.Sprintf("%016x", n)
}

func placeKey(prefix string, domain, entry id.ID) string {
	return prefix + folder(domain) + "/" + string(entry)
}

// hashes reads a tree's hashes.
func hashes(tx store.Tx, domain id.ID) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, n := range indexes {
			b, ok, err := tx.Get(numbered(hashPrefix, domain, n))
			if err != nil {
				return nil, err
			}
			if !ok || len(b) != tlog.HashSize {
				return nil, fail.New(fail.Internal, "hash %d of the audit log is missing", n)
			}
			copy(out[i][:], b)
		}
		return out, nil
	})
}

// Head gives the newest checkpoint of a domain; the zero value when there is none.
func Head(tx store.Tx, domain id.ID) (c Checkpoint, err error) {
	b, ok, err := tx.Get(headPrefix + folder(domain))
	if err != nil || !ok {
		return c, err
	}
	return ParseCheckpoint(string(b))
}

// ParseCheckpoint reads a signed note without looking at its signatures.
func ParseCheckpoint(text string) (c Checkpoint, err error) {
	bad := fail.New(fail.Invalid, "this is no checkpoint of an audit log").Then("give the whole text, as awan audit checkpoint prints it")
	lines := strings.Split(text, "\n")
	if len(lines) < 6 || lines[4] != "" {
		return c, bad
	}
	c = Checkpoint{Origin: lines[0], Root: lines[2], Note: text}
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Size < 0 {
		return Checkpoint{}, bad
	}
	if _, err = tlog.ParseHash(c.Root); err != nil {
		return Checkpoint{}, bad
	}
	if c.At, err = time.Parse(time.RFC3339, lines[3]); err != nil {
		return Checkpoint{}, bad
	}
	return c, nil
}

// Seal makes leaves of entries that wait, of about a megabyte at a time, and signs the new checkpoints. more: others wait.
func Seal(ctx context.Context, s store.Store, signer note.Signer, now time.Time) (more bool, err error) {
	err = s.View(ctx, func(tx store.Tx) error {
		for range tx.Scan(waitPrefix, "") {
			more = true
			break
		}
		return tx.ScanErr()
	})
	if err != nil || !more {
		return false, err
	}
	_, err = s.Update(ctx, func(tx store.Tx) error {
		more = false
		trees := map[id.ID]int64{} // sizes
		size := 0
		for key := range tx.Scan(waitPrefix, "") {
			if size > 1<<20 {
				more = true
				break
			}
			domain, entry, _ := strings.Cut(key[len(waitPrefix):], "/")
			n, err := sealOne(tx, trees, id.ID(domain), id.ID(entry))
			if err != nil {
				return err
			}
			size += n
		}
		if err := tx.ScanErr(); err != nil {
			return err
		}
		for domain, n := range trees {
			if err := sign(tx, signer, domain, n, now); err != nil {
				return err
			}
		}
		return nil
	})
	return more, err
}

// sealOne appends one entry to its tree, and tells about how much was written.
func sealOne(tx store.Tx, trees map[id.ID]int64, domain, entry id.ID) (int, error) {
	if err := tx.Delete(placeKey(waitPrefix, domain, entry)); err != nil {
		return 0, err
	}
	e, raw, err := read(tx, auditKey(domain, entry))
	if err != nil || raw == nil {
		return 0, err
	}
	n, ok := trees[domain]
	if !ok {
		head, err := Head(tx, domain)
		if err != nil {
			return 0, err
		}
		n = head.Size
	}
	stored, err := tlog.StoredHashes(n, raw, hashes(tx, domain))
	if err != nil {
		return 0, err
	}
	for i, h := range stored {
		if err := tx.Put(numbered(hashPrefix, domain, tlog.StoredHashIndex(0, n)+int64(i)), h[:]); err != nil {
			return 0, err
		}
	}
	leaf := storedLeaf{Entry: entry, Hash: base64.StdEncoding.EncodeToString(stored[0][:])}
	if e.Outcome == Begun {
		leaf.Record = string(raw)
	}
	b, err := json.Marshal(leaf)
	if err != nil {
		return 0, err
	}
	if err := tx.Put(numbered(leafPrefix, domain, n), b); err != nil {
		return 0, err
	}
	trees[domain] = n + 1
	return len(raw) + 4*len(b), tx.Put(placeKey(placePrefix, domain, entry), strconv.AppendInt(nil, n, 10))
}

func sign(tx store.Tx, signer note.Signer, domain id.ID, n int64, now time.Time) error {
	root, err := tlog.TreeHash(n, hashes(tx, domain))
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s/%s\n%d\n%s\n%s\n", signer.Name(), folder(domain), n, root, now.UTC().Format(time.RFC3339))
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return err
	}
	return tx.Put(headPrefix+folder(domain), signed)
}

// Adopt marks the entries that a version before this one wrote, once.
func Adopt(ctx context.Context, s store.Store) error {
	for after, done := "", false; !done; {
		_, err := s.Update(ctx, func(tx store.Tx) error {
			if _, ok, err := tx.Get(adoptedKey); err != nil || ok {
				done = true
				return err
			}
			done = true
			n, last := 0, after
			for key := range tx.Scan(auditPrefix, after) {
				if n++; n > 1000 {
					done = false
					break
				}
				last = key
				domain, entry, _ := strings.Cut(key[len(auditPrefix):], "/")
				if _, ok, err := tx.Get(placeKey(placePrefix, id.ID(domain), id.ID(entry))); err != nil {
					return err
				} else if ok {
					continue
				}
				if err := wait(tx, id.ID(domain), id.ID(entry)); err != nil {
					return err
				}
			}
			if err := tx.ScanErr(); err != nil {
				return err
			}
			if after = last; done {
				return tx.Put(adoptedKey, []byte("1"))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func wait(tx store.Tx, domain, entry id.ID) error {
	return tx.Put(placeKey(waitPrefix, domain, entry), []byte("1"))
}

// Waiting counts the entries of a domain that are no leaves yet.
func Waiting(tx store.Tx, domain id.ID) (n int, err error) {
	for range tx.Scan(waitPrefix+folder(domain)+"/", "") {
		n++
	}
	return n, tx.ScanErr()
}

// Leaves reads leaves of a domain from a number on, until they are many.
func Leaves(tx store.Tx, domain id.ID, from int64, limit int) (out []Leaf, err error) {
	after, size := "", 0
	if from > 0 {
		after = numbered(leafPrefix, domain, from-1)
	}
	prefix := leafPrefix + folder(domain) + "/"
	for key, b := range tx.Scan(prefix, after) {
		if len(out) == limit || size > 1<<20 {
			break
		}
		var l storedLeaf
		if err := json.Unmarshal(b, &l); err != nil {
			return nil, fail.Wrap(err, fail.Internal, "a leaf of the audit log cannot be read")
		}
		n, err := strconv.ParseInt(key[len(prefix):], 16, 64)
		if err != nil {
			return nil, fail.Wrap(err, fail.Internal, "a leaf of the audit log cannot be read")
		}
		leaf := Leaf{Index: n, Entry: l.Entry, Hash: l.Hash, Begun: l.Record != "", Record: l.Record}
		if !leaf.Begun {
			raw, _, err := tx.Get(auditKey(domain, l.Entry))
			if err != nil {
				return nil, err
			}
			leaf.Record = string(raw)
		}
		size += len(leaf.Record)
		out = append(out, leaf)
	}
	return out, tx.ScanErr()
}

// folder is how a domain is written in keys.
func folder(domain id.ID) string {
	if domain == "" {
		return "-"
	}
	return string(domain)
}
