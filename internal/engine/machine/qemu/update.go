package qemu

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/engine/machine/qemu/qmp"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/machine"
)

// letGo bounds how long a system may take to let go of a device.
var letGo = 20 * time.Second

// update makes a running machine as wanted. What there is is asked of the process, so that a change which a crash cut short
// goes on.
func (e *Engine) update(ctx context.Context, g *guest, q *qmp.Client, rec record, want machine.Want) error {
	if err := machine.CheckLive(rec.Want, want); err != nil {
		return err
	}
	if rec.Want.MilliCPU != want.MilliCPU || len(rec.Want.Disks) != len(want.Disks) {
		if err := e.limit(g.id, want, guestShares); err != nil {
			return err
		}
	}
	have, err := devices(ctx, q)
	if err != nil {
		return err
	}
	if err := e.takeAway(ctx, g, q, rec, want, have); err != nil {
		return err
	}
	rec, _, _ = g.view()
	next := want
	next.Disks = slices.Clone(want.Disks)
	for n, d := range next.Disks {
		old := slices.IndexFunc(rec.Want.Disks, func(o machine.Disk) bool { return o.ID == d.ID })
		if old < 0 || !have[diskDevice(d.ID)] {
			continue
		}
		now := rec.Want.Disks[old].Drive
		if !slices.Contains(chain(now), d.Drive.Path) && !slices.Contains(d.Drive.Backing, now.Path) {
			return fail.New(fail.Precondition, "disk %s has other files than those the machine runs on", d.Device).Then("stop the machine first")
		}
		next.Disks[n].Drive = now // only Overlay changes what is written
	}
	if err := e.keep(g, next, nil); err != nil {
		return err
	}
	rec, _, _ = g.view()
	for n, d := range next.Disks {
		if have[diskDevice(d.ID)] {
			if err := q.Do(ctx, "qom-set", object{"path": "/objects/" + throttle(d.ID), "property": "limits", "value": limits(d)}, nil); err != nil {
				return explain(err, "the limits of disk %s cannot be changed", d.Device)
			}
			continue
		}
		if err := attach(ctx, q, want.Disks[n], rec.Slots[d.ID]); err != nil {
			return err
		}
	}
	for _, n := range want.NICs {
		if !have[cardDevice(n.ID)] {
			if err := plug(ctx, q, n, rec.Slots[n.ID]); err != nil {
				return err
			}
		}
	}
	return nil
}

// explain makes QEMU's words the cause of an error.
func explain(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, qmp.ErrClosed) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fail.New(fail.Unavailable, format, args...).Because(err)
}

// devices lists what is plugged in, by device id.
func devices(ctx context.Context, q *qmp.Client) (map[string]bool, error) {
	var list []struct{ Name string }
	if err := q.Do(ctx, "qom-list", object{"path": "/machine/peripheral"}, &list); err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, d := range list {
		out[d.Name] = true
	}
	return out, nil
}

