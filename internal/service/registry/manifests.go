package registry

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// manifest is what the registry knows of a stored manifest. Manifests never change, so it is read once.
type manifest struct {
	v1.Descriptor               // as the referrers list shows it
	subject       digest.Digest // what it is about
	config        digest.Digest
	blobs         []digest.Digest // config and layers
	children      []digest.Digest // of an index
	elsewhere     bool            // has layers that are to be fetched from addresses
	size          int64           // of itself and its blobs; of an index, of itself
}

// parse reads a manifest of any type that the registry stores.
func parse(d digest.Digest, mediaType string, body []byte) (*manifest, error) {
	var doc struct {
		MediaType    string            `json:"mediaType"`
		ArtifactType string            `json:"artifactType"`
		Config       *v1.Descriptor    `json:"config"`
		Layers       []v1.Descriptor   `json:"layers"`
		Manifests    []v1.Descriptor   `json:"manifests"`
		Subject      *v1.Descriptor    `json:"subject"`
		Annotations  map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, fail.Wrap(err, fail.Invalid, "the manifest is not JSON")
	}
	if doc.MediaType != "" {
		mediaType = doc.MediaType
	}
	m := &manifest{Descriptor: v1.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(body)), ArtifactType: doc.ArtifactType,
		Annotations: doc.Annotations}, size: int64(len(body))}
	if doc.Config != nil {
		m.config = doc.Config.Digest
		m.blobs, m.size = append(m.blobs, doc.Config.Digest), m.size+doc.Config.Size
		if m.ArtifactType == "" {
			m.ArtifactType = doc.Config.MediaType
		}
	}
	for _, l := range doc.Layers {
		m.blobs, m.size = append(m.blobs, l.Digest), m.size+l.Size
		m.elsewhere = m.elsewhere || len(l.URLs) > 0
	}
	for _, c := range doc.Manifests {
		m.children = append(m.children, c.Digest)
	}
	if doc.Subject != nil {
		m.subject = doc.Subject.Digest
	}
	return m, nil
}

// manifest reads one of a repository.
func (r *Registry) manifest(ctx context.Context, repo distribution.Repository, d digest.Digest) (*manifest, error) {
	if m, ok := r.parsed.Load(d); ok {
		return m.(*manifest), nil
	}
	service, err := repo.Manifests(ctx)
	if err != nil {
		return nil, err
	}
	stored, err := service.Get(ctx, d)
	if err != nil {
		return nil, err
	}
	mediaType, body, err := stored.Payload()
	if err != nil {
		return nil, err
	}
	m, err := parse(d, mediaType, body)
	if err == nil {
		r.parsed.Store(d, m)
	}
	return m, err
}

// manifests reads all of a repository, those that a crash left half-written but for.
func (r *Registry) manifests(ctx context.Context, repository string) (map[digest.Digest]*manifest, error) {
	repo, err := r.repository(ctx, repository)
	if err != nil {
		return nil, err
	}
	digests, err := r.links(ctx, repository, "_manifests/revisions")
	if err != nil {
		return nil, err
	}
	out := map[digest.Digest]*manifest{}
	for d := range digests {
		m, err := r.manifest(ctx, repo, d)
		var unknown distribution.ErrManifestUnknownRevision
		if errors.As(err, &unknown) || absent(err) || errors.Is(err, distribution.ErrBlobUnknown) {
			continue
		}
		if err != nil {
			return nil, fail.Wrap(err, fail.Internal, "reading manifest %s of %s", d, repository)
		}
		out[d] = m
	}
	return out, nil
}

