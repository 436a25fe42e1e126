package file

import (
	"bytes"
	"crypto/aes"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/xts"
)

// A LUKS header as LUKS On-Disk Format Specification 1.2.3 has it, made here because qemu-img takes a second and more to
// find out how slowly it should derive keys: ours are random, so deriving them slowly protects nothing.
const (
	luksKey      = 64 // AES-256 in XTS mode has two keys
	luksStripes  = 4000
	luksRounds   = 1000
	luksSlots    = 8
	luksSector   = 512
	luksFirst    = 8 // sector of the first slot's material
	luksPerSlot  = (luksKey*luksStripes + 4095) / 4096 * 4096 / luksSector
	luksPayload  = luksFirst + luksSlots*luksPerSlot // in sectors: what qcow2 sets aside
	luksBytes    = luksPayload * luksSector
	luksEnabled  = 0x00AC71F3
	luksDisabled = 0x0000DEAD
)

type luksSlot struct {
	Active, Rounds  uint32
	Salt            [32]byte
	Offset, Stripes uint32
}

type luksHeader struct {
	Magic              [6]byte
	Version            uint16
	Cipher, Mode, Hash [32]byte
	Payload, KeyBytes  uint32
	Digest             [20]byte
	DigestSalt         [32]byte
	DigestRounds       uint32
	UUID               [40]byte
	Slots              [luksSlots]luksSlot
}

// luks makes a header that passphrase opens, and the first slot's material with its place in bytes.
func luks(passphrase string) (header, material []byte, at int64, err error) {
	h := luksHeader{Magic: [6]byte{'L', 'U', 'K', 'S', 0xba, 0xbe}, Version: 1, Payload: luksPayload, KeyBytes: luksKey, DigestRounds: luksRounds}
	copy(h.Cipher[:], "aes")
	copy(h.Mode[:], "xts-plain64")
	copy(h.Hash[:], "sha256")
	master, uuid := make([]byte, luksKey), make([]byte, 16)
	for _, b := range [][]byte{master, uuid, h.DigestSalt[:], h.Slots[0].Salt[:]} {
		_, _ = rand.Read(b)
	}
	uuid[6], uuid[8] = uuid[6]&0x0f|0x40, uuid[8]&0x3f|0x80
	copy(h.UUID[:], fmt.Sprintf("%x-%x-%x-%x-%x", uuid[:4], uuid[4:6], uuid[6:8], uuid[8:10], uuid[10:]))
	digest, err := pbkdf2.Key(sha256.New, string(master), h.DigestSalt[:], luksRounds, len(h.Digest))
	if err != nil {
		return nil, nil, 0, err
	}
	copy(h.Digest[:], digest)
	for i := range h.Slots {
		h.Slots[i].Active, h.Slots[i].Stripes, h.Slots[i].Offset = luksDisabled, luksStripes, uint32(luksFirst+i*luksPerSlot)
	}
	h.Slots[0].Active, h.Slots[0].Rounds = luksEnabled, luksRounds
	key, err := pbkdf2.Key(sha256.New, passphrase, h.Slots[0].Salt[:], luksRounds, luksKey)
	if err != nil {
		return nil, nil, 0, err
	}
	cipher, err := xts.NewCipher(aes.NewCipher, key)
	if err != nil {
		return nil, nil, 0, err
	}
	material = split(master)
	for n := 0; n < len(material); n += luksSector {
		cipher.Encrypt(material[n:n+luksSector], material[n:n+luksSector], uint64(n/luksSector))
	}
	var out bytes.Buffer
	err = binary.Write(&out, binary.BigEndian, h)
	return out.Bytes(), material, int64(h.Slots[0].Offset) * luksSector, err
}

// split spreads a key over stripes so that all of them are needed (the specification's AFsplit).
func split(key []byte) []byte {
	out, d := make([]byte, len(key)*luksStripes), make([]byte, len(key))
	last := len(out) - len(key)
	_, _ = rand.Read(out[:last])
	for at := 0; at < last; at += len(key) {
		for i := range d {
			d[i] ^= out[at+i]
		}
		diffuse(d)
	}
	for i := range d {
		out[last+i] = d[i] ^ key[i]
	}
	return out
}

func diffuse(d []byte) {
	for n := 0; n*sha256.Size < len(d); n++ {
		h := sha256.New()
		_ = binary.Write(h, binary.BigEndian, uint32(n)) // a hash's Write does not fail
		part := d[n*sha256.Size : min((n+1)*sha256.Size, len(d))]
		_, _ = h.Write(part)
		copy(part, h.Sum(nil))
	}
}
