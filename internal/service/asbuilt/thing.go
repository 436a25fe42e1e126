// Package asbuilt compares what the cloud was asked for with what the machine really holds, once a day and when an operator
// asks, and signs what it found: a document that somebody who trusts nobody can keep and check. It may import the kernel;
// services that have something to compare import it for Thing.
package asbuilt

import (
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
)

// Thing is one thing as it was asked for and as it is. Design and Actual have the same fields, so that they are equal where
// nothing drifted; Design is nil for what nobody asked for, Actual for what is not there.
type Thing struct {
	Kind    string `json:"kind"` // "compute/server"
	ID      id.ID  `json:"id"`
	Project id.ID  `json:"project,omitempty"`
	Name    string `json:"name,omitempty"`
	Design  Facts  `json:"design"`
	Actual  Facts  `json:"actual"`
	// Differs says for people how the two differ; empty: they do not.
	Differs string `json:"differs,omitempty"`
}

// Facts are plain values by name.
type Facts map[string]any

// Look tells each thing of a service. Things that a job is changing right now are left out: they are neither yet.
type Look func(ctx context.Context, tell func(Thing)) error

// Document is a report as it is signed.
type Document struct {
	Cloud  string    `json:"cloud"`
	Region string    `json:"region"`
	Made   time.Time `json:"made"`
	Since  time.Time `json:"since,omitzero"` // the report before: Drift is what was found and repaired after it
	// DesignSHA256 and ActualSHA256 are equal when nothing differs: each is over the kinds, ids and facts of one side.
	DesignSHA256 string   `json:"design_sha256"`
	ActualSHA256 string   `json:"actual_sha256"`
	Things       []Thing  `json:"things"`
	Drift        []Drift  `json:"drift"`
	Unseen       []string `json:"unseen,omitempty"` // what could not be looked at, and why
}

// compare says how two sets of facts differ.
func compare(t *Thing) {
	switch {
	case t.Differs != "":
	case t.Design == nil:
		t.Differs = "nobody asked for it"
	case t.Actual == nil:
		t.Differs = "it is not there"
	default:
		t.Differs = differ(t.Design, t.Actual)
	}
}

func differ(design, actual Facts) (out string) {
	for _, name := range names(design, actual) {
		if want, is := plain(design[name]), plain(actual[name]); !reflect.DeepEqual(want, is) {
			if out != "" {
				out += "; "
			}
			out += name + " is " + text(is) + ", not " + text(want)
		}
	}
	return out
}

// plain is a value as JSON has it, so that it compares as it is written.
func plain(v any) (out any) {
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		return err.Error()
	}
	return out
}

func text(v any) string {
	if v == nil {
		return "unset"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func names(sets ...Facts) []string {
	all := map[string]bool{}
	for _, s := range sets {
		for name := range s {
			all[name] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}
