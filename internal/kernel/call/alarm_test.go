package call

import (
	"slices"
	"testing"

	"github.com/awancloud/awan/internal/kernel/id"
)

// A loop is woken for the rows that were named, for all where nobody named any, and for nothing where another look took them.
func TestAlarm(t *testing.T) {
	a := &alarm{ring: make(chan struct{}, 1), rows: map[id.ID]bool{}}
	a.set([]id.ID{"a"})
	<-a.ring // the loop is on its way when the next one comes
	a.set([]id.ID{"b", "a"})
	rows, all := a.take()
	if slices.Sort(rows); all || !slices.Equal(rows, []id.ID{"a", "b"}) {
		t.Errorf("woken for %v, all: %v", rows, all)
	}
	<-a.ring
	if rows, all := a.take(); all || len(rows) > 0 {
		t.Errorf("a ring for what was taken wakes for %v, all: %v", rows, all)
	}
	a.set([]id.ID{"a"})
	a.set(nil)
	a.set([]id.ID{"b"})
	if _, all := a.take(); !all {
		t.Error("woken for some only, though somebody said all")
	}
}
