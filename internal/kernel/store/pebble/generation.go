package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
)

// A store's folder holds one database in a folder of its own, a generation, and a marker file that names the one in
// force. Restore fills the next generation and moves the marker: an atomic rename decides between old and new.

const (
	markerName = "generation"
	format     = 1 // of the keys below; a newer one is refused
)

// Keys: 'd' and the caller's key, 'm' and what the store keeps for itself.
const dataPrefix = 'd'

var (
	keyRev    = []byte("m/rev")
	keyFormat = []byte("m/format")
	firstData = []byte{dataPrefix}
	endOfData = []byte{dataPrefix + 1}
	isName    = regexp.MustCompile(`^g[0-9]{6}$`)
)

// generation is one open database. refs is guarded by Store.mu: one for the store while it is in force, one a version.
type generation struct {
	name string
	db   *pebble.DB
	refs int
}

// version is a snapshot of one revision that is on stable storage. refs is guarded by Store.mu.
type version struct {
	gen  *generation
	snap *pebble.Snapshot
	rev  store.Rev
	refs int
}

// locate finds the generation in force ("" in a fresh folder) and all that there are.
func (s *Store) locate() (current string, all []string, err error) {
	if s.marker, current, err = atomicfs.LocateMarker(s.fs, s.dir, markerName); err != nil {
		return "", nil, err
	}
	entries, err := s.fs.List(s.dir)
	if err != nil {
		return "", nil, err
	}
	found := false
	for _, e := range entries {
		if isName.MatchString(e) {
			all = append(all, e)
			found = found || e == current
		}
	}
	switch {
	case current != "" && !found:
		return "", nil, fmt.Errorf("the database %s that the marker names is not there", current)
	case current == "" && len(all) == 1:
		current = all[0] // a first start was cut off before it set the marker; or the marker was lost
	case current == "" && len(all) > 1:
		return "", nil, errors.New("the marker file that says which database is in force is not there")
	}
	return current, all, nil
}

// open opens the generation called name, making it when it is not there, and reads its revision.
func (s *Store) open(name string) (*generation, store.Rev, error) {
	db, err := pebble.Open(s.fs.PathJoin(s.dir, name), s.database(true))
	if err != nil {
		return nil, 0, err
	}
	v, known, err := number(db, keyFormat)
	switch {
	case err != nil:
	case !known:
		err = db.Set(keyFormat, binary.BigEndian.AppendUint64(nil, format), pebble.Sync)
	case v != format:
		err = fail.New(fail.Unsupported, "the state store in %s has format %d, this program knows %d", s.dir, v, format).
			Then("start it with the version of awan that last ran on it, or a newer one")
	}
	var rev uint64
	if err == nil {
		rev, _, err = number(db, keyRev)
	}
	if err != nil {
		return nil, 0, errors.Join(err, db.Close())
	}
	return &generation{name: name, db: db, refs: 1}, store.Rev(rev), nil
}

func number(r pebble.Reader, key []byte) (uint64, bool, error) {
	v, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = closer.Close() }()
	if len(v) != 8 {
		return 0, false, fmt.Errorf("%s has %d bytes, not 8", key, len(v))
	}
	return binary.BigEndian.Uint64(v), true, nil
}

// snapshot makes a version of what is applied to gen now. It has one reference.
func (s *Store) snapshot(gen *generation, rev store.Rev) *version {
	s.mu.Lock()
	gen.refs++
	s.mu.Unlock()
	return &version{gen: gen, snap: gen.db.NewSnapshot(), rev: rev, refs: 1}
}

// install makes v the one that Views read.
func (s *Store) install(v *version) {
	s.mu.Lock()
	old := s.current
	s.current = v
	s.mu.Unlock()
	if old != nil {
		s.release(old)
	}
}

// acquire takes a reference to the version in force.
func (s *Store) acquire() *version {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current.refs++
	return s.current
}

// release gives a reference back; the last one closes the snapshot.
func (s *Store) release(v *version) {
	s.mu.Lock()
	v.refs--
	last := v.refs == 0
	s.mu.Unlock()
	if !last || s.fuse.failure() != nil {
		return // after a failure the library may hold its locks for ever; the process is about to end
	}
	if err := v.snap.Close(); err != nil {
		s.opts.Logger.Warn("state store: closing a snapshot", "cause", err)
	}
	s.drop(v.gen)
}

// drop gives a reference to a generation back; the last one closes it, and removes it when another is in force.
func (s *Store) drop(gen *generation) {
	s.mu.Lock()
	gen.refs--
	last, replaced := gen.refs == 0, s.gen != gen
	s.mu.Unlock()
	if !last {
		return
	}
	err := s.shut(gen.db)
	if err == nil && replaced {
		err = s.fs.RemoveAll(s.fs.PathJoin(s.dir, gen.name))
	}
	if err != nil {
		s.opts.Logger.Warn("state store: closing a database", "name", gen.name, "cause", err)
		s.mu.Lock()
		s.closing = errors.Join(s.closing, err)
		s.mu.Unlock()
	}
}

// shut closes a database, unless the disk failed: the library may then wait for ever.
func (s *Store) shut(db *pebble.DB) error {
	if s.fuse.failure() != nil {
		return nil
	}
	return db.Close()
}
