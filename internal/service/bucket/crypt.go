package bucket

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/object"
)

// Content is encrypted in blocks of 64 KiB by AES-256-GCM. Every object has a data key, wrapped by its project's (or the
// customer's); every segment a key derived from that and a random salt, so that a block's number serves as its nonce.
const (
	plainBlock = object.Block - 16
	readAhead  = 2 // blocks read at once
)

// single are writers' blocks.
var single = sync.Pool{New: func() any { b := make([]byte, object.Block); return &b }}

// newKey makes a data key and wraps it.
func (s *Service) newKey(b *bucket, customer []byte) (key, wrapped []byte, err error) {
	key = make([]byte, 32)
	_, _ = rand.Read(key)
	if customer == nil {
		wrapped, err = s.Sealer.Seal(string(b.Project), key, about(b))
		return key, wrapped, err
	}
	aead, err := gcm(customer)
	if err != nil {
		return nil, nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce)
	return key, aead.Seal(nonce, nonce, key, about(b)), nil
}

// openKey unwraps a record's data key.
func (s *Service) openKey(b *bucket, r *record, customer []byte) ([]byte, error) {
	if r.SSE.Algorithm != byCustomer {
		if customer != nil {
			return nil, failed("InvalidRequest", fail.New(fail.Invalid, "this object is not encrypted with a key of the customer's").Then("leave the key out"))
		}
		return s.Sealer.Open(string(b.Project), r.Key, about(b))
	}
	if customer == nil {
		return nil, failed("InvalidRequest", fail.New(fail.Invalid, "this object is encrypted with a key that the customer keeps").Then("send the key"))
	}
	wrong := failed("AccessDenied", fail.New(fail.Denied, "this is not the key that the object was encrypted with"))
	if MD5(customer) != r.SSE.MD5 {
		return nil, wrong
	}
	aead, err := gcm(customer)
	if err != nil {
		return nil, err
	}
	n := aead.NonceSize()
	key, err := aead.Open(nil, r.Key[:n], r.Key[n:], about(b))
	if err != nil {
		return nil, wrong
	}
	return key, nil
}

// about binds a wrapped key to its bucket.
func about(b *bucket) []byte { return []byte("object key " + string(b.ID)) }

const byCustomer = "customer"

func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fail.Field("key", "a customer's key has 32 bytes, not %d", len(key))
	}
	return cipher.NewGCM(block)
}

// segmentCipher is what a segment's blocks are sealed with.
func segmentCipher(key, salt []byte) (cipher.AEAD, error) {
	mac := hmac.New(sha256.New, key)
	mac.Write(salt)
	return gcm(mac.Sum(nil))
}

func nonce(block int64) (n [12]byte) {
	binary.BigEndian.PutUint64(n[4:], uint64(block))
	return n
}

// sealTo reads everything from body, encrypts it and writes it to w; see is shown the plain bytes. It gives their number.
func sealTo(w io.Writer, body io.Reader, aead cipher.AEAD, see func([]byte)) (size int64, err error) {
	pooled := single.Get().(*[]byte)
	defer single.Put(pooled)
	buf := *pooled
	for i := int64(0); ; i++ {
		n, err := readBlock(body, buf[:plainBlock])
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return size, err
		}
		if n > 0 {
			see(buf[:n])
			at := nonce(i)
			if _, err := w.Write(aead.Seal(buf[:0], at[:], buf[:n], nil)); err != nil {
				return size, err
			}
			size += int64(n)
		}
		if end {
			return size, nil
		}
	}
}

// readBlock fills b. io.EOF is the end of the body; a body that breaks off says io.ErrUnexpectedEOF, which is not.
func readBlock(body io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var more int
		more, err = body.Read(b[n:])
		n += more
	}
	return n, err
}
