package call

import (
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/kind"
)

// Kin are the kinds whose id a field with this ref may hold: the one it names, and those of the same service that are one
// with more before the name (image/image: image/public-image too). None when there is no such kind.
func (d *Door) Kin(ref string) []*kind.Def {
	k := d.kinds[ref]
	if k == nil {
		return nil
	}
	out := []*kind.Def{k}
	for _, other := range d.Kinds {
		if other.Service == k.Service && strings.HasSuffix(other.Name, "-"+k.Name) && !slices.Contains(out, other) {
			out = append(out, other)
		}
	}
	return out
}
