package cloudtest

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// ErrNoBusybox says that images cannot be made here.
var ErrNoBusybox = errors.New("busybox-static is not installed")

// Image makes an image of static busybox, the given files and a command.
func Image(files map[string]string, command ...string) (v1.Image, error) {
	box, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return nil, ErrNoBusybox
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, d := range []string{"bin", "www", "tmp"} {
		_ = w.WriteHeader(&tar.Header{Name: d + "/", Typeflag: tar.TypeDir, Mode: 0o1777})
	}
	_ = w.WriteHeader(&tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(box))})
	_, _ = w.Write(box)
	for _, link := range []string{"sh", "httpd", "sleep", "cat", "echo", "nc", "dd", "id", "yes", "tail", "rm"} {
		_ = w.WriteHeader(&tar.Header{Name: "bin/" + link, Typeflag: tar.TypeSymlink, Linkname: "busybox"})
	}
	for file, text := range files {
		_ = w.WriteHeader(&tar.Header{Name: file, Mode: 0o755, Size: int64(len(text))})
		_, _ = w.Write([]byte(text))
	}
	_ = w.Close() // writes to memory do not fail
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(img, &v1.ConfigFile{Architecture: "amd64", OS: "linux", RootFS: config.RootFS,
		Config: v1.Config{Cmd: command, Env: []string{"PATH=/bin"}}})
}

// Web is an image's content that answers every request with a text.
func Web(text string) (map[string]string, []string) {
	return map[string]string{"www/index.html": text}, []string{"/bin/sh", "-c", "trap 'exit 0' TERM; httpd -f -p $PORT -h /www & wait"}
}

// Push puts an image into the project's repositories, as any OCI client does.
func (c *Client) Push(ref string, files map[string]string, command ...string) {
	c.T.Helper()
	img, err := Image(files, command...)
	if errors.Is(err, ErrNoBusybox) {
		c.T.Skipf("%v", err)
	}
	if err != nil {
		c.T.Fatalf("image: %v", err)
	}
	tag, err := name.ParseReference(strings.TrimPrefix(c.URL, "https://") + "/" + c.Project + "/" + ref)
	if err != nil {
		c.T.Fatalf("image: %v", err)
	}
	err = remote.Write(tag, img, remote.WithTransport(c.HTTP.Transport), remote.WithAuth(&authn.Basic{Username: "token", Password: c.Token}))
	if err != nil {
		c.T.Fatalf("push %s: %v", ref, err)
	}
}

// PushWeb pushes an image that answers with a text.
func (c *Client) PushWeb(ref, text string) {
	c.T.Helper()
	files, command := Web(text)
	c.Push(ref, files, command...)
}

// Deploy makes an app of an image; it must come to run.
func (c *Client) Deploy(app, image string, spec map[string]any) Component {
	c.T.Helper()
	full := map[string]any{"source": map[string]any{"image": image}, "memory": 32, "cpu": 200}
	for k, v := range spec {
		full[k] = v
	}
	c.Must("POST", c.Components(), map[string]any{"name": app, "spec": full})
	return c.Component(app)
}
