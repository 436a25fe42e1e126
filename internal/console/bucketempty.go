package console

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/bucket"
)

// bucketDelete deletes an empty bucket.
func (q *request) bucketDelete() error {
	p, api, err := q.bucketPage("settings")
	if err != nil {
		return err
	}
	if strings.TrimSpace(q.PostForm.Get("confirm")) != p.Name {
		return fail.New(fail.Invalid, "the name that you typed is not %q, so nothing was deleted", p.Name).Then("go back and type the bucket's name")
	}
	if err := api.DeleteBucket(q.Context(), q.caller(), p.Name); err != nil {
		return err
	}
	q.flash("Bucket " + p.Name + " was deleted.")
	return q.see("/buckets")
}

// emptyTime bounds how long one request deletes; what is left is deleted by the next one.
const emptyTime = 40 * time.Second

// bucketEmpty deletes everything in a bucket, versions and parts included; what is locked stays.
func (q *request) bucketEmpty() error {
	p, api, err := q.bucketPage("settings")
	if err != nil {
		return err
	}
	if strings.TrimSpace(q.PostForm.Get("confirm")) != p.Name {
		return fail.New(fail.Invalid, "the name that you typed is not %q, so nothing was deleted", p.Name).Then("go back and type the bucket's name")
	}
	ctx, cancel := context.WithTimeout(q.Context(), emptyTime)
	defer cancel()
	done, kept, rest, err := q.sweep(ctx, api, p.Name, "", true)
	if err != nil {
		return err
	}
	q.flash(sweptText(done, kept, rest))
	return q.see(p.Path)
}

func sweptText(done, kept int, rest bool) string {
	text := plural(done, "object or version", "objects and versions") + " went"
	if kept > 0 {
		text += "; " + strconv.Itoa(kept) + " are locked or held, or not yours to delete, and stay"
	}
	if rest {
		text += "; more are left: do it again"
	}
	return text + "."
}

// sweep deletes what begins with prefix: with versions, for good; without, as a delete of each.
func (q *request) sweep(ctx context.Context, api bucket.API, name, prefix string, versions bool) (done, kept int, rest bool, err error) {
	in := &bucket.ListInput{Bucket: name, Prefix: prefix, Max: bucket.MaxDelete, Versions: versions}
	for {
		out, err := api.List(q.Context(), q.caller(), in)
		if err != nil {
			return done, kept, false, err
		}
		var drop []bucket.DeleteInput
		for i := range out.Objects {
			d := bucket.DeleteInput{Key: out.Objects[i].Key}
			if versions {
				d.Version = out.Objects[i].Version
			}
			drop = append(drop, d)
		}
		if len(drop) > 0 {
			went, err := api.DeleteMany(q.Context(), q.caller(), name, drop)
			if err != nil {
				return done, kept, false, err
			}
			for _, d := range went {
				if d.Err != nil {
					kept++
				} else {
					done++
				}
			}
		}
		if !out.Truncated {
			break
		}
		if ctx.Err() != nil {
			return done, kept, true, nil
		}
		in.After, in.AfterVersion = out.Next, out.NextVersion
	}
	for versions {
		ups, _, more, err := api.Uploads(q.Context(), q.caller(), &bucket.ListInput{Bucket: name, Prefix: prefix, Max: bucket.MaxList})
		if err != nil {
			return done, kept, false, err
		}
		for _, u := range ups {
			if err := api.Abort(q.Context(), q.caller(), name, u.Key, u.ID); err != nil && !fail.Is(err, fail.NotFound) {
				return done, kept, false, err
			}
		}
		if !more || len(ups) == 0 {
			break
		}
	}
	return done, kept, false, nil
}
