package containerd

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/workload"
)

// rootFiles are where systems keep the certificates they trust: Debian and Alpine, Red Hat, SUSE, and others.
var rootFiles = []string{"etc/ssl/certs/ca-certificates.crt", "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "etc/pki/tls/certs/ca-bundle.crt",
	"etc/ssl/ca-bundle.pem", "etc/ssl/cert.pem"}

// maxRoots is more than any system's roots have, in bytes.
const maxRoots = 4 << 20

// trust is a folder of certificates that is shown to instances; nil: there is none.
type trust struct {
	folder string
	alone  bool // no other roots were found, so what brings its own must not be given ours in their place
}

// roots makes the folder for an instance. Instances of one image share it.
func (e *Engine) roots(w workload.Want, root string) (*trust, error) {
	if len(w.Trust) == 0 {
		return nil, nil
	}
	have, err := rootsIn(root)
	if err == nil && have == nil {
		have, err = rootsIn("/")
	}
	if err != nil {
		return nil, err
	}
	all := append(append(bytes.Clone(have), '\n'), w.Trust...)
	sum := sha256.Sum256(append(append(bytes.Clone(w.Trust), 0), all...))
	t := &trust{folder: filepath.Join(e.paths.run, "ca", hex.EncodeToString(sum[:12])), alone: have == nil}
	if _, err := os.Stat(t.folder); err == nil {
		return t, nil
	}
	if err := t.write(w.Trust, all); err != nil {
		return nil, fail.Wrap(err, fail.NoSpace, "the certificates that the instance trusts cannot be written")
	}
	return t, nil
}

// write makes the folder at one moment: others may start instances with it meanwhile.
func (t *trust) write(own, all []byte) error {
	if err := os.MkdirAll(filepath.Dir(t.folder), 0o711); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(t.folder), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	err = errors.Join(os.Chmod(tmp, 0o755), os.WriteFile(filepath.Join(tmp, path.Base(workload.TrustFile)), own, 0o644),
		os.WriteFile(filepath.Join(tmp, path.Base(workload.RootsFile)), all, 0o644))
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, t.folder); err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

func (t *trust) mounts() []specs.Mount {
	if t == nil {
		return nil
	}
	return []specs.Mount{{Destination: path.Dir(workload.RootsFile), Type: "bind", Source: t.folder,
		Options: []string{"rbind", "rprivate", "ro", "nosuid", "noexec", "nodev"}}}
}

func (t *trust) variables() map[string]string {
	if t == nil {
		return nil
	}
	v := workload.TrustVariables()
	if t.alone {
		delete(v, "REQUESTS_CA_BUNDLE")
	}
	return v
}

// rootsIn finds what a system trusts; nil when it has nothing. Links of the system stay inside it.
func rootsIn(root string) ([]byte, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for _, name := range rootFiles {
		if b := certificates(r, name); b != nil {
			return b, nil
		}
	}
	return nil, nil
}

func certificates(r *os.Root, name string) []byte {
	f, err := r.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0) // whatever an image has there, it does not make us wait
	if err != nil {
		return nil
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() || st.Size() > maxRoots {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(f, maxRoots))
	if err != nil || !bytes.Contains(b, []byte("-----BEGIN CERTIFICATE-----")) {
		return nil
	}
	return b
}
