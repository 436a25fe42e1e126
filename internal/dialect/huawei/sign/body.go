package sign

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// empty is the SHA-256 of no bytes.
const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// Digest gives the body's SHA-256 in hex and puts the body back for whoever reads it next. It holds at most limit bytes
// in memory; a longer body is fail.TooLarge. A body that the signature does not cover (Unsigned) need not be read here.
func Digest(r *http.Request, limit int64) (string, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return empty, nil
	}
	if r.ContentLength > limit {
		return "", tooLarge(limit)
	}
	var buf bytes.Buffer
	if r.ContentLength > 0 {
		buf.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	_, err := buf.ReadFrom(io.LimitReader(r.Body, limit+1))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return "", tooLarge(over.Limit)
	case err != nil:
		return "", fail.Wrap(err, fail.Invalid, "the body could not be read to its end")
	case int64(buf.Len()) > limit:
		return "", tooLarge(limit)
	}
	if err := r.Body.Close(); err != nil {
		return "", fail.Wrap(err, fail.Invalid, "the body could not be read to its end")
	}
	r.Body = io.NopCloser(bytes.NewReader(buf.Bytes()))
	sum := sha256.Sum256(buf.Bytes())
	return hex.EncodeToString(sum[:]), nil
}

func tooLarge(limit int64) error {
	return fail.New(fail.TooLarge, "the body is over %d bytes", limit)
}
