package qemu

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/awancloud/awan/internal/engine/machine/qemu/qmp"
	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/machine"
)

// freezeTime bounds how long a system's file systems may stand still for a snapshot.
const freezeTime = 10 * time.Second

func find(rec record, disk id.ID) (machine.Disk, error) {
	k := slices.IndexFunc(rec.Want.Disks, func(d machine.Disk) bool { return d.ID == disk })
	if k < 0 {
		return machine.Disk{}, fail.New(fail.NotFound, "the machine has no disk %s", disk)
	}
	return rec.Want.Disks[k], nil
}

// Overlay implements machine.Engine.
func (e *Engine) Overlay(ctx context.Context, i, disk id.ID, layer machine.Drive, quiesce bool) (consistent bool, err error) {
	err = e.withRunning(ctx, i, "the disk's new layer cannot be put on", func(g *guest, q *qmp.Client, rec record) error {
		d, err := find(rec, disk)
		if err != nil {
			return err
		}
		if d.Drive.Path == layer.Path {
			return nil // done before
		}
		if len(layer.Backing) == 0 || layer.Backing[0] != d.Drive.Path {
			return fail.New(fail.Precondition, "the new layer does not stand on what the machine writes")
		}
		agent := e.speak(ctx, g, quiesce) // a round through the system inside, while the layer is opened
		defer agent.end()
		below := d.Drive.Path
		d.Drive = layer
		there, err := nodes(ctx, q)
		if err != nil {
			return err
		}
		on := false
		if _, ok := there[layerNode(disk, layer.Path)]; !ok {
			err = addLayer(ctx, q, d, layer.Path, false, "")
		} else {
			on, err = standsOn(ctx, q, layerNode(disk, layer.Path))
		}
		if err != nil {
			return err
		}
		if !on {
			consistent = agent.freeze()
			err := q.Do(ctx, "blockdev-snapshot", object{"node": layerNode(disk, below), "overlay": layerNode(disk, layer.Path)}, nil)
			thawed := agent.thaw()
			consistent = consistent && thawed
			if err != nil {
				if thawed {
					_ = e.change(g, agent.note) // else they are thawed once more later
				}
				return explain(err, "the machine does not take the new layer")
			}
		}
		return e.change(g, func(r *record) {
			agent.note(r)
			r.Want.Disks = slices.Clone(r.Want.Disks)
			for n := range r.Want.Disks {
				if r.Want.Disks[n].ID == disk {
					r.Want.Disks[n].Drive = layer
				}
			}
		})
	})
	return consistent, err
}

// standsOn tells whether a node has another below it: whether the snapshot was made before we died.
func standsOn(ctx context.Context, q *qmp.Client, node string) (bool, error) {
	var list []struct {
		Name  string `json:"node-name"`
		Image struct {
			Backing json.RawMessage `json:"backing-image"`
		}
	}
	if err := q.Do(ctx, "query-named-block-nodes", nil, &list); err != nil {
		return false, err
	}
	for _, n := range list {
		if n.Name == node {
			return n.Image.Backing != nil, nil
		}
	}
	return false, nil
}

// quiet is a conversation with the agent around a snapshot: file systems stand still, and go on.
type quiet struct {
	e      *Engine
	g      *guest
	ctx    context.Context
	cancel context.CancelFunc
	came   chan struct{} // closed when with is known
	with   *qmp.Session  // nil when nobody answers
	frozen bool          // it was written down that they may be
	thawed bool          // and that they are not any more is yet to be
}

// speak begins the conversation, where somebody is there to speak to.
func (e *Engine) speak(ctx context.Context, g *guest, wanted bool) *quiet {
	g.mu.Lock()
	agent := g.agent && !g.paused
	g.mu.Unlock()
	t := &quiet{e: e, g: g, came: make(chan struct{})}
	t.ctx, t.cancel = context.WithTimeout(ctx, freezeTime)
	if !wanted || !agent {
		close(t.came)
		return t
	}
	e.work.Go(func() {
		defer close(t.came)
		if s, err := qmp.OpenSession(t.ctx, e.askPath(g.id)); err == nil {
			t.with = s
		}
	})
	return t
}

