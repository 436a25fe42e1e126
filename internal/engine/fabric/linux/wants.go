package linux

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/fabric"
	"github.com/awancloud/awan/internal/service/fabric/reach"
)

// wants is all that the engine was told, in memory and in files beside the kernel's state: both live until the machine
// is switched off. After a restart of awan the files say what the kernel's rules mean until the caller has told everything
// again, so that being told of the first port takes nothing away from the second.
type wants struct {
	reach.World
	dir   string
	links map[id.ID]netip.Addr // VPC → its end of the cable to the outside
	// heirs are the ports that announced an allowed address last.
	heirs map[heir]id.ID
}

type heir struct {
	vpc  id.ID
	addr netip.Addr
}

// kept is one file.
type kept struct {
	VPC   *fabric.VPC   `json:",omitempty"`
	Group *fabric.Group `json:",omitempty"`
	Port  *fabric.Port  `json:",omitempty"`
	Link  netip.Addr    `json:",omitzero"`
	Heir  []netip.Addr  `json:",omitempty"`
}

func recall(dir string) (*wants, error) {
	w := &wants{World: reach.New(), dir: dir, links: map[id.ID]netip.Addr{}, heirs: map[heir]id.ID{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		kind, name, _ := strings.Cut(e.Name(), "-")
		var k kept
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(e.Name(), ".new") { // half written when the process ended: the caller says it again
			if err := w.forgetFile(filepath.Join(dir, e.Name())); err != nil {
				return nil, err
			}
			continue
		}
		if json.Unmarshal(b, &k) != nil {
			continue
		}
		switch n := id.ID(name); {
		case kind == "vpc" && k.VPC != nil:
			w.VPCs[n], w.links[n] = *k.VPC, k.Link
		case kind == "group" && k.Group != nil:
			w.Groups[n] = *k.Group
		case kind == "port" && k.Port != nil:
			w.Ports[n] = *k.Port
			for _, a := range k.Heir {
				w.heirs[heir{k.Port.VPC, a}] = n
			}
		}
	}
	return w, nil
}

func (w *wants) keep(kind string, name id.ID, k kept) error {
	b, err := json.Marshal(k)
	if err != nil {
		return err
	}
	path := filepath.Join(w.dir, kind+"-"+string(name))
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (w *wants) keepVPC(name id.ID) error {
	v := w.VPCs[name]
	return w.keep("vpc", name, kept{VPC: &v, Link: w.links[name]})
}

func (w *wants) keepPort(name id.ID) error {
	p := w.Ports[name]
	k := kept{Port: &p}
	for h, who := range w.heirs {
		if who == name {
			k.Heir = append(k.Heir, h.addr)
		}
	}
	return w.keep("port", name, k)
}

func (w *wants) forget(kind string, name id.ID) error {
	return w.forgetFile(filepath.Join(w.dir, kind+"-"+string(name)))
}

// published are the addresses that the machine answers for on each of its uplinks.
func (w *wants) published() (map[string][]netip.Addr, error) {
	b, err := os.ReadFile(filepath.Join(w.dir, "published"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	out := map[string][]netip.Addr{}
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	return out, err
}

// setPublished notes them: before the change those of both sides of it, afterwards those that are left.
func (w *wants) setPublished(now, old map[string][]netip.Addr) error {
	both := map[string][]netip.Addr{}
	for _, m := range []map[string][]netip.Addr{now, old} {
		for up, list := range m {
			for _, a := range list {
				if !slices.Contains(both[up], a) {
					both[up] = append(both[up], a)
				}
			}
		}
	}
	path := filepath.Join(w.dir, "published")
	if len(both) == 0 {
		return w.forgetFile(path)
	}
	b, err := json.Marshal(both)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (w *wants) forgetFile(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
