package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	json "github.com/go-json-experiment/json/v1" // the same meaning as encoding/json, in half the time
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
// Keys: auditwait/<id> has a mark, in the order in which they were written; auditleaf/<domain>/<number>; audithash/<domain>/<tile> are the tree's hashes as package
// tlog numbers them, tileSize of them in each; audithead/<domain> is the newest signed checkpoint.
const (
	waitPrefix = "auditwait/"
	leafPrefix = "auditleaf/"
	hashPrefix = "audithash/"
	headPrefix = "audithead/"
	adoptedKey = "auditadopted" // how far entries of earlier versions are marked as waiting
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

// mark says that an entry is to become a leaf.
type mark struct {
	domain, entry id.ID
	begun         bool // as it was when its job began
}

// wait marks an entry. Marks sort as they were written, since updates do.
func wait(tx store.Tx, m mark) error {
	v := folder(m.domain) + "/" + string(m.entry)
	if m.begun {
		v += "/begun"
	}
	return tx.Put(waitPrefix+string(id.New()), []byte(v))
}

func parseMark(v []byte) (m mark) {
	domain, rest, _ := strings.Cut(string(v), "/")
	entry, begun, _ := strings.Cut(rest, "/")
	return mark{id.ID(domain), id.ID(entry), begun != ""}
}

// tileSize is how many hashes are stored together.
const tileSize = 64

// tree is a domain's tree while it is read or appended to.
type tree struct {
	tx     store.Tx
	domain id.ID
	size   int64
	tiles  map[int64][]byte // those that were looked at
	grown  map[int64]bool   // those that are to be stored
}

func newTree(tx store.Tx, domain id.ID, size int64) *tree {
	return &tree{tx: tx, domain: domain, size: size, tiles: map[int64][]byte{}, grown: map[int64]bool{}}
}

func (t *tree) tile(n int64) ([]byte, error) {
	b, ok := t.tiles[n]
	if !ok {
		var err error
		if b, _, err = t.tx.Get(numbered(hashPrefix, t.domain, n)); err != nil {
			return nil, err
		}
		b = slices.Grow(b, max(0, tileSize*tlog.HashSize-len(b)))
		t.tiles[n] = b
	}
	return b, nil
}

// ReadHashes implements tlog.HashReader.
func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, n := range indexes {
		b, err := t.tile(n / tileSize)
		if err != nil {
			return nil, err
		}
		at := n % tileSize * tlog.HashSize
		if int64(len(b)) < at+tlog.HashSize {
			return nil, fail.New(fail.Internal, "hash %d of the audit log is missing", n)
		}
		copy(out[i][:], b[at:])
	}
	return out, nil
}

// add appends a record and gives its hash.
func (t *tree) add(record []byte) (tlog.Hash, error) {
	stored, err := tlog.StoredHashes(t.size, record, t)
	if err != nil {
		return tlog.Hash{}, err
	}
	first := tlog.StoredHashIndex(0, t.size)
	for i, h := range stored {
		n := (first + int64(i)) / tileSize
		b, err := t.tile(n)
		if err != nil {
			return tlog.Hash{}, err
		}
		at := (first + int64(i)) % tileSize * tlog.HashSize
		if int64(len(b)) < at {
			return tlog.Hash{}, fail.New(fail.Internal, "hashes before %d of the audit log are missing", first)
		}
		t.tiles[n], t.grown[n] = append(b[:at], h[:]...), true
	}
	t.size++
	return stored[0], nil
}

