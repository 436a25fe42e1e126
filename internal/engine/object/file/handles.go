package file

import (
	"container/list"
	"sync"
)

// handles keeps files of volumes open between uses, a bounded number of them beside those in use.
type handles struct {
	disk Disk
	max  int

	mu   sync.Mutex
	open map[string]*handle
	idle *list.List // of *handle, the longest unused in front
}

// handle is an open file that several may use at once.
type handle struct {
	File
	name string
	refs int
	gone bool // not in the map any more: its last user closes it
	idle *list.Element
}

func newHandles(disk Disk, most int) *handles {
	return &handles{disk: disk, max: most, open: map[string]*handle{}, idle: list.New()}
}

// get opens name, or takes it as it is open. Each get needs its put.
func (c *handles) get(name string, create bool) (*handle, error) {
	c.mu.Lock()
	h := c.open[name]
	if h != nil {
		c.use(h)
		c.mu.Unlock()
		return h, nil
	}
	c.mu.Unlock()
	f, err := c.disk.Open(name, create)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	if h = c.open[name]; h != nil { // another was quicker
		c.use(h)
		c.mu.Unlock()
		_ = f.Close()
		return h, nil
	}
	h = &handle{File: f, name: name, refs: 1}
	c.open[name] = h
	c.mu.Unlock()
	return h, nil
}

func (c *handles) use(h *handle) {
	h.refs++
	if h.idle != nil {
		c.idle.Remove(h.idle)
		h.idle = nil
	}
}

// put gives back what get gave; nil is fine.
func (c *handles) put(h *handle) {
	if h == nil {
		return
	}
	var closing File
	c.mu.Lock()
	if h.refs--; h.refs == 0 {
		if h.gone {
			closing = h.File
		} else {
			h.idle = c.idle.PushBack(h)
			if c.idle.Len() > c.max {
				closing = c.drop(c.idle.Front().Value.(*handle))
			}
		}
	}
	c.mu.Unlock()
	if closing != nil {
		_ = closing.Close()
	}
}

// drop takes an unused or gone handle out; the caller closes what it gets.
func (c *handles) drop(h *handle) File {
	delete(c.open, h.name)
	h.gone = true
	if h.refs > 0 {
		return nil
	}
	c.idle.Remove(h.idle)
	h.idle = nil
	return h.File
}

// forget is called when name was removed or replaced, or must be closed: who uses it goes on until they are done.
func (c *handles) forget(name string) {
	var closing File
	c.mu.Lock()
	if h := c.open[name]; h != nil {
		closing = c.drop(h)
	}
	c.mu.Unlock()
	if closing != nil {
		_ = closing.Close()
	}
}

func (c *handles) close() {
	c.mu.Lock()
	var closing []File
	for _, h := range c.open {
		if f := c.drop(h); f != nil {
			closing = append(closing, f)
		}
	}
	c.mu.Unlock()
	for _, f := range closing {
		_ = f.Close()
	}
}
