package cloud

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/awancloud/awan/internal/cli"
	"github.com/awancloud/awan/internal/engine/object/s3"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// TestObjectPlace: what the operator says of where objects lie. Keys come from the environment or a file.
func TestObjectPlace(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte("AK\nSK\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := func(name string) string { return map[string]string{objectAccessVar: "EA", objectSecretVar: "ES"}[name] }
	nothing := func(string) string { return "" }
	for _, tc := range []struct {
		o    cli.UpOptions
		env  func(string) string
		want string // the store, or a part of the error
	}{
		{cli.UpOptions{}, env, ""},
		{cli.UpOptions{ObjectS3: "https://s3.example.org/b"}, env, "https://s3.example.org b  EA ES"},
		{cli.UpOptions{ObjectS3: "https://s3.example.org/b/p/q/", ObjectS3KeyFile: keys}, env, "https://s3.example.org b p/q/ AK SK"},
		{cli.UpOptions{ObjectS3: "https://s3.example.org/b"}, nothing, "needs an access key"},
		{cli.UpOptions{ObjectS3: "https://a:b@s3.example.org/b"}, env, "is not https://HOST/BUCKET/PREFIX"},
		{cli.UpOptions{ObjectS3: "s3://b"}, env, "is not https://HOST/BUCKET/PREFIX"},
		{cli.UpOptions{ObjectS3: "https://s3.example.org/b", ObjectDirs: []string{"/a"}}, env, "exclude each other"},
		{cli.UpOptions{ObjectS3: "https://s3.example.org/b", ObjectS3KeyFile: "/none"}, env, "cannot be read"},
		{cli.UpOptions{ObjectS3Region: "x"}, env, "is not given"},
		{cli.UpOptions{ObjectDirs: []string{""}}, env, "is no path"},
	} {
		p, err := objectPlace(tc.o, tc.env)
		got := ""
		switch {
		case err != nil:
			got = err.Error()
		case p.S3 != nil:
			got = strings.Join([]string{p.S3.Endpoint, p.S3.Bucket, p.S3.Prefix, p.S3.AccessKey, p.S3.SecretKey}, " ")
		}
		if err != nil && !strings.Contains(got, tc.want) || err == nil && got != tc.want {
			t.Errorf("%+v: %q, want %q", tc.o, got, tc.want)
		}
	}
}

// TestObjectsStayWhereTheyAre: a cloud that is started with other flags is refused, rather than finding nothing.
func TestObjectsStayWhereTheyAre(t *testing.T) {
	data := t.TempDir()
	dirs := []string{filepath.Join(data, "d1"), filepath.Join(data, "d2"), filepath.Join(data, "d3")}
	open := func(place ObjectPlace) error {
		c := &Cloud{Options: Options{Data: data, Objects: place}}
		if err := c.openObjects(t.Context()); err != nil {
			return err
		}
		return c.Blobs.Close()
	}
	if err := open(ObjectPlace{Dirs: dirs}); err != nil {
		t.Fatal(err)
	}
	for what, place := range map[string]ObjectPlace{"the data folder": {}, "fewer folders": {Dirs: dirs[:2]},
		"a store": {S3: &s3.Options{Endpoint: "https://s3.example.org", Bucket: "b"}}, "new folders": {Dirs: []string{data + "/n1", data + "/n2", data + "/n3"}}} {
		if err := open(place); !fail.Is(err, fail.Precondition) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := os.Rename(dirs[1], dirs[1]+".moved"); err != nil {
		t.Fatal(err)
	}
	if err := open(ObjectPlace{Dirs: []string{dirs[2], dirs[1] + ".moved", dirs[0]}}); err != nil {
		t.Errorf("folders that moved, in another order: %v", err)
	}
	older := t.TempDir()
	c := &Cloud{Options: Options{Data: older}}
	if err := c.openObjects(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Blobs.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(older, "objects.json")); err != nil { // from before there was a choice
		t.Fatal(err)
	}
	data = older
	if err := open(ObjectPlace{}); err != nil {
		t.Errorf("a data folder without the record: %v", err)
	}
}
