package file

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/awancloud/awan/internal/service/object"
)

// How a blob lies in a shard's record: docs/object-engines.md has the pictures.
//
//	header (64 bytes) | group | group | … , where
//	group = up to 1,024 pieces | a CRC32C of four bytes for each
//
// A piece is a shard's part of one object.Block: the whole block where there is no parity.
const (
	headerSize = 64
	align      = 64 // records in a log begin at multiples of it
	perGroup   = 1024
	sumSize    = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// shape is how a block is spread: over how many shards its data go, and how many hold parity.
type shape struct{ data, parity int }

func (s shape) shards() int { return s.data + s.parity }

// pieceOf is the length of each shard's piece of a block of n bytes.
func (s shape) pieceOf(n int) int { return (n + s.data - 1) / s.data }

// plan is where the pieces of a blob lie.
type plan struct {
	shape
	size   int64
	blocks int64
	piece  int64 // of a full block
	last   int64 // of the last block
}

func (s shape) plan(size int64) plan {
	p := plan{shape: s, size: size, blocks: (size + object.Block - 1) / object.Block, piece: int64(s.pieceOf(object.Block))}
	if p.blocks > 0 {
		p.last = int64(s.pieceOf(p.blockLen(p.blocks - 1)))
	}
	return p
}

// blockLen is how many of the blob's bytes block b holds.
func (p plan) blockLen(b int64) int { return int(min(object.Block, p.size-b*object.Block)) }

func (p plan) pieceLen(b int64) int64 {
	if b == p.blocks-1 {
		return p.last
	}
	return p.piece
}

// group is where the group of block b begins, and how many pieces it has.
func (p plan) group(b int64) (at, pieces int64) {
	g := b / perGroup
	return headerSize + g*perGroup*(p.piece+sumSize), min(perGroup, p.blocks-g*perGroup)
}

// at is where block b's piece begins in the record.
func (p plan) at(b int64) int64 {
	at, _ := p.group(b)
	return at + b%perGroup*p.piece
}

// sumAt is where the sum of block b's piece is.
func (p plan) sumAt(b int64) int64 {
	at, pieces := p.group(b)
	at += pieces * p.piece
	if b/perGroup == (p.blocks-1)/perGroup {
		at += p.last - p.piece
	}
	return at + b%perGroup*sumSize
}

// length is the record's, without what aligns the next.
func (p plan) length() int64 {
	if p.blocks == 0 {
		return headerSize
	}
	return p.sumAt(p.blocks-1) + sumSize
}

func aligned(n int64) int64 { return (n + align - 1) &^ (align - 1) }

// sumSeed begins the sum of a piece. It takes in whose piece this is, so that right bytes in a wrong place are found too.
func sumSeed(tag uint32, block int64, shard int) uint32 {
	var b [16]byte
	binary.LittleEndian.PutUint32(b[0:], tag)
	binary.LittleEndian.PutUint32(b[4:], uint32(shard))
	binary.LittleEndian.PutUint64(b[8:], uint64(block))
	return crc32.Checksum(b[:], castagnoli)
}

func sumOf(tag uint32, block int64, shard int, piece []byte) uint32 {
	return crc32.Update(sumSeed(tag, block, shard), castagnoli, piece)
}