// freeze makes the file systems stand still, and tells whether they do. That they may is written down first: whoever comes
// after us thaws them.
func (t *quiet) freeze() bool {
	if <-t.came; t.with == nil || t.e.change(t.g, func(r *record) { r.Frozen = true }) != nil {
		return false
	}
	t.frozen = true
	return t.with.Do(t.ctx, "guest-fsfreeze-freeze", nil, nil) == nil
}

// thaw lets them go on, and tells whether they stood still until then.
func (t *quiet) thaw() bool {
	if !t.frozen {
		return false
	}
	if t.with.Do(t.ctx, "guest-fsfreeze-thaw", nil, nil) == nil {
		t.thawed = true
		return true
	}
	t.with.Close() // the agent has one conversation at a time
	return t.e.thaw(t.g)
}

// note writes down what is known by now.
func (t *quiet) note(r *record) { r.Frozen = r.Frozen && !t.thawed }

func (t *quiet) end() {
	t.cancel() // nobody needs it any more
	<-t.came
	if t.with != nil {
		t.with.Close()
	}
}

// thaw lets them go on, also where freezing was cut short: it is success when nothing is frozen. It tries for a while.
func (e *Engine) thaw(g *guest) bool {
	rec, q, _ := g.view()
	if !rec.Frozen || q == nil {
		return false
	}
	var err error
	for try := range 5 {
		ctx, cancel := context.WithTimeout(e.ctx, 5*time.Second)
		err = qmp.Agent(ctx, e.askPath(g.id), "guest-fsfreeze-thaw", nil, nil, false)
		cancel()
		if err == nil {
			return e.change(g, func(r *record) { r.Frozen = false }) == nil
		}
		select {
		case <-q.Done():
			return false
		case <-e.ctx.Done():
			return false
		case <-time.After(time.Duration(try+1) * 200 * time.Millisecond):
		}
	}
	e.log.Error("a machine's file systems may still be frozen", "machine", g.id, "err", err)
	return false
}

// Resized implements machine.Engine.
func (e *Engine) Resized(ctx context.Context, i, disk id.ID, bytes int64) error {
	return e.withRunning(ctx, i, "the disk cannot grow", func(_ *guest, q *qmp.Client, rec record) error {
		d, err := find(rec, disk)
		if err != nil {
			return err
		}
		now, err := size(ctx, q, layerNode(disk, d.Drive.Path))
		if err != nil {
			return err
		}
		if bytes < now {
			return fail.New(fail.Precondition, "a disk never shrinks: it has %d bytes", now)
		}
		// Also where it has that size already: the guest may not have been told.
		return explain(q.Do(ctx, "block_resize", object{"node-name": topNode(disk), "size": bytes}, nil), "disk %s cannot grow", d.Device)
	})
}

func size(ctx context.Context, q *qmp.Client, node string) (int64, error) {
	var list []struct {
		Name  string `json:"node-name"`
		Image struct {
			Size int64 `json:"virtual-size"`
		}
	}
	if err := q.Do(ctx, "query-named-block-nodes", object{"flat": true}, &list); err != nil {
		return 0, err
	}
	for _, n := range list {
		if n.Name == node {
			return n.Image.Size, nil
		}
	}
	return 0, errors.New("the node is not there: " + node)
}

// SetPassword implements machine.Engine.
func (e *Engine) SetPassword(ctx context.Context, i id.ID, user, password string) error {
	return e.withRunning(ctx, i, "the password cannot be set", func(g *guest, _ *qmp.Client, _ record) error {
		ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
		defer cancel()
		err := qmp.Agent(ctx, e.askPath(i), "guest-set-user-password",
			object{"username": user, "password": base64.StdEncoding.EncodeToString([]byte(password)), "crypted": false}, nil, false)
		var refused *qmp.Error
		switch {
		case errors.As(err, &refused):
			return fail.New(fail.Precondition, "the system inside refuses: %s", refused.Desc).Because(err)
		case err != nil:
			return fail.New(fail.Unavailable, "no agent answers inside the machine").Then("install qemu-guest-agent in it, or wait until it is up").Because(err)
		}
		return nil
	})
}
