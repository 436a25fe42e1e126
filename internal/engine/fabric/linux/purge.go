package linux

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Purge removes everything that a cloud's key left in this machine's network, also what no engine remembers. state is
// what Options.State was. Absent is success.
func Purge(_ context.Context, key, state string) error {
	if len(key) != 6 {
		return errors.New("a cloud's key has six letters or digits")
	}
	if state == "" {
		state = filepath.Join("/run/awan-net", key)
	}
	e := &Engine{key: key, w: &wants{dir: state}, spaces: map[string]*space{}}
	defer func() {
		for _, s := range e.spaces {
			s.close()
		}
	}()
	machine, err := e.space("")
	if err != nil {
		return err
	}
	names, err := listNamespaces(prefix + key + "-")
	errs := []error{err}
	for _, n := range names {
		errs = append(errs, e.raze(n))
	}
	old, err := e.w.published()
	if err == nil {
		links, err := machine.links()
		errs = append(errs, err)
		for up, list := range old {
			for _, a := range list {
				if links[up] == nil {
					continue
				}
				if err := machine.link.NeighDel(neighbor{device: up, addr: a, proxy: true}.object("", links)); err != nil && !errors.Is(err, unix.ENOENT) {
					errs = append(errs, err)
				}
			}
		}
	}
	errs = append(errs, machine.dropTable(e.hostTable(), nftables.TableFamilyINet), e.razeEdge(machine), os.RemoveAll(state))
	return errors.Join(errs...)
}
