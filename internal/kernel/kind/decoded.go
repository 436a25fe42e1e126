package kind

import (
	"bytes"
	"sync"

	"github.com/awancloud/awan/internal/kernel/store"
)

// maxDecoded bounds the stored bytes of the rows that one kind keeps decoded.
const maxDecoded = 256 << 10

// decoded keeps rows as they were last decoded, beside the bytes that they were decoded from: lists, and the steps of jobs,
// ask for the same rows again and again, and reading JSON is most of what that costs. A row counts while the stored bytes
// are the same.
type decoded struct {
	mu   sync.Mutex
	rows map[store.Key]decodedRow
	size int
}

type decodedRow struct {
	stored []byte
	row    AnyRow // never given out itself
}

// row gives the row that is stored as b: a copy of what others have too, in which what it points to is not to be changed.
func (c *decoded) row(d *Def, key store.Key, b []byte) (AnyRow, error) {
	c.mu.Lock()
	known, ok := c.rows[key]
	c.mu.Unlock()
	if ok && bytes.Equal(known.stored, b) {
		return d.Copy(known.row), nil
	}
	r, err := d.Decode(b)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rows == nil {
		c.rows = map[store.Key]decodedRow{}
	}
	c.size += len(b) - len(c.rows[key].stored)
	c.rows[key] = decodedRow{b, r} // the caller of Scan may keep b, so we may
	for k, old := range c.rows {   // in no order
		if c.size <= maxDecoded {
			break
		}
		c.size -= len(old.stored)
		delete(c.rows, k)
	}
	return d.Copy(r), nil
}
