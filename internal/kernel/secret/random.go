package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

const (
	upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	mixed = upper + "abcdefghijklmnopqrstuvwxyz"
)

// NewToken gives 256 random bits as 43 characters that need no escaping in a URL or a header.
func NewToken() string {
	b := make([]byte, 32)
	fill(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// NewAccessKey gives an access key's public id: 20 characters A–Z0–9.
func NewAccessKey() string { return draw(upper, 20) }

// NewSecretKey gives an access key's secret: 40 characters A–Za–z0–9, 238 bits.
func NewSecretKey() string { return draw(mixed, 40) }

// NewPassword gives a password of 24 characters A–Za–z0–9, 142 bits, for accounts that the cloud itself makes.
func NewPassword() string { return draw(mixed, 24) }

// NewBackupCode gives a code of 16 characters A–Z0–9, 82 bits, for people who lost their second factor.
func NewBackupCode() string { return draw(upper, 16) }

// Digest is what is stored of a random token: enough to find it by, useless to who reads the store. It is not for
// passwords, which can be guessed.
func Digest(token string) [32]byte { return sha256.Sum256([]byte(token)) }

// Equal compares two secrets in a time that tells nothing of where they differ.
func Equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// draw picks n characters, each with the same chance: bytes beyond the last whole multiple are thrown away.
func draw(alphabet string, n int) string {
	limit := 256 - 256%len(alphabet)
	out, buf := make([]byte, 0, n), make([]byte, n)
	for len(out) < n {
		fill(buf)
		for _, b := range buf {
			if int(b) < limit && len(out) < n {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out)
}

// fill never fails: crypto/rand ends the program when the kernel gives no randomness, and so it should.
func fill(b []byte) { _, _ = rand.Read(b) }
