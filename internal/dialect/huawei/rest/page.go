package rest

import (
	"strconv"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
)

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
