package scan

import (
	"context"
	"net/url"
	"strings"

	"github.com/CycloneDX/cyclonedx-go"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/kind"
)

// serveSBOM writes what an image holds as a software bill of materials in CycloneDX's JSON, https://cyclonedx.org.
func (s *Service) serveSBOM(ctx context.Context, r *row, _ any, st kind.Stream) error {
	name, _ := split(r.Spec.Image)
	repository, err := s.Registry.Qualify(r.Project, name)
	if err != nil {
		return err
	}
	inv, err := s.inventory(ctx, repository, r.Spec.Digest)
	if err != nil {
		return err
	}
	b := cyclonedx.NewBOM()
	b.Metadata = &cyclonedx.Metadata{Timestamp: s.Now().UTC().Format("2006-01-02T15:04:05Z"), Component: &cyclonedx.Component{
		BOMRef: repository + "@" + r.Spec.Digest, Type: cyclonedx.ComponentTypeContainer, Name: repository, Version: r.Spec.Digest}}
	components := []cyclonedx.Component{}
	for _, p := range inv.Packages {
		u := purl(p)
		components = append(components, cyclonedx.Component{BOMRef: u + "#" + p.Where, Type: cyclonedx.ComponentTypeLibrary, Name: p.Name, Version: p.Version,
			PackageURL: u, Evidence: &cyclonedx.Evidence{Occurrences: &[]cyclonedx.EvidenceOccurrence{{Location: p.Where}}}})
	}
	b.Components = &components
	w, err := st.Raw("application/vnd.cyclonedx+json")
	if err != nil {
		return err
	}
	if err := cyclonedx.NewBOMEncoder(w, cyclonedx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(b, cyclonedx.SpecVersion1_6); err != nil {
		return fail.Wrap(err, fail.Unavailable, "the bill of materials cannot be written")
	}
	return nil
}

// purl is a package's URL, https://github.com/package-url/purl-spec.
func purl(p Package) string {
	family, release, _ := strings.Cut(p.Eco, ":")
	version := url.PathEscape(p.Version)
	switch family {
	case "Debian", "Ubuntu":
		return "pkg:deb/" + strings.ToLower(family) + "/" + p.Name + "@" + version + "?distro=" + strings.ToLower(family) + "-" + url.QueryEscape(release)
	case "Alpine":
		return "pkg:apk/alpine/" + p.Name + "@" + version + "?distro=" + url.QueryEscape(release)
	case "Go":
		return "pkg:golang/" + p.Name + "@v" + version
	case "npm":
		return "pkg:npm/" + strings.Replace(p.Name, "@", "%40", 1) + "@" + version
	case "PyPI":
		return "pkg:pypi/" + p.Name + "@" + version
	case "Maven":
		return "pkg:maven/" + strings.Replace(p.Name, ":", "/", 1) + "@" + version
	}
	return "pkg:generic/" + url.PathEscape(p.Name) + "@" + version
}
