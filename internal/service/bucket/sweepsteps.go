package bucket

import (
	"time"

	"github.com/awancloud/awan/internal/kernel/store"
)

// expire deletes a current version as its owner would: with versions, a delete marker goes in front.
func (s *Service) expire(key, version string) step {
	return func(tx store.Tx, c *Caller, b *bucket, done *swept) error {
		r, err := current(tx, b, key)
		if err != nil || r == nil || r.Version != version {
			return err
		}
		if b.Spec.Versioning != "off" {
			done.Expired++
			marker := &record{Marker: true, At: s.now().UnixNano()}
			if err := s.place(tx, b, key, marker); err != nil {
				return err
			}
			return s.tell(tx, c, b, "LifecycleExpiration:DeleteMarkerCreated", key, marker)
		}
		if s.mayGo(r, false) != nil {
			done.Locked++
			return nil
		}
		done.Expired++
		if err := s.remove(tx, b, key, r); err != nil {
			return err
		}
		return s.tell(tx, c, b, "LifecycleExpiration:Delete", key, r)
	}
}

// removeOld removes a replaced version for good, unless it is locked.
func (s *Service) removeOld(key, version string) step {
	return func(tx store.Tx, c *Caller, b *bucket, done *swept) error {
		r, err := read[record](tx, oldAt(b.ID, key, version)) // not there: it went, or became current again
		if err != nil || r == nil {
			return err
		}
		if s.mayGo(r, false) != nil {
			done.Locked++
			return nil
		}
		done.Old++
		if err := s.remove(tx, b, key, r); err != nil {
			return err
		}
		return s.tell(tx, c, b, "LifecycleExpiration:Delete", key, r)
	}
}

// removeMarker removes a delete marker that nothing is behind.
func (s *Service) removeMarker(key, version string) step {
	return func(tx store.Tx, c *Caller, b *bucket, done *swept) error {
		r, err := newestOld(tx, b, key)
		if err != nil || r == nil || r.Version != version {
			return err
		}
		lonely, err := last(tx, b, key, version)
		if err != nil || !lonely {
			return err
		}
		done.Markers++
		if err := s.remove(tx, b, key, r); err != nil {
			return err
		}
		return s.tell(tx, c, b, "LifecycleExpiration:Delete", key, r)
	}
}

// move changes a version's storage class.
func (s *Service) move(key, version, class string) step {
	return func(tx store.Tx, c *Caller, b *bucket, done *swept) error {
		r, err := current(tx, b, key)
		if err == nil && (r == nil || r.Version != version) {
			r, err = read[record](tx, oldAt(b.ID, key, version))
		}
		if err != nil || r == nil || depth[r.class()] >= depth[class] {
			return err
		}
		was := r.class()
		r.Class = class
		if err := rewrite(tx, b, key, r); err != nil {
			return err
		}
		done.Moved++
		if err := s.book(tx, b, func(n *count) {
			n.hold(was, -r.Size)
			n.hold(class, r.Size)
		}); err != nil {
			return err
		}
		return s.tell(tx, c, b, "LifecycleTransition", key, r)
	}
}

// giveUp aborts an upload that nobody completed.
func (s *Service) giveUp(key, upload string) step {
	return func(tx store.Tx, _ *Caller, b *bucket, done *swept) error {
		r, err := read[record](tx, uploadAt(b.ID, key, upload))
		if err != nil || r == nil {
			return err
		}
		done.Aborted++
		return s.abort(tx, b, key, upload, r)
	}
}

// depth orders the storage classes: rules move objects to deeper ones only.
var depth = map[string]int{Standard: 0, Intelligent: 1, Warm: 2, Cold: 3, Deep: 4}

// moves is the class that a current version is due for; "" none.
func (b *bucket) moves(key string, r *record, at time.Time) (class string) {
	for i := range b.Spec.Lifecycle {
		rule := &b.Spec.Lifecycle[i]
		if len(rule.Move) == 0 || !rule.fits(key, r) {
			continue
		}
		for _, m := range rule.Move {
			when := m.At
			if when.IsZero() {
				when = due(time.Unix(0, r.At), m.Days)
			}
			if !when.After(at) {
				class = deeper(class, m.Class, r)
			}
		}
	}
	return class
}

// movesOld is the class that a replaced version is due for; nth newer ones were replaced too.
func (b *bucket) movesOld(key string, r *record, replaced time.Time, nth int, at time.Time) (class string) {
	for i := range b.Spec.Lifecycle {
		rule := &b.Spec.Lifecycle[i]
		if len(rule.MoveOld) == 0 || r.Marker || !rule.fits(key, r) {
			continue
		}
		for _, m := range rule.MoveOld {
			if nth >= m.Keep && !due(replaced, m.Days).After(at) {
				class = deeper(class, m.Class, r)
			}
		}
	}
	return class
}

func deeper(class, than string, r *record) string {
	if depth[than] > depth[r.class()] && (class == "" || depth[than] > depth[class]) {
		return than
	}
	return class
}

// oldDue tells whether a rule removes a replaced version; nth newer ones were replaced too.
func (b *bucket) oldDue(key string, r *record, replaced time.Time, nth int, at time.Time) bool {
	for i := range b.Spec.Lifecycle {
		rule := &b.Spec.Lifecycle[i]
		if (rule.Old > 0 || rule.KeepOld > 0) && rule.fits(key, r) && nth >= rule.KeepOld && !due(replaced, rule.Old).After(at) {
			return true
		}
	}
	return false
}

// markerDue tells whether a rule removes a delete marker that nothing is behind: one that says so, or one that expires
// objects, when the marker is as old.
func (b *bucket) markerDue(key string, r *record, at time.Time) bool {
	for i := range b.Spec.Lifecycle {
		rule := &b.Spec.Lifecycle[i]
		if !rule.fits(key, r) {
			continue
		}
		if rule.ExpireMarkers || rule.Expire > 0 && !due(time.Unix(0, r.At), rule.Expire).After(at) {
			return true
		}
	}
	return false
}

// abandoned tells whether a rule aborts an upload.
func (b *bucket) abandoned(key string, r *record, at time.Time) bool {
	for i := range b.Spec.Lifecycle {
		rule := &b.Spec.Lifecycle[i]
		if rule.Abort > 0 && rule.fits(key, r) && !due(time.Unix(0, r.At), rule.Abort).After(at) {
			return true
		}
	}
	return false
}
