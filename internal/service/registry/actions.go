package registry

import (
	"context"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/kind"
	"github.com/awancloud/awan/internal/kernel/store"
)

// TagIn names a tag, or a digest.
type TagIn struct {
	Tag string `json:"tag" doc:"the tag, or the digest of an image with all its tags" required:"true" max:"255" example:"v1"`
}

// shown is a tag in the list of a repository's images.
type shown struct {
	Tag      string    `json:"tag"`
	Digest   string    `json:"digest"`
	Bytes    int64     `json:"size_bytes"`
	Pushed   time.Time `json:"pushed"`
	NeededBy string    `json:"needed_by"`
}

// RetagIn gives an image one more name.
type RetagIn struct {
	From      string `json:"from" doc:"a tag or digest that is there" required:"true" max:"255" example:"v1"`
	To        string `json:"to" doc:"the new tag" required:"true" pattern:"^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$" example:"stable"`
	Overwrite bool   `json:"overwrite" doc:"take the tag away from another image"`
}

type repositoryAction = kind.Action[RepositorySpec, RepositoryStatus]

func (k *Kinds) repositoryActions() []repositoryAction {
	return []repositoryAction{
		{Verb: "images", Doc: "the tags with their digests and sizes, the newest first", Level: kind.Read, Serve: func(ctx context.Context, row *RepositoryRow, _ any, s kind.Stream) error {
			images, err := k.Listed(ctx, row)
			if err != nil {
				return err
			}
			items := make([]shown, len(images))
			for i, im := range images {
				items[i] = shown{im.Tag, im.Digest, im.Bytes, im.Pushed, im.NeededBy}
			}
			return s.Emit(map[string]any{"items": items})
		}},
		{Verb: "delete-image", Doc: "remove a tag, or an image by digest", Level: kind.Write, In: TagIn{}, Serve: func(ctx context.Context, row *RepositoryRow, in any, s kind.Stream) error {
			ref := in.(*TagIn).Tag
			if err := k.DeleteImage(ctx, row, ref, s.Meta); err != nil {
				return err
			}
			return s.Emit(map[string]string{"deleted": ref})
		}},
		{Verb: "tag-image", Doc: "give an image one more tag", Level: kind.Write, In: RetagIn{}, Serve: func(ctx context.Context, row *RepositoryRow, in any, s kind.Stream) error {
			im, err := k.TagImage(ctx, row, *in.(*RetagIn), s.Meta)
			if err != nil {
				return err
			}
			return s.Emit(im)
		}},
	}
}

// Listed lists a repository's images with what needs them.
func (k *Kinds) Listed(ctx context.Context, row *RepositoryRow) ([]Image, error) {
	images, err := k.registry.Images(ctx, row.Status.Path)
	if err != nil {
		return nil, err
	}
	needed, err := k.registry.neededImages(ctx)
	for i := range images {
		images[i].NeededBy = needed[row.Status.Path+"@"+images[i].Digest]
	}
	return images, err
}

// Attached lists what is stored about one image of a repository.
func (k *Kinds) Attached(ctx context.Context, row *RepositoryRow, d digest.Digest) ([]v1.Descriptor, error) {
	return k.registry.Attached(ctx, row.Status.Path, d)
}

func by(ctx context.Context, verb, ref string) change {
	return change{who: ident.From(ctx), source: inDoor, verb: verb, ref: ref}
}

// DeleteImage removes a tag, or an image by digest.
func (k *Kinds) DeleteImage(ctx context.Context, row *RepositoryRow, ref string, _ kind.Meta) error {
	r, path := k.registry, row.Status.Path
	if _, err := digest.Parse(ref); err == nil {
		if err := r.store.View(ctx, func(tx store.Tx) error { return k.unneeded(tx, path, ref) }); err != nil {
			return err
		}
		if _, err := r.Resolve(ctx, path, ref); err != nil {
			return err
		}
		return r.delete(ctx, path, ref, by(ctx, Delete, ref))
	}
	if _, _, ok, err := r.tag(ctx, path, ref); err != nil || !ok {
		if err == nil {
			err = fail.New(fail.NotFound, "%s has no tag %q", row.Name, ref).Then("see awan repository images %s", row.Name)
		}
		return err
	}
	return r.untag(ctx, path, ref, by(ctx, Delete, ref))
}

// TagImage gives an image one more tag.
func (k *Kinds) TagImage(ctx context.Context, row *RepositoryRow, in RetagIn, _ kind.Meta) (*Image, error) {
	r, path := k.registry, row.Status.Path
	im, err := r.Resolve(ctx, path, in.From)
	if err != nil {
		return nil, err
	}
	if was, _, ok, err := r.tag(ctx, path, in.To); err != nil {
		return nil, err
	} else if ok && was.String() != im.Digest && !in.Overwrite {
		return nil, fail.New(fail.Exists, "%s has a tag %q already", row.Name, in.To).Then("choose another, or say to overwrite it")
	}
	d := digest.Digest(im.Digest)
	r.relied.touch(r.now(), d)
	if err := r.retag(ctx, path, in.To, d); err != nil {
		return nil, err
	}
	c := by(ctx, Push, in.To)
	c.digest = d
	if err := r.account(ctx, path, c); err != nil {
		return nil, err
	}
	return r.Resolve(ctx, path, in.To)
}
