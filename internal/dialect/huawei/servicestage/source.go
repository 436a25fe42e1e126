package servicestage

import (
	"strings"

	"github.com/awancloud/awan/internal/dialect/openstack/keystone"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// source is where a component comes from.
type source struct {
	Kind    string `json:"kind"`    // image, package, code
	Storage string `json:"storage"` // swr, obs, http, devcloud, github …
	URL     string `json:"url"`
}

// spec is the source as the app service takes it.
func (src *source) spec(*stack) (keystone.Spec, error) {
	switch src.Kind {
	case "image":
		if src.URL == "" {
			return nil, fail.Field("source.url", "is required").Then("name an image of the registry: organization/name:tag")
		}
		return keystone.Spec{"image": imageName(src.URL), "digest": ""}, nil
	}
	return nil, fail.Field("source.kind", "%q is none of image, package and code", src.Kind)
}

// imageName takes the registry's host off an image's name, by whichever of the cloud's names it is called.
func imageName(url string) string {
	url = strings.TrimPrefix(strings.TrimPrefix(url, "https://"), "http://")
	host, rest, found := strings.Cut(url, "/")
	if found && (strings.HasPrefix(host, "swr.") || strings.HasPrefix(host, "registry.")) {
		return rest
	}
	return url
}
