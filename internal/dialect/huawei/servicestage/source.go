package servicestage

import (
	"cmp"
	"regexp"
	"strings"

	"github.com/awancloud/awan/internal/dialect/wire"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/app"
)

// source is where a component comes from.
type source struct {
	Kind       string `json:"kind"`       // image, package, code
	Storage    string `json:"storage"`    // swr, obs, http, devcloud, github …
	URL        string `json:"url"`        // an image, a package; of code like repo_url
	Repository string `json:"repo_url"`   // https://HOST/PATH or ssh://USER@HOST/PATH
	Ref        string `json:"repo_ref"`   // branch, tag or commit
	Path       string `json:"repo_path"`  // folder in the repository
	Dockerfile string `json:"dockerfile"` // path in the source
	Credential string `json:"credential"` // name of what opens the repository
	Auth       string `json:"auth"`       // iam, none: how SWR and OBS are opened, which are the cloud's own
	Namespace  string `json:"repo_namespace"`
	Repo       string `json:"repo_name"`
}

// digestPattern is an upload's digest, which stands where ServiceStage has a package's address.
var digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// spec is the source as the app service takes it, without the stack.
func (src *source) spec() (wire.Spec, error) {
	switch src.Kind {
	case "image":
		if src.URL == "" {
			return nil, fail.Field("source.url", "is required").Then("name an image of the registry: organization/name:tag")
		}
		return wire.Spec{"image": imageName(src.URL), "digest": "", "git": app.GitSource{}, "package": app.PackageSource{}, "credential": src.Credential}, nil
	case "package":
		s := wire.Spec{"image": "", "digest": "", "git": app.GitSource{}, "package": app.PackageSource{}, "credential": src.Credential, "dockerfile": src.Dockerfile}
		switch {
		case digestPattern.MatchString(src.URL):
			s["digest"] = src.URL
		case strings.HasPrefix(src.URL, "https://"), strings.HasPrefix(src.URL, "obs://"):
			s["package"] = app.PackageSource{URL: src.URL}
		default:
			return nil, fail.Field("source.url", "%q is neither an https address, nor an object of a bucket, nor the digest of an upload", src.URL).
				Then("give the package's https address or obs://BUCKET/KEY, or upload it (awan deploy PATH does) and give the digest: sha256:…")
		}
		return s, nil
	case "code":
		url := cmp.Or(src.Repository, src.URL)
		if url == "" {
			return nil, fail.Field("source.repo_url", "is required").Then("name a git repository: https://HOST/PATH or ssh://USER@HOST/PATH")
		}
		return wire.Spec{"image": "", "digest": "", "git": app.GitSource{URL: url, Ref: src.Ref, Path: src.Path}, "package": app.PackageSource{}, "credential": src.Credential,
			"dockerfile": src.Dockerfile}, nil
	}
	return nil, fail.Field("source.kind", "%q is none of image, package and code", src.Kind)
}

// holds says whether the words still say what a row is made from.
func (src *source) holds(is app.Source) bool {
	switch src.Kind {
	case "image":
		return is.Image != "" && is.Image == imageName(src.URL)
	case "package":
		return src.URL != "" && (is.Digest == src.URL || is.Package.URL == src.URL)
	case "code":
		return is.Git.URL != "" && is.Git == app.GitSource{URL: cmp.Or(src.Repository, src.URL), Ref: src.Ref, Path: src.Path}
	}
	return false
}

// sourceOf puts a row's source into this API's words.
func sourceOf(is app.Source) map[string]any {
	switch {
	case is.Image != "":
		return map[string]any{"kind": "image", "storage": "swr", "url": is.Image, "auth": "iam"}
	case is.Git.URL != "":
		return map[string]any{"kind": "code", "storage": "git", "repo_url": is.Git.URL, "repo_ref": is.Git.Ref, "repo_path": is.Git.Path, "credential": is.Credential}
	}
	if is.Package.URL != "" {
		storage := "http"
		if strings.HasPrefix(is.Package.URL, "obs://") {
			storage = "obs"
		}
		return map[string]any{"kind": "package", "storage": storage, "url": is.Package.URL}
	}
	return map[string]any{"kind": "package", "storage": "upload", "url": is.Digest}
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
