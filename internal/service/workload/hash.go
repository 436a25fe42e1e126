package workload

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
)

// Hash tells whether two wants are equal: hex of SHA-256 over the JSON form (map keys sorted). Secrets count, but cannot
// be read back from it; the content of live files does not count.
func (w Want) Hash() string {
	w.Files = slices.Clone(w.Files)
	for i, f := range w.Files {
		if f.Live {
			w.Files[i].Content = nil
		}
	}
	b, err := json.Marshal(w)
	if err != nil {
		panic(err) // only strings, numbers and maps of them
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}