// store writes what was appended.
func (t *tree) store() error {
	for n := range t.grown {
		if err := t.tx.Put(numbered(hashPrefix, t.domain, n), t.tiles[n]); err != nil {
			return err
		}
	}
	return nil
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

// Sealer makes leaves of entries that wait. It is used by one at a time.
type Sealer struct {
	Store  store.Store
	Signer note.Signer

	after  string    // marks up to here are gone, and looking past them again would cost more the more there were
	looked time.Time // when it last looked from the beginning
}

// lookAgain is how often a sealer looks from the beginning, for marks that a restored backup brought.
const lookAgain = time.Minute

// Seal makes leaves of entries that wait, some at a time, and signs the new checkpoints. more: others wait.
func (s *Sealer) Seal(ctx context.Context, now time.Time) (more bool, err error) {
	if now.Sub(s.looked) > lookAgain {
		s.after, s.looked = "", now
	}
	err = s.Store.View(ctx, func(tx store.Tx) error {
		for range tx.Scan(waitPrefix, s.after) {
			more = true
			break
		}
		return tx.ScanErr()
	})
	if err != nil || !more {
		return false, err
	}
	last := s.after
	_, err = s.Store.Update(ctx, func(tx store.Tx) error {
		more, last = false, s.after
		trees := map[id.ID]*tree{}
		size := 0
		for key, v := range tx.Scan(waitPrefix, s.after) {
			if size > sealedAtOnce {
				more = true
				break
			}
			n, err := sealOne(tx, trees, parseMark(v))
			if err == nil {
				err = tx.Delete(key)
			}
			if err != nil {
				return err
			}
			size, last = size+n, key
		}
		if err := tx.ScanErr(); err != nil {
			return err
		}
		for _, t := range trees {
			if err := errors.Join(t.store(), sign(t, s.Signer, now)); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.after = last
	}
	return more, err
}

// sealedAtOnce is about how many bytes of records one transaction seals: others that write wait for it.
const sealedAtOnce = 256 << 10

// sealOne appends one entry to its tree, and tells about how much was written.
func sealOne(tx store.Tx, trees map[id.ID]*tree, m mark) (int, error) {
	domain := m.domain
	raw, ok, err := tx.Get(auditKey(domain, m.entry))
	if err != nil || !ok {
		return 0, err
	}
	var e struct {
		Outcome Outcome `json:"outcome"`
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return 0, fail.Wrap(err, fail.Internal, "an audit entry cannot be read")
	}
	if m.begun && e.Outcome != Begun {
		return 0, nil // it has ended meanwhile, which has a mark of its own
	}
	t := trees[domain]
	if t == nil {
		head, err := Head(tx, domain)
		if err != nil {
			return 0, err
		}
		t = newTree(tx, domain, head.Size)
		trees[domain] = t
	}
	n := t.size
	h, err := t.add(raw)
	if err != nil {
		return 0, err
	}
	leaf := storedLeaf{Entry: m.entry, Hash: h.String()}
	if e.Outcome == Begun {
		leaf.Record = string(raw)
	}
	b, err := json.Marshal(leaf)
	if err != nil {
		return 0, err
	}
	return len(raw) + len(b), tx.Put(numbered(leafPrefix, domain, n), b)
}

func sign(t *tree, signer note.Signer, now time.Time) error {
	root, err := tlog.TreeHash(t.size, t)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s/%s\n%d\n%s\n%s\n", signer.Name(), folder(t.domain), t.size, root, now.UTC().Format(time.RFC3339))
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return err
	}
	return t.tx.Put(headPrefix+folder(t.domain), signed)
}

// adoption is how far Adopt came.
type adoption struct {
	After  string `json:"after,omitempty"` // key of the last entry that was looked at
	Before id.ID  `json:"before"`          // entries from this one on are this version's
	Done   bool   `json:"done,omitempty"`
}

// Adopt marks the entries that a version before this one wrote, once. It comes before the first Seal: what has a mark needs
// no other.
func Adopt(ctx context.Context, s store.Store) error {
	for a := (adoption{}); !a.Done; {
		_, err := s.Update(ctx, func(tx store.Tx) error {
			a = adoption{Before: id.New()}
			if b, ok, err := tx.Get(adoptedKey); err != nil {
				return err
			} else if ok {
				if err := json.Unmarshal(b, &a); err != nil {
					return fail.Wrap(err, fail.Internal, "how far the audit log was taken up cannot be read")
				}
			}
			if a.Done {
				return nil
			}
			marked, err := waiting(tx)
			if err != nil {
				return err
			}
			a.Done = true
			n := 0
			for key, raw := range tx.Scan(auditPrefix, a.After) {
				if n++; n > 1000 {
					a.Done = false
					break
				}
				a.After = key
				domain, entry, _ := strings.Cut(key[len(auditPrefix):], "/")
				if id.ID(entry) >= a.Before || marked[id.ID(entry)] != "" {
					continue
				}
				var e struct {
					Outcome Outcome `json:"outcome"`
				}
				if err := json.Unmarshal(raw, &e); err != nil {
					return fail.Wrap(err, fail.Internal, "an audit entry cannot be read")
				}
				if err := wait(tx, mark{id.ID(domain), id.ID(entry), e.Outcome == Begun}); err != nil {
					return err
				}
			}
			if err := tx.ScanErr(); err != nil {
				return err
			}
			b, err := json.Marshal(a)
			if err != nil {
				return err
			}
			return tx.Put(adoptedKey, b)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Waiting counts the entries of a domain that are no leaves yet.
func Waiting(tx store.Tx, domain id.ID) (n int, err error) {
	marked, err := waiting(tx)
	for _, d := range marked {
		if d == folder(domain) {
			n++
		}
	}
	return n, err
}

// waiting are the entries that have a mark, with their domains' folders.
func waiting(tx store.Tx) (map[id.ID]string, error) {
	out := map[id.ID]string{}
	for _, v := range tx.Scan(waitPrefix, "") {
		m := parseMark(v)
		out[m.entry] = string(m.domain)
	}
	return out, tx.ScanErr()
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