// links lists what a repository links to under one of its folders, with the moment of the link.
func (r *Registry) links(ctx context.Context, repository, folder string) (map[digest.Digest]time.Time, error) {
	root := path.Join("/docker/registry/v2/repositories", repository, folder)
	out := map[digest.Digest]time.Time{}
	algorithms, err := r.files.List(ctx, root)
	if absent(err) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	for _, a := range algorithms {
		all, err := r.files.List(ctx, a)
		if err != nil && !absent(err) {
			return nil, err
		}
		for _, l := range all {
			info, err := r.files.Stat(ctx, l+"/link")
			if absent(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
			out[digest.NewDigestFromEncoded(digest.Algorithm(path.Base(a)), path.Base(l))] = info.ModTime()
		}
	}
	return out, nil
}

// blobFile is where a blob's bytes are.
func blobFile(d digest.Digest) string {
	hex := d.Encoded()
	return path.Join("/docker/registry/v2/blobs", string(d.Algorithm()), hex[:2], hex, "data")
}

// blob gives a blob's file; ok is false when it is not there.
func (r *Registry) blob(ctx context.Context, d digest.Digest) (info driver.FileInfo, ok bool, err error) {
	info, err = r.files.Stat(ctx, blobFile(d))
	if absent(err) {
		return nil, false, nil
	}
	return info, err == nil, err
}

// Image is a tag of a repository as people see it.
type Image struct {
	Repository string    `json:"repository"`
	Tag        string    `json:"tag,omitempty"`
	Digest     string    `json:"digest"`
	MediaType  string    `json:"media_type"`
	Bytes      int64     `json:"bytes" doc:"of all its layers; of an index, of the images in it"`
	Config     string    `json:"config,omitempty"`
	Pushed     time.Time `json:"pushed"`
	Index      bool      `json:"index,omitempty"`
	NeededBy   string    `json:"needed_by,omitempty"`
	Children   []string  `json:"children,omitempty"`
	Subject    string    `json:"subject,omitempty"` // digest of the image that it is about
}

// Images lists a repository's tags, the newest first.
func (r *Registry) Images(ctx context.Context, repository string) ([]Image, error) {
	tags, err := r.Tags(ctx, repository)
	if fail.Is(err, fail.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	known, err := r.manifests(ctx, repository)
	if err != nil {
		return nil, err
	}
	out := make([]Image, 0, len(tags))
	for _, tag := range tags {
		d, at, ok, err := r.tag(ctx, repository, tag)
		if err != nil {
			return nil, err
		}
		m := known[d]
		if !ok || m == nil {
			continue
		}
		im := Image{Repository: repository, Tag: tag, Digest: d.String(), MediaType: m.MediaType, Bytes: m.size, Config: m.config.String(),
			Pushed: at, Index: len(m.children) > 0, Subject: string(m.subject)}
		for _, c := range m.children {
			im.Children = append(im.Children, c.String())
			if child := known[c]; child != nil {
				im.Bytes += child.size
			}
		}
		out = append(out, im)
	}
	slices.SortStableFunc(out, func(a, b Image) int { return b.Pushed.Compare(a.Pushed) })
	return out, nil
}

// tag gives what a tag points at, and since when.
func (r *Registry) tag(ctx context.Context, repository, tag string) (d digest.Digest, at time.Time, ok bool, err error) {
	file := path.Join("/docker/registry/v2/repositories", repository, "_manifests/tags", tag, "current/link")
	info, err := r.files.Stat(ctx, file)
	if absent(err) {
		return "", at, false, nil
	}
	if err != nil {
		return "", at, false, err
	}
	b, err := r.files.GetContent(ctx, file)
	if absent(err) {
		return "", at, false, nil
	}
	if err != nil {
		return "", at, false, err
	}
	d, err = digest.Parse(strings.TrimSpace(string(b)))
	return d, info.ModTime(), err == nil, err
}

// Blob opens a blob of a repository for reading.
func (r *Registry) Blob(ctx context.Context, repository string, d digest.Digest) (io.ReadCloser, error) {
	repo, err := r.repository(ctx, repository)
	if err != nil {
		return nil, err
	}
	f, err := repo.Blobs(ctx).Open(ctx, d)
	if errors.Is(err, distribution.ErrBlobUnknown) || absent(err) {
		return nil, fail.New(fail.NotFound, "%s has no blob %s", repository, d)
	}
	return f, err
}

// Resolve finds an image by tag or digest.
func (r *Registry) Resolve(ctx context.Context, repository, ref string) (*Image, error) {
	if d, err := digest.Parse(ref); err == nil {
		if !r.Has(ctx, repository, d) { // another's may be known
			return nil, fail.New(fail.NotFound, "there is no image %s@%s", repository, d)
		}
		repo, err := r.repository(ctx, repository)
		if err != nil {
			return nil, err
		}
		m, err := r.manifest(ctx, repo, d)
		if err != nil {
			return nil, fail.New(fail.NotFound, "there is no image %s@%s", repository, d).Because(err)
		}
		im := &Image{Repository: repository, Digest: ref, MediaType: m.MediaType, Bytes: m.size, Config: m.config.String(), Index: len(m.children) > 0}
		for _, c := range m.children {
			im.Children = append(im.Children, c.String())
		}
		return im, nil
	}
	images, err := r.Images(ctx, repository)
	for i := range images {
		if images[i].Tag == ref {
			return &images[i], nil
		}
	}
	if err != nil {
		return nil, err
	}
	return nil, fail.New(fail.NotFound, "there is no image %s:%s", repository, ref).Then("see its tags, or push it first")
}

// Layers lists an image's layers, the lowest first; of an index, those of the image for this machine's architecture or
// else of the first.
func (r *Registry) Layers(ctx context.Context, im *Image, architecture string) ([]v1.Descriptor, error) {
	repo, err := r.repository(ctx, im.Repository)
	if err != nil {
		return nil, err
	}
	service, err := repo.Manifests(ctx)
	if err != nil {
		return nil, err
	}
	at := digest.Digest(im.Digest)
	for range 3 { // an index may hold an index; deeper ones are nobody's
		stored, err := service.Get(ctx, at)
		if err != nil {
			return nil, fail.Wrap(err, fail.NotFound, "image %s of %s cannot be read", at, im.Repository)
		}
		_, body, err := stored.Payload()
		if err != nil {
			return nil, err
		}
		var doc struct {
			Layers    []v1.Descriptor `json:"layers"`
			Manifests []v1.Descriptor `json:"manifests"`
		}
		if err := json.Unmarshal(body, &doc); err != nil {
			return nil, err
		}
		if len(doc.Manifests) == 0 {
			return doc.Layers, nil
		}
		at = doc.Manifests[0].Digest
		for _, m := range doc.Manifests {
			if m.Platform != nil && m.Platform.Architecture == architecture {
				at = m.Digest
				break
			}
		}
	}
	return nil, fail.New(fail.Unsupported, "%s is an index of indexes", im.Repository)
}

// serveReferrers answers GET /v2/<name>/referrers/<digest> (OCI distribution specification 1.1).
func (r *Registry) serveReferrers(w http.ResponseWriter, q *http.Request, repository, subject string) {
	d, err := digest.Parse(subject)
	if err != nil {
		writeError(w, http.StatusBadRequest, "DIGEST_INVALID", "what follows referrers/ is not a digest")
		return
	}
	attached, err := r.Attached(q.Context(), repository, d)
	if err != nil {
		r.log.Error("referrers cannot be read", "repository", repository, "err", err)
		writeError(w, http.StatusServiceUnavailable, "UNAVAILABLE", "the referrers cannot be read now")
		return
	}
	want := q.URL.Query().Get("artifactType")
	index := v1.Index{MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{}}
	index.SchemaVersion = 2
	for _, m := range attached {
		if want == "" || want == m.ArtifactType {
			index.Manifests = append(index.Manifests, m)
		}
	}
	w.Header().Set("Content-Type", v1.MediaTypeImageIndex)
	if want != "" {
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	_ = json.NewEncoder(w).Encode(index)
}

// Attached lists what is stored in a repository about one of its images: signatures, SBOMs and the like.
func (r *Registry) Attached(ctx context.Context, repository string, d digest.Digest) ([]v1.Descriptor, error) {
	known, err := r.manifests(ctx, repository)
	if err != nil {
		return nil, err
	}
	var out []v1.Descriptor
	for _, m := range known {
		if m.subject == d {
			out = append(out, m.Descriptor)
		}
	}
	slices.SortFunc(out, func(a, b v1.Descriptor) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
	return out, nil
}

// retag makes a tag point at what another, or a digest, points at.
func (r *Registry) retag(ctx context.Context, repository, tag string, d digest.Digest) error {
	if _, err := reference.WithTag(must(reference.WithName(repository)), tag); err != nil {
		return fail.Field("tag", "%q is not a tag", tag).Then("use letters, digits, dots, hyphens and underscores, at most 128")
	}
	repo, err := r.repository(ctx, repository)
	if err != nil {
		return err
	}
	return repo.Tags(ctx).Tag(ctx, tag, v1.Descriptor{Digest: d})
}

func must(n reference.Named, _ error) reference.Named { return n }

// Has tells whether a repository has an image; an error to look counts as yes.
func (r *Registry) Has(ctx context.Context, repository string, d digest.Digest) bool {
	if d.Validate() != nil {
		return true
	}
	_, err := r.files.Stat(ctx, path.Join("/docker/registry/v2/repositories", repository, "_manifests/revisions", string(d.Algorithm()), d.Encoded(), "link"))
	return !absent(err)
}
