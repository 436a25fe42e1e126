// Package id makes and prints identifiers.
//
// A resource has one id: 128 bits, the first 48 of them the time in milliseconds (UUID version 7, RFC 9562), so ids
// sort in the order of creation. It is kept and shown as 32 lower-case hex digits; a dialect that wants UUIDs prints
// the same bits with Dashed. It imports the standard library only.
package id

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ID is 32 lower-case hex digits.
type ID string

var (
	mu   sync.Mutex
	last int64 // the last 48-bit millisecond and 12-bit sequence given out
)

// New makes an id. Ids made by one process are strictly increasing.
func New() ID {
	var b [16]byte
	if _, err := rand.Read(b[8:]); err != nil {
		panic("no randomness: " + err.Error())
	}
	now := time.Now()
	stamp := now.UnixMilli()<<12 | int64(now.Nanosecond()%1e6)*4096/1e6
	mu.Lock()
	if stamp <= last {
		stamp = last + 1
	}
	last = stamp
	mu.Unlock()
	ms, seq := stamp>>12, stamp&0xfff
	b[0], b[1], b[2] = byte(ms>>40), byte(ms>>32), byte(ms>>24)
	b[3], b[4], b[5] = byte(ms>>16), byte(ms>>8), byte(ms)
	b[6] = 0x70 | byte(seq>>8)
	b[7] = byte(seq)
	b[8] = b[8]&0x3f | 0x80
	return ID(hex.EncodeToString(b[:]))
}

// Random makes an id of UUID version 4: for what clients know that take no other.
func Random() ID {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it does not fail
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return ID(hex.EncodeToString(b[:]))
}

// At gives the smallest id that could be made at t, for scans by time.
func At(t time.Time) ID { return ID(fmt.Sprintf("%012x%020d", max(t.UnixMilli(), 0), 0)) }

// Time is when the id was made, to the millisecond.
func (i ID) Time() (time.Time, bool) {
	if len(i) != 32 {
		return time.Time{}, false
	}
	ms, err := strconv.ParseInt(string(i[:12]), 16, 64)
	return time.UnixMilli(ms), err == nil
}

// Dashed prints the id in UUID form, 8-4-4-4-12.
func (i ID) Dashed() string {
	if len(i) != 32 {
		return string(i)
	}
	s := string(i)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// Parse reads either form; ok is false when s is not an id (a name, say).
func Parse(s string) (ID, bool) {
	s = strings.ReplaceAll(s, "-", "")
	if len(s) != 32 {
		return "", false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", false
		}
	}
	return ID(s), true
}
