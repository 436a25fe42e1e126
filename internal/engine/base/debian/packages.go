package debian

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Packages fetches Debian packages from this machine's own sources for those who need files out of them: machine images.
type Packages struct{ b *Bases }

// OpenPackages keeps package lists under dir.
func OpenPackages(dir string) (*Packages, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fail.Wrap(err, fail.Internal, "the folder for packages")
	}
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o700); err != nil {
		return nil, fail.Wrap(err, fail.NoSpace, "cannot make the folder for packages")
	}
	return &Packages{&Bases{o: Options{Dir: dir}, log: slog.New(slog.DiscardHandler)}}, nil
}

// Unpack downloads packages and unpacks them into dir, without their dependencies and without running their scripts. It
// tells what came, "name version" each.
func (p *Packages) Unpack(ctx context.Context, dir string, log func(line string), names ...string) ([]string, error) {
	work, err := os.MkdirTemp(filepath.Join(p.b.o.Dir, "tmp"), "unpack-")
	if err != nil {
		return nil, fail.Wrap(err, fail.NoSpace, "downloading packages")
	}
	defer os.RemoveAll(work)
	return p.b.unpack(ctx, names, dir, work, log)
}

// Depends lists what a package names as its dependencies: which kernel a kernel's metapackage means.
func (p *Packages) Depends(ctx context.Context, name string, log func(line string)) ([]string, error) {
	p.b.apt.Lock()
	defer p.b.apt.Unlock()
	call, err := p.b.update(ctx, log)
	if err != nil {
		return nil, err
	}
	var options []string
	for i := 0; i+1 < len(call); i++ {
		if call[i] == "-o" {
			options = append(options, "-o", call[i+1])
		}
	}
	out, err := exec.CommandContext(ctx, "apt-cache", append(options, "depends", "--important", name)...).Output()
	if err != nil {
		return nil, fail.Wrap(err, fail.Unavailable, "the package %s is not in this machine's sources", name)
	}
	var all []string
	for line := range strings.Lines(string(out)) {
		if d, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: "); ok {
			all = append(all, d)
		}
	}
	return all, nil
}
