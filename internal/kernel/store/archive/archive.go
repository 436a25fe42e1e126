// Package archive is the format of a store's snapshot: a stream that any implementation writes and any can restore.
//
//	magic "AWANSNAP", version byte 1, revision (8 bytes, big-endian)
//	record: key length (uvarint, > 0), key, value length (uvarint), value    in strictly ascending key order
//	end:    0 (uvarint), number of records (8 bytes, big-endian)
//	trailer: SHA-256 of every byte before it
//
// It may import kernel/fail and kernel/store.
package archive

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/store"
)

const (
	magic   = "AWANSNAP"
	version = 1
)

// Writer writes one archive.
type Writer struct {
	ctx   context.Context
	w     io.Writer
	buf   *bufio.Writer
	sum   hash.Hash
	count uint64
}

// NewWriter begins an archive of the state at rev. ctx's end fails the next record.
func NewWriter(ctx context.Context, w io.Writer, rev store.Rev) *Writer {
	sum := sha256.New()
	a := &Writer{ctx: ctx, w: w, sum: sum, buf: bufio.NewWriterSize(io.MultiWriter(w, sum), 64<<10)}
	head := append([]byte(magic), version)
	_, _ = a.buf.Write(binary.BigEndian.AppendUint64(head, uint64(rev))) // bufio keeps the error for Close
	return a
}

// Put adds a record. Keys must come in ascending order.
func (a *Writer) Put(key store.Key, value []byte) error {
	if a.count%256 == 0 && a.ctx.Err() != nil {
		return fail.From(a.ctx.Err())
	}
	a.count++
	var n [2 * binary.MaxVarintLen64]byte
	_, _ = a.buf.Write(binary.AppendUvarint(n[:0], uint64(len(key))))
	_, _ = a.buf.WriteString(key)
	_, _ = a.buf.Write(binary.AppendUvarint(n[:0], uint64(len(value))))
	if _, err := a.buf.Write(value); err != nil {
		return fail.Wrap(err, fail.Unavailable, "the snapshot could not be written")
	}
	return nil
}

// Close ends the archive: without it the archive is worthless. It does not close the underlying writer.
func (a *Writer) Close() error {
	_, _ = a.buf.Write(binary.BigEndian.AppendUint64([]byte{0}, a.count))
	err := a.buf.Flush()
	if err == nil {
		_, err = a.w.Write(a.sum.Sum(nil))
	}
	if err != nil {
		return fail.Wrap(err, fail.Unavailable, "the snapshot could not be written")
	}
	return nil
}

// Read checks an archive and gives its records to put, which may keep key and value. Records are given before the
// checksum is known: the caller must throw them away when Read fails.
func Read(ctx context.Context, r io.Reader, put func(key store.Key, value []byte) error) (store.Rev, error) {
	in := &reader{r: bufio.NewReaderSize(r, 64<<10), sum: sha256.New()}
	head := in.take(len(magic) + 1 + 8)
	switch {
	case in.err != nil:
		return 0, in.failure()
	case string(head[:len(magic)]) != magic:
		return 0, fail.New(fail.Invalid, "this is not a snapshot of a state store")
	case head[len(magic)] != version:
		return 0, fail.New(fail.Unsupported, "the snapshot has format version %d, this program reads version %d", head[len(magic)], version).
			Then("restore it with the version of awan that wrote it, or a newer one")
	}
	rev := store.Rev(binary.BigEndian.Uint64(head[len(magic)+1:]))
	var count uint64
	for last := ""; ; count++ {
		if count%256 == 0 && ctx.Err() != nil {
			return 0, fail.From(ctx.Err())
		}
		klen := in.length(store.MaxKey)
		if klen == 0 {
			break
		}
		key := string(in.take(klen))
		value := in.take(in.length(store.MaxValue))
		if in.err != nil {
			break
		}
		if key <= last {
			return 0, fail.New(fail.Invalid, "the snapshot is damaged: its keys are out of order")
		}
		if err := put(key, value); err != nil {
			return 0, err
		}
		last = key
	}
	said := in.take(8)
	if in.err != nil {
		return 0, in.failure()
	}
	want := in.sum.Sum(nil)
	switch got := in.take(sha256.Size); {
	case in.err != nil:
		return 0, in.failure()
	case !bytes.Equal(got, want) || binary.BigEndian.Uint64(said) != count:
		return 0, fail.New(fail.Invalid, "the snapshot is damaged: its checksum does not match").Then("use another copy")
	}
	if _, err := in.r.ReadByte(); !errors.Is(err, io.EOF) {
		return 0, fail.New(fail.Invalid, "the snapshot is followed by other data")
	}
	return rev, nil
}

// reader hashes what it reads and keeps the first error.
type reader struct {
	r   *bufio.Reader
	sum hash.Hash
	err error
}

// ReadByte lets binary.ReadUvarint read hashed bytes.
func (in *reader) ReadByte() (byte, error) {
	b, err := in.r.ReadByte()
	if err == nil {
		_, _ = in.sum.Write([]byte{b})
	}
	return b, err
}

func (in *reader) take(n int) []byte {
	if in.err != nil {
		return nil
	}
	b := make([]byte, n)
	if _, in.err = io.ReadFull(in.r, b); in.err != nil {
		return nil
	}
	_, _ = in.sum.Write(b)
	return b
}

// length reads a length of at most limit, so that a damaged one cannot ask for all memory.
func (in *reader) length(limit uint64) int {
	if in.err != nil {
		return 0
	}
	n, err := binary.ReadUvarint(in)
	switch {
	case err != nil:
		in.err = err
		return 0
	case n > limit:
		in.err = fail.New(fail.Invalid, "the snapshot is damaged: a record of %d bytes", n)
		return 0
	}
	return int(n)
}

// failure is the public form of the first error.
func (in *reader) failure() error {
	if errors.Is(in.err, io.EOF) || errors.Is(in.err, io.ErrUnexpectedEOF) {
		return fail.New(fail.Invalid, "the snapshot is cut short").Then("use a whole copy")
	}
	return fail.Wrap(in.err, fail.Invalid, "the snapshot could not be read")
}
