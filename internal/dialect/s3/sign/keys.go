package sign

import (
	"crypto/hmac"
	"crypto/sha256"
	"strings"
	"sync"
	"time"
)

// Verifier checks claims. It remembers the keys that version 4 derives for a day, which cost four HMACs each.
type Verifier struct {
	Now func() time.Time

	mu   sync.RWMutex
	keys map[string]derived
}

type derived struct {
	secret string
	key    []byte
}

// maxDerived bounds the memory of derived keys: about 1 MiB.
const maxDerived = 4096

// scope is a version 4 credential's scope.
type scope struct{ day, region, service string }

func (s scope) String() string { return s.day + "/" + s.region + "/" + s.service + "/aws4_request" }

// key gives the signing key of a scope.
func (v *Verifier) key(access, secret string, s scope) []byte {
	id := access + "/" + s.day + "/" + s.region
	v.mu.RLock()
	d, ok := v.keys[id]
	v.mu.RUnlock()
	if ok && d.secret == secret { // the secret is ours, not the client's: no timing is given away
		return d.key
	}
	k := Derive(secret, s.day, s.region, s.service)
	if len(id) > 256 {
		return k
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.keys == nil || len(v.keys) >= maxDerived {
		v.keys = map[string]derived{}
	}
	v.keys[strings.Clone(id)] = derived{secret, k}
	return k
}

// Derive makes the signing key of version 4.
func Derive(secret, day, region, service string) []byte {
	k := mac([]byte("AWS4"+secret), day)
	k = mac(k, region)
	k = mac(k, service)
	return mac(k, "aws4_request")
}

func mac(key []byte, data string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(data))
	return h.Sum(nil)
}
