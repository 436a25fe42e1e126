package file

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/disk"
	"github.com/awancloud/awan/internal/service/machine"
)

// call is one run of qemu-img. Keys reach it through memory that only it inherits, never on the command line.
type call struct {
	e       *Engine
	secrets []string // arguments
	files   []*os.File
	names   map[id.ID]string
}

func (e *Engine) call() *call { return &call{e: e, names: map[id.ID]string{}} }

// secret gives qemu-img a key and names it.
func (c *call) secret(owner id.ID, keys disk.Keys) (string, error) {
	if name := c.names[owner]; name != "" {
		return name, nil
	}
	key, ok := keys[owner]
	if !ok {
		return "", fail.New(fail.Internal, "the key of %s is missing", owner)
	}
	fd, err := unix.MemfdCreate("key", unix.MFD_CLOEXEC)
	if err != nil {
		return "", fail.Wrap(err, fail.Unavailable, "a key cannot be handed over")
	}
	f := os.NewFile(uintptr(fd), "key")
	c.files = append(c.files, f)
	if _, err := f.WriteString(machine.Passphrase(key)); err != nil {
		return "", fail.Wrap(err, fail.Unavailable, "a key cannot be handed over")
	}
	name := fmt.Sprintf("k%d", len(c.files))
	c.secrets = append(c.secrets, "--object", fmt.Sprintf("secret,id=%s,format=raw,file=/proc/self/fd/%d", name, len(c.files)+2))
	c.names[owner] = name
	return name, nil
}

// chain describes a layer and all below it in QEMU's words, so that what their headers name is not followed.
func (c *call) chain(layer string, keys disk.Keys) (map[string]any, error) {
	c.e.mu.Lock()
	l, ok := c.e.layers[layer]
	c.e.mu.Unlock()
	if !ok {
		return nil, fail.New(fail.DataLoss, "a layer of the disk is not there").Then("restore the volume from a backup")
	}
	o := map[string]any{"driver": "qcow2", "file": map[string]any{"driver": "file", "filename": c.e.file(layer)}, "backing": nil}
	if l.Encrypted {
		name, err := c.secret(l.Owner, keys)
		if err != nil {
			return nil, err
		}
		o["encrypt"] = map[string]any{"format": "luks", "key-secret": name}
	}
	if l.Below != "" {
		below, err := c.chain(l.Below, keys)
		if err != nil {
			return nil, err
		}
		o["backing"] = below
	}
	return o, nil
}

// dotted is words for options that do not take JSON.
func dotted(o map[string]any) string {
	var out []string
	var walk func(prefix string, o map[string]any)
	walk = func(prefix string, o map[string]any) {
		for _, k := range slices.Sorted(maps.Keys(o)) {
			switch v := o[k].(type) {
			case map[string]any:
				walk(prefix+k+".", v)
			case string:
				out = append(out, prefix+k+"="+strings.ReplaceAll(v, ",", ",,"))
			}
		}
	}
	walk("", o)
	return strings.Join(out, ",")
}

func (c *call) close() {
	for _, f := range c.files {
		_ = f.Close()
	}
}

func words(o map[string]any) string {
	b, err := json.Marshal(o)
	if err != nil {
		panic(err) // plain data
	}
	return "json:" + string(b)
}

// run runs qemu-img; verb comes first, then keys, then args.
func (c *call) run(ctx context.Context, doing, verb string, args ...string) error {
	cmd := exec.CommandContext(ctx, c.e.tool, append(append([]string{verb}, c.secrets...), args...)...)
	cmd.ExtraFiles, cmd.WaitDelay, cmd.Env = c.files, 5*time.Second, []string{"LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	return explain(ctx, err, doing, said.String())
}

// explain turns qemu-img's end into an error for people.
func explain(ctx context.Context, err error, doing, said string) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fail.From(ctx.Err())
	}
	cause := fmt.Errorf("qemu-img: %w: %s", err, strings.TrimSpace(said))
	switch {
	case strings.Contains(said, "No space left on device"), strings.Contains(said, "File too large"), strings.Contains(said, "Disk quota exceeded"):
		return full(errors.Join(unix.ENOSPC, cause), doing)
	case strings.Contains(said, "Failed to get "): // … "write" lock
		return fail.New(fail.Conflict, "%s: a machine has the disk open", doing).Then("try again when it is stopped").Because(cause)
	}
	return fail.New(fail.Internal, "%s", doing).Because(cause)
}

// layer makes a new layer on another one ("": on nothing). It is safe from collection until done is called, by when a
// manifest should name it.
func (e *Engine) layer(below string, owner id.ID, keys disk.Keys, bytes int64) (name string, done func(), err error) {
	name = string(id.New())
	key := keys[owner]
	e.mu.Lock()
	e.building[name] = true
	e.mu.Unlock()
	done = func() {
		e.mu.Lock()
		delete(e.building, name)
		e.mu.Unlock()
	}
	file := ""
	if below != "" {
		file = below + ".qcow2"
	}
	if err = createLayer(e.file(name), bytes, file, key); err != nil {
		err = full(err, "a layer cannot be made")
	}
	if err == nil {
		e.mu.Lock()
		err = store(e, layersDir, e.layers, name, layerFile{Below: below, Owner: owner, Encrypted: key != nil})
		e.mu.Unlock()
	}
	if err != nil {
		done()
		_ = os.Remove(e.file(name))
		_ = os.Remove(e.path(layersDir, name+".json"))
		return "", nil, err
	}
	return name, done, nil
}

func (e *Engine) resize(ctx context.Context, layer string, bytes int64, keys disk.Keys) error {
	c := e.call()
	defer c.close()
	o, err := c.chain(layer, keys)
	if err != nil {
		return err
	}
	if err := c.run(ctx, "the disk cannot be grown", "resize", "-q", words(o), fmt.Sprint(bytes)); err != nil {
		return err
	}
	if err := syncFile(e.file(layer)); err != nil {
		return full(err, "the disk cannot be grown")
	}
	return nil
}

// copy writes the content of a chain into another layer that is there.
func (e *Engine) copy(ctx context.Context, from, to string, keys disk.Keys) error {
	c := e.call()
	defer c.close()
	source, err := c.chain(from, keys)
	if err != nil {
		return err
	}
	target, err := c.chain(to, keys)
	if err != nil {
		return err
	}
	err = c.run(ctx, "the content cannot be copied", "convert", "-q", "-n", "--target-image-opts", words(source), dotted(target))
	if err != nil {
		return err
	}
	if err := syncFile(e.file(to)); err != nil {
		return full(err, "the content cannot be copied")
	}
	return nil
}
