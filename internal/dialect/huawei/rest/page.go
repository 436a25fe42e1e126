package rest

import (
	"slices"
	"strconv"
	"strings"

	"github.com/awancloud/awan/internal/kernel/call"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// Listing is what a list was asked for: which rows, how many of them, and after how many (or the number of the page: lists
// differ).
type Listing struct {
	kind.Filter
	Count, Offset int
}

// Listed reads what the lists of servers, disks and what belongs to them have in common; count is how many rows there are in
// an answer to a request that does not say, most the limit of what may be asked for. What cannot be read is the list's refusal.
func Listed(x *Exchange, k *kind.Def, count, most int) (l Listing, err error) {
	if l.Count, err = x.Number("limit", count, 0, most); err == nil {
		l.Offset, err = x.Number("offset", 0, 0, 1_000_000)
	}
	if err == nil {
		l.After, err = Marker(x)
	}
	if err != nil {
		return l, Refuse(x, k, call.List, "*", err)
	}
	l.Name, l.Enterprise = x.Query("name"), EnterpriseAsked(x)
	return l, nil
}

// Sort orders rows as sort_key and sort_dir say; by has the keys there are, "" among them, and nil for the order they come in.
func Sort[T any](x *Exchange, rows []T, by map[string]func(l, r T) int) error {
	f, ok := by[x.Query("sort_key")]
	if !ok {
		var names []string
		for name := range by {
			if name != "" {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return fail.Field("sort_key", "%q is none of %s", x.Query("sort_key"), strings.Join(names, ", "))
	}
	if f != nil {
		slices.SortStableFunc(rows, f)
	}
	switch d := x.Query("sort_dir"); d {
	case "desc":
		slices.Reverse(rows)
	case "", "asc":
	default:
		return fail.Field("sort_dir", "%q is neither asc nor desc", d)
	}
	return nil
}

// number reads a number that some clients send as text.
func number(v any, none int) int {
	switch v := v.(type) {
	case float64:
		return max(0, int(v))
	case string:
		if n, err := strconv.Atoi(v); err == nil {
			return max(0, n)
		}
	}
	return none
}

// Marker reads the marker of a page: the id of the last entry of the one before.
func Marker(x *Exchange) (id.ID, error) {
	m := x.Query("marker")
	if m == "" {
		return "", nil
	}
	row, ok := id.Parse(m)
	if !ok {
		return "", fail.Field("marker", "%q is not an id", m).Then("give the id of the last entry of the page before")
	}
	return row, nil
}

// Cut gives a part of the entries.
func Cut[T any](all []T, offset, limit int) []T {
	all = all[min(offset, len(all)):]
	if limit >= 0 && limit < len(all) {
		all = all[:limit]
	}
	return all
}
