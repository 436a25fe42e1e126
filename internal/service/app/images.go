package app

import (
	"slices"

	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// keptReleases is how many releases of a component, the live one aside, can always be gone back to: the registry keeps
// their images.
const keptReleases = 5

// Images names the images that must stay, as repository@digest, with what needs each: what runs, what is being rolled
// out, what was built last, and the newest releases; of deleted components too, while they can be restored.
func (s *Service) Images(tx store.Tx) (map[string]string, error) {
	out := map[string]string{}
	for _, state := range []kind.State{"", kind.Trashed} {
		rows, err := s.Component.List(tx, "", kind.Filter{State: state})
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			by, st := "component "+row.Name, &row.Status
			out[st.Image] = by
			if st.Next != nil {
				out[st.Next.Image] = by
			}
			if st.Built != nil {
				out[st.Built.Image] = by
			}
			releases, err := s.Release.List(tx, string(row.Project), kind.Filter{Index: "component", Value: string(row.ID)})
			if err != nil {
				return nil, err
			}
			slices.SortFunc(releases, func(a, b *releaseRow) int { return b.Spec.Number - a.Spec.Number })
			for i, r := range releases {
				if i <= keptReleases || r.Status.State == "live" || r.Status.State == "rolling" {
					out[r.Spec.Image] = by
				}
			}
		}
	}
	delete(out, "")
	return out, nil
}
