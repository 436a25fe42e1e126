package cloud

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/cli"
	"github.com/awancloud/awan/internal/engine/object/file"
	"github.com/awancloud/awan/internal/engine/object/s3"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// ObjectPlace says where the bytes of objects lie. The zero value: in the data folder.
type ObjectPlace struct {
	Dirs []string    // folders, each on a disk of its own; blocks are spread over them, with parity
	S3   *s3.Options // another store
}

// Variables that hold the key of the S3 store behind, when no file does.
const (
	objectAccessVar = "AWAN_OBJECT_S3_ACCESS_KEY"
	objectSecretVar = "AWAN_OBJECT_S3_SECRET_KEY"
)

// objectPlace reads what the operator says of where objects lie.
func objectPlace(o cli.UpOptions, env func(string) string) (p ObjectPlace, err error) {
	for _, dir := range o.ObjectDirs {
		abs, err := filepath.Abs(dir)
		if err != nil || dir == "" {
			return p, fail.Field("object-dirs", "%q is no path", dir)
		}
		p.Dirs = append(p.Dirs, abs)
	}
	if o.ObjectS3 == "" {
		if o.ObjectS3Region != "" || o.ObjectS3CA != "" || o.ObjectS3KeyFile != "" {
			return p, fail.Field("object-s3", "is not given").Then("give --object-s3 https://HOST/BUCKET/PREFIX with the other flags")
		}
		return p, nil
	}
	if len(p.Dirs) > 0 {
		return p, fail.Field("object-s3", "and --object-dirs exclude each other").Then("give one of them")
	}
	u, err := url.Parse(o.ObjectS3)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Scheme != "https" && u.Scheme != "http" {
		return p, fail.Field("object-s3", "%q is not https://HOST/BUCKET/PREFIX", o.ObjectS3).Then("write the key into a file or the environment, not into the address")
	}
	bucket, prefix, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	if prefix != "" {
		prefix += "/"
	}
	p.S3 = &s3.Options{Endpoint: u.Scheme + "://" + u.Host, Bucket: bucket, Prefix: prefix, Region: o.ObjectS3Region, AccessKey: env(objectAccessVar), SecretKey: env(objectSecretVar)}
	if o.ObjectS3KeyFile != "" {
		b, err := os.ReadFile(o.ObjectS3KeyFile)
		if err != nil {
			return p, fail.Field("object-s3-key-file", "%s cannot be read", o.ObjectS3KeyFile).Because(err)
		}
		words := strings.Fields(string(b))
		if len(words) != 2 {
			return p, fail.Field("object-s3-key-file", "%s does not hold an access key and its secret", o.ObjectS3KeyFile).Then("write one on each of two lines")
		}
		p.S3.AccessKey, p.S3.SecretKey = words[0], words[1]
	}
	if p.S3.AccessKey == "" || p.S3.SecretKey == "" {
		return p, fail.Field("object-s3", "needs an access key and its secret").Then("set %s and %s, or give --object-s3-key-file", objectAccessVar, objectSecretVar)
	}
	if o.ObjectS3CA != "" {
		if p.S3.CA, err = os.ReadFile(o.ObjectS3CA); err != nil {
			return p, fail.Field("object-s3-ca", "%s cannot be read", o.ObjectS3CA).Because(err)
		}
	}
	return p, nil
}

// objectRecord is kept in the data folder: a cloud that looked for its objects in another place than they lie in would find none.
type objectRecord struct {
	Owner string   `json:"owner"` // what this cloud is called in a store that others may use too
	At    string   `json:"at"`    // "folders", or the store's address
	Dirs  []string `json:"dirs,omitempty"`
}

// openObjects opens the engine that keeps objects' bytes, where it did before.
func (c *Cloud) openObjects(ctx context.Context) error {
	now := objectRecord{At: "folders", Dirs: slices.Clone(c.Objects.Dirs)}
	if c.Objects.S3 != nil {
		now.At = c.Objects.S3.Endpoint + "/" + c.Objects.S3.Bucket + "/" + c.Objects.S3.Prefix
	}
	if len(now.Dirs) == 0 && c.Objects.S3 == nil {
		now.Dirs = []string{c.path("objects")}
	}
	was, err := c.readObjectRecord()
	if err != nil {
		return err
	}
	if was != nil {
		now.Owner = was.Owner
		if err := was.same(&now); err != nil {
			return err
		}
	} else {
		now.Owner = rand.Text()
	}
	if c.Objects.S3 != nil {
		o := *c.Objects.S3
		o.Owner, o.Log = now.Owner, c.Log
		c.Blobs, err = s3.Open(ctx, o)
	} else {
		c.Blobs, err = file.Open(file.Options{Dirs: now.Dirs, Log: c.Log})
	}
	if err != nil {
		return err
	}
	if was == nil || !slices.Equal(was.Dirs, now.Dirs) {
		err = c.writeObjectRecord(&now)
	}
	return err
}

// same refuses another place. Folders may have moved, and one of them may be new: the engine knows them by what they hold.
func (was *objectRecord) same(now *objectRecord) error {
	if was.At != now.At {
		return fail.New(fail.Precondition, "the objects of this cloud lie in %s, not in %s", was.place(), now.place()).
			Then("start it with the flags it was started with; to move, start a new cloud and copy the buckets")
	}
	if len(was.Dirs) != len(now.Dirs) {
		return fail.New(fail.Precondition, "the objects of this cloud lie in %s; %d folders were given", was.place(), len(now.Dirs)).
			Then("give --object-dirs all of them; their number is fixed when the store is made")
	}
	if was.At != "folders" {
		return nil
	}
	for _, dir := range now.Dirs {
		if _, err := os.Stat(filepath.Join(dir, "format.json")); err == nil {
			return nil
		}
	}
	return fail.New(fail.Precondition, "none of the folders %s holds objects of this cloud, which lie in %s", strings.Join(now.Dirs, ", "), was.place()).
		Then("mount the disks, or give --object-dirs the folders as they are called now")
}

func (was *objectRecord) place() string {
	if was.At != "folders" {
		return was.At
	}
	return strings.Join(was.Dirs, ", ")
}

func (c *Cloud) readObjectRecord() (*objectRecord, error) {
	b, err := os.ReadFile(c.path("objects.json"))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(c.path("objects"), "format.json")); err == nil { // a data folder from before there was a choice
			return &objectRecord{Owner: rand.Text(), At: "folders", Dirs: []string{c.path("objects")}}, nil
		}
		return nil, nil
	}
	var r objectRecord
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		return nil, fail.Wrap(err, fail.DataLoss, "%s, which says where objects lie, cannot be read", c.path("objects.json"))
	}
	return &r, nil
}

// writeObjectRecord replaces the record, so that a crash leaves the old one or the new.
func (c *Cloud) writeObjectRecord(r *objectRecord) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	tmp := c.path("objects.json.new")
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, c.path("objects.json"))
}