// takeAway unplugs what is not wanted any more, all at once, and waits until the system has let go.
func (e *Engine) takeAway(ctx context.Context, g *guest, q *qmp.Client, rec record, want machine.Want, have map[string]bool) error {
	var disks []machine.Disk
	var cards []machine.NIC
	for _, d := range rec.Want.Disks {
		if !slices.ContainsFunc(want.Disks, func(o machine.Disk) bool { return o.ID == d.ID }) {
			disks = append(disks, d)
		}
	}
	for _, n := range rec.Want.NICs {
		if !slices.ContainsFunc(want.NICs, func(o machine.NIC) bool { return o.ID == n.ID && sameCard(o, n) }) {
			cards = append(cards, n)
		}
	}
	waiting := map[string]string{} // device → what it is
	for _, d := range disks {
		waiting[diskDevice(d.ID)] = "disk " + d.Device
	}
	for _, n := range cards {
		waiting[cardDevice(n.ID)] = "the network card " + n.MAC.String()
	}
	for name := range waiting {
		if !have[name] {
			delete(waiting, name)
			continue
		}
		g.mu.Lock()
		delete(g.gone, name)
		g.mu.Unlock()
		var refused *qmp.Error
		if err := q.Do(ctx, "device_del", object{"id": name}, nil); err != nil && (!errors.As(err, &refused) || !strings.Contains(refused.Desc, "in the process of unplug")) {
			return explain(err, "%s cannot be taken away", waiting[name])
		}
	}
	if err := g.untilGone(ctx, waiting); err != nil {
		return err
	}
	for _, d := range disks {
		delete(have, diskDevice(d.ID))
		if err := dismantle(ctx, q, d); err != nil {
			return err
		}
	}
	for _, n := range cards {
		delete(have, cardDevice(n.ID))
		var refused *qmp.Error
		if err := q.Do(ctx, "netdev_del", object{"id": cardBackend(n.ID)}, nil); err != nil && !errors.As(err, &refused) {
			return err
		}
	}
	if len(disks)+len(cards) == 0 {
		return nil
	}
	return e.change(g, func(r *record) {
		r.Want.Disks = slices.DeleteFunc(slices.Clone(r.Want.Disks), func(d machine.Disk) bool {
			return slices.ContainsFunc(disks, func(o machine.Disk) bool { return o.ID == d.ID })
		})
		r.Want.NICs = slices.DeleteFunc(slices.Clone(r.Want.NICs), func(n machine.NIC) bool {
			return slices.ContainsFunc(cards, func(o machine.NIC) bool { return o.ID == n.ID })
		})
		r.Slots = maps.Clone(r.Slots)
		for _, d := range disks {
			delete(r.Slots, d.ID)
		}
		for _, n := range cards {
			delete(r.Slots, n.ID)
		}
	})
}

func sameCard(a, b machine.NIC) bool {
	return a.MAC.String() == b.MAC.String() && a.Device == b.Device && a.Namespace == b.Namespace && a.MTU == b.MTU && max(1, a.Queues) == max(1, b.Queues)
}

// untilGone waits for devices to leave.
func (g *guest) untilGone(ctx context.Context, waiting map[string]string) error {
	timer := time.NewTimer(letGo)
	defer timer.Stop()
	for {
		g.mu.Lock()
		for name := range waiting {
			if g.gone[name] {
				delete(waiting, name)
				delete(g.gone, name)
			}
		}
		left, ended := g.left, g.ended
		g.mu.Unlock()
		if len(waiting) == 0 {
			return nil
		}
		select {
		case <-left:
		case <-ended:
			return qmp.ErrClosed
		case <-ctx.Done():
			return fail.From(ctx.Err())
		case <-timer.C:
			what := slices.Sorted(maps.Values(waiting))[0]
			return fail.New(fail.Conflict, "the system inside does not let go of %s", what).
				Then("wait until it has started, unmount what it holds, and try again; or stop the machine first")
		}
	}
}

// nodes lists the block nodes there are, each with the set of files that it reads.
func nodes(ctx context.Context, q *qmp.Client) (map[string]int, error) {
	var list []struct {
		Name string `json:"node-name"`
		File string
	}
	if err := q.Do(ctx, "query-named-block-nodes", object{"flat": true}, &list); err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, n := range list {
		set, _ := strconv.Atoi(strings.TrimPrefix(n.File, "/dev/fdset/"))
		out[n.Name] = set
	}
	return out, nil
}

// attach plugs a disk in. Parts of it that are there already stay.
func attach(ctx context.Context, q *qmp.Client, d machine.Disk, slot int) error {
	there, err := nodes(ctx, q)
	if err != nil {
		return err
	}
	readOnly, below := d.ReadOnly || d.CDROM, ""
	layers := chain(d.Drive)
	for n := len(layers) - 1; n >= 0; n-- {
		if _, ok := there[layerNode(d.ID, layers[n])]; !ok {
			if err := addLayer(ctx, q, d, layers[n], n > 0 || readOnly, below); err != nil {
				return err
			}
		}
		below = layerNode(d.ID, layers[n])
	}
	if _, ok := there[topNode(d.ID)]; !ok {
		var refused *qmp.Error
		if err := q.Do(ctx, "object-add", throttleGroup(d), nil); err != nil && !errors.As(err, &refused) {
			return err
		}
		if err := q.Do(ctx, "blockdev-add", top(d), nil); err != nil {
			return explain(err, "disk %s cannot be opened", d.Device)
		}
	}
	return explain(q.Do(ctx, "device_add", device(d, slot), nil), "disk %s cannot be plugged in", d.Device)
}

