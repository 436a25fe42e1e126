package rest

import (
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// Words are never null.
func Words(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// Patch makes of the words wanted a merge patch of those that are there now; whole takes away what is not wanted.
func Patch(now, want map[string]string, whole bool) map[string]any {
	out := map[string]any{}
	for k := range now {
		if _, stays := want[k]; whole && !stays {
			out[k] = nil
		}
	}
	for k, v := range want {
		out[k] = v
	}
	return out
}

// NameOf is a row's name as a client gave it; one that was made without has its id, which clients know as none.
func NameOf(m *kind.Meta) string {
	if m.Name == string(m.ID) {
		return ""
	}
	return m.Name
}

// Tags prints a row's tags as OpenStack's, which are one word each: one with a value is key=value.
func Tags(m *kind.Meta) []string {
	out := []string{}
	for k, v := range m.Tags {
		if v != "" {
			k += "=" + v
		}
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// TagMap reads them.
func TagMap(tags []string) map[string]string {
	out := map[string]string{}
	for _, t := range tags {
		k, v, _ := strings.Cut(t, "=")
		out[k] = v
	}
	return out
}

// ID prints an id that a field holds; what is no id stays as it is.
func ID[T ~string](s T) string {
	if i, ok := id.Parse(string(s)); ok {
		return i.Dashed()
	}
	return string(s)
}

// IsID tells whether a text is a row's id, in either form.
func IsID[T ~string](text string, row T) bool {
	i, ok := id.Parse(text)
	return ok && string(i) == string(row)
}
