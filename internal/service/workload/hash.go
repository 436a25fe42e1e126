package workload

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Hash tells whether two wants are equal: hex of SHA-256 over the JSON form (map keys sorted). Secrets count, but cannot
// be read back from it.
func (w Want) Hash() string {
	b, err := json.Marshal(w)
	if err != nil {
		panic(err) // only strings, numbers and maps of them
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}
