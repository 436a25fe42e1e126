package bucket

import (
	"context"
	"strings"

	"github.com/awancloud/awan/internal/kernel/store"
)

// MaxList is how many names a page has at most.
const MaxList = 1000

// listing is the wish to list a bucket.
func (s *Service) listing(versions bool) wish {
	if versions {
		return wish{s.object, "list", "obs:bucket:ListBucketVersions"}
	}
	return wish{s.object, "list", "obs:bucket:ListBucket"}
}

// List gives a page of a bucket's objects, or of all their versions, in the order of their names' bytes.
func (s *Service) List(ctx context.Context, c *Caller, in *ListInput) (*Listing, error) {
	out := &Listing{}
	_, err := s.enter(ctx, c, in.Bucket, "", s.listing(in.Versions), func(tx store.Tx, b *bucket) error {
		if in.Max <= 0 {
			return nil
		}
		l := &lister{tx: tx, b: b, in: in, out: out, max: min(in.Max, MaxList)}
		if in.Versions {
			return l.versions()
		}
		return l.objects()
	})
	return out, err
}

type lister struct {
	tx    store.Tx
	b     *bucket
	in    *ListInput
	out   *Listing
	max   int
	count int
}

// full ends the page when it has all it may have.
func (l *lister) full() bool {
	if l.count < l.max {
		return false
	}
	l.out.Truncated = true
	return true
}

// common gives the common prefix that a name falls under; "" when there is none.
func (l *lister) common(key string) string {
	if l.in.Delimiter == "" {
		return ""
	}
	if i := strings.Index(key[len(l.in.Prefix):], l.in.Delimiter); i >= 0 {
		return key[:len(l.in.Prefix)+i+len(l.in.Delimiter)]
	}
	return ""
}

// behind is a key that sorts behind everything that begins with p: names are UTF-8, which has no such byte.
func behind(p string) string { return p + "\xff" }

// start is where the scan begins for names behind after.
func (l *lister) start(after string) string {
	if d := l.in.Delimiter; d != "" && after != "" && strings.HasPrefix(after, l.in.Prefix) && l.common(after) == after {
		return behind(after) // a common prefix that was given already
	}
	return after
}

func (l *lister) add(prefix string) {
	l.out.Prefixes = append(l.out.Prefixes, prefix)
	l.out.Next, l.out.NextVersion = prefix, ""
	l.count++
}

func (l *lister) objects() error {
	base := nowKey + string(l.b.ID) + "/"
	after := l.start(l.in.After)
	for more := true; more; {
		more = false
		from := ""
		if after != "" {
			from = base + after
		}
		for k, v := range l.tx.Scan(base+l.in.Prefix, from) {
			key := k[len(base):]
			if p := l.common(key); p != "" {
				if p > l.in.After || !strings.HasPrefix(l.in.After, p) {
					if l.full() {
						return nil
					}
					l.add(p)
				}
				after, more = behind(p), true
				break
			}
			if l.full() {
				return nil
			}
			r, err := decode[record](v)
			if err != nil {
				return err
			}
			l.out.Objects = append(l.out.Objects, *l.b.object(key, r, true))
			l.out.Next = key
			l.count++
		}
	}
	return l.tx.ScanErr()
}

// versions merges the current versions with the others.
func (l *lister) versions() error {
	now := cursor{l: l, base: nowKey + string(l.b.ID) + "/"}
	old := cursor{l: l, base: oldKey + string(l.b.ID) + "/"}
	after := l.start(l.in.After)
	key, version := after, l.in.AfterVersion
	now.seek(key)
	if version != "" { // go on within the versions of a name
		if version == nullVersion {
			if r, _, err := l.b.version(l.tx, key, version); err == nil && r != nil {
				version = r.Version
			}
		}
		old.seek(key + "\x00" + version)
	} else {
		old.seek(behindVersions(key))
	}
	seenLatest := ""
	if version != "" {
		seenLatest = key
	}
	for {
		if err := l.tx.ScanErr(); err != nil {
			return err
		}
		a, b := now.key(), old.key()
		if a == "" && b == "" {
			return nil
		}
		next, isNow := b, false
		if a != "" && (b == "" || a <= b) {
			next, isNow = a, true
		}
		if p := l.common(next); p != "" {
			if p > l.in.After || !strings.HasPrefix(l.in.After, p) {
				if l.full() {
					return nil
				}
				l.add(p)
			}
			now.seek(behind(p))
			old.seek(behind(p))
			continue
		}
		if l.full() {
			return nil
		}
		from := &old
		if isNow {
			from = &now
		}
		r, err := decode[record](from.value)
		if err != nil {
			return err
		}
		latest := next != seenLatest
		seenLatest = next
		l.out.Objects = append(l.out.Objects, *l.b.object(next, r, latest))
		l.out.Next, l.out.NextVersion = next, r.id()
		l.count++
		from.advance()
	}
}

// behindVersions is where the versions of a name end.
func behindVersions(key string) string {
	if key == "" {
		return ""
	}
	return key + "\x00\xff"
}

// cursor walks one of the two places where versions lie, a batch at a time.
type cursor struct {
	l     *lister
	base  string
	batch []entry
	at    int
	end   bool
	value []byte
}

type entry struct {
	key   string
	value []byte
}

const cursorBatch = 128

func (c *cursor) seek(after string) {
	c.batch, c.at, c.end = c.batch[:0], 0, false
	c.load(after)
}

func (c *cursor) load(after string) {
	from := ""
	if after != "" {
		from = c.base + after
	}
	c.batch, c.at = c.batch[:0], 0
	c.end = true
	for k, v := range c.l.tx.Scan(c.base+c.l.in.Prefix, from) {
		c.batch = append(c.batch, entry{k[len(c.base):], v})
		if len(c.batch) == cursorBatch {
			c.end = false
			break
		}
	}
}

// key is the name of the version the cursor stands at, whose record is then in value; "" at the end.
func (c *cursor) key() string {
	if c.at == len(c.batch) {
		if c.end || len(c.batch) == 0 {
			return ""
		}
		c.load(c.batch[len(c.batch)-1].key)
		if len(c.batch) == 0 {
			return ""
		}
	}
	e := c.batch[c.at]
	c.value = e.value
	name, _, _ := strings.Cut(e.key, "\x00")
	return name
}

func (c *cursor) advance() { c.at++ }
