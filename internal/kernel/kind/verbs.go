package kind

import (
	"iter"
	"maps"
	"slices"
	"strings"
)

// VerbsByKind groups actions such as app:component:create by their kinds, in the order of these.
func VerbsByKind(actions []string) iter.Seq2[string, []string] {
	verbs := map[string][]string{}
	for _, a := range actions {
		if at := strings.LastIndexByte(a, ':'); at > 0 {
			verbs[a[:at]] = append(verbs[a[:at]], a[at+1:])
		}
	}
	return func(yield func(string, []string) bool) {
		for _, k := range slices.Sorted(maps.Keys(verbs)) {
			if !yield(k, verbs[k]) {
				return
			}
		}
	}
}