// addLayer opens a layer in a running process.
func addLayer(ctx context.Context, q *qmp.Client, d machine.Disk, path string, readOnly bool, below string) error {
	files, err := openLayer(path, !readOnly)
	if err != nil {
		return err
	}
	defer files.close()
	var got struct {
		Set int `json:"fdset-id"`
	}
	for n, f := range files {
		var args any
		if n > 0 {
			args = object{"fdset-id": got.Set}
		}
		if err := q.DoFile(ctx, int(f.Fd()), "add-fd", args, &got); err != nil {
			return explain(err, "disk %s cannot be opened", d.Device)
		}
	}
	if key, ok := d.Drive.Keys[path]; ok {
		var refused *qmp.Error
		err := q.Do(ctx, "object-add", object{"qom-type": "secret", "id": keyName(d.ID, path), "data": machine.Passphrase(key)}, nil)
		if err != nil && !errors.As(err, &refused) {
			return err
		}
		defer func() { _ = q.Do(context.WithoutCancel(ctx), "object-del", object{"id": keyName(d.ID, path)}, nil) }()
	}
	if err := q.Do(ctx, "blockdev-add", layer(d, path, got.Set, readOnly, below), nil); err != nil {
		_ = q.Do(context.WithoutCancel(ctx), "remove-fd", object{"fdset-id": got.Set}, nil)
		return explain(err, "disk %s cannot be opened", d.Device)
	}
	return nil
}

// dismantle closes what a disk that was unplugged has left, from the top.
func dismantle(ctx context.Context, q *qmp.Client, d machine.Disk) error {
	there, err := nodes(ctx, q)
	if err != nil {
		return err
	}
	if err := closeNode(ctx, q, d, topNode(d.ID), there); err != nil {
		return err
	}
	for _, path := range chain(d.Drive) {
		if err := closeNode(ctx, q, d, layerNode(d.ID, path), there); err != nil {
			return err
		}
		if set := there[fileNode(d.ID, path)]; set > 0 {
			_ = q.Do(ctx, "remove-fd", object{"fdset-id": set}, nil) // gone with the file, where QEMU did it itself
		}
	}
	var refused *qmp.Error
	if err := q.Do(ctx, "object-del", object{"id": throttle(d.ID)}, nil); err != nil && !errors.As(err, &refused) {
		return err
	}
	return nil
}

func closeNode(ctx context.Context, q *qmp.Client, d machine.Disk, name string, there map[string]int) error {
	if _, ok := there[name]; !ok {
		return nil
	}
	return explain(q.Do(ctx, "blockdev-del", object{"node-name": name}, nil), "disk %s cannot be closed", d.Device)
}

// plug plugs a card in.
func plug(ctx context.Context, q *qmp.Client, n machine.NIC, slot int) error {
	files, err := tap(n)
	if err != nil {
		return err
	}
	defer files.close()
	var names []string
	for k, f := range files {
		name := fmt.Sprintf("%s-%d", cardBackend(n.ID), k)
		if err := q.DoFile(ctx, int(f.Fd()), "getfd", object{"fdname": name}, nil); err != nil {
			return explain(err, "the network card %s cannot be plugged in", n.MAC)
		}
		names = append(names, name)
	}
	_ = q.Do(ctx, "netdev_del", object{"id": cardBackend(n.ID)}, nil) // of an attempt that was cut short
	backend := object{"type": "tap", "id": cardBackend(n.ID), "fds": strings.Join(names, ":"), "vhost": false}
	if err := q.Do(ctx, "netdev_add", backend, nil); err != nil {
		return explain(err, "the network card %s cannot be plugged in", n.MAC)
	}
	return explain(q.Do(ctx, "device_add", card(n, slot), nil), "the network card %s cannot be plugged in", n.MAC)
}
