package cloud

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/awancloud/awan/internal/engine/dirlock"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/network"
)

// claims is where the clouds of a machine say which public addresses are theirs: two would take each other's packets. It is
// in memory, as what carries the packets is.
const claims = "/run/awan-public"

// rangeFile keeps the range that a cloud has chosen by itself.
const rangeFile = "public-range"

// claim is the ranges of one cloud; its file's name is the cloud's key.
type claim struct {
	Data   string         `json:"data"`
	Ranges []netip.Prefix `json:"ranges"`
}

// alive tells whether a claim still counts: the cloud runs, or what it made on this machine does.
func (c claim) alive(key string) bool {
	if _, err := net.InterfaceByName("aw-" + key); err == nil {
		return true
	}
	pid, err := runningPid(c.Data)
	return err == nil && pid != 0
}

// takePublic makes the operator's ranges this cloud's own, or chooses one that no other cloud of the machine has. own tells
// that it was chosen: nobody routes it here then.
func takePublic(dir, key, data string, named []network.Pool) (pools []network.Pool, own bool, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, false, fail.Wrap(err, fail.Unavailable, "%s cannot be made", dir)
	}
	lock, err := dirlock.Take(dir)
	if err != nil {
		return nil, false, err
	}
	defer lock.Close()
	others, err := otherClaims(dir, key)
	if err != nil {
		return nil, false, err
	}
	if len(named) > 0 {
		for _, p := range named {
			if o := holder(others, p.Prefix); o != nil {
				return nil, false, fail.Field("public-ips", "the cloud in %s on this machine has addresses of %s", o.Data, p.Prefix).
					Then("name another range, or end that cloud: awan down --data %s --purge", o.Data)
			}
		}
		return named, false, writeClaim(dir, key, data, named)
	}
	pool, err := ownRange(data, others)
	if err != nil {
		return nil, false, err
	}
	pools = []network.Pool{pool}
	return pools, true, writeClaim(dir, key, data, pools)
}

// ownRange is what the cloud has chosen before, else the first that is free.
func ownRange(data string, others []claim) (network.Pool, error) {
	pool, file := network.DefaultPublic, filepath.Join(data, rangeFile)
	b, err := os.ReadFile(file)
	switch {
	case err == nil:
		if pool.Prefix, err = netip.ParsePrefix(strings.TrimSpace(string(b))); err != nil {
			return pool, fail.New(fail.Invalid, "%s does not hold a range of addresses", file).Then("restore it from a backup")
		}
		if o := holder(others, pool.Prefix); o != nil {
			return pool, fail.New(fail.Conflict, "the cloud in %s on this machine took %s, this cloud's public addresses, while this one was down", o.Data, pool.Prefix).
				Then("end that cloud first: awan down --data %s --purge", o.Data)
		}
		return pool, nil
	case !errors.Is(err, fs.ErrNotExist):
		return pool, fail.Wrap(err, fail.Unavailable, "%s cannot be read", file)
	}
	for holder(others, pool.Prefix) != nil {
		a := pool.Prefix.Addr().As4()
		if a[2] += 4; a[2] == 0 { // 172.29.252.0/22 was the last
			return pool, fail.New(fail.Conflict, "the clouds on this machine have all of 172.29.0.0/16").Then("name a range of your own: awan up --public-ips RANGE")
		}
		pool.Prefix = netip.PrefixFrom(netip.AddrFrom4(a), pool.Prefix.Bits())
	}
	if err := os.WriteFile(file, []byte(pool.Prefix.String()+"\n"), 0o600); err != nil {
		return pool, fail.Wrap(err, fail.Unavailable, "%s cannot be written", file)
	}
	return pool, nil
}

func holder(others []claim, p netip.Prefix) *claim {
	for i, o := range others {
		for _, r := range o.Ranges {
			if r.Overlaps(p) {
				return &others[i]
			}
		}
	}
	return nil
}

// otherClaims reads what other clouds have, and forgets those that are gone.
func otherClaims(dir, key string) (out []claim, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		other := strings.TrimSuffix(filepath.Base(f), ".json")
		if other == key {
			continue
		}
		var c claim
		b, err := os.ReadFile(f)
		if err == nil {
			err = json.Unmarshal(b, &c)
		}
		if err != nil {
			return nil, fail.Wrap(err, fail.Unavailable, "%s cannot be read", f)
		}
		if c.alive(other) {
			out = append(out, c)
		} else if err := os.Remove(f); err != nil {
			return nil, fail.Wrap(err, fail.Unavailable, "%s cannot be removed", f)
		}
	}
	return out, nil
}

func writeClaim(dir, key, data string, pools []network.Pool) error {
	c := claim{Data: data}
	for _, p := range pools {
		c.Ranges = append(c.Ranges, p.Prefix)
	}
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, key+".json")
	if err := os.WriteFile(file+".new", b, 0o644); err != nil {
		return fail.Wrap(err, fail.Unavailable, "%s cannot be written", file)
	}
	return os.Rename(file+".new", file)
}

// dropPublic forgets a cloud's claim.
func dropPublic(dir, key string) error {
	if err := os.Remove(filepath.Join(dir, key+".json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
