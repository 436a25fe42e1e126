package sign

import (
	"errors"
	"io"
	"os"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// heard reads what the client sends, and says in S3's words when it falls silent or goes away: neither is our failure.
type heard struct{ r io.Reader }

func (h heard) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	var known *fail.Error
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &known):
		return n, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, Refuse("RequestTimeout", fail.Invalid, "nothing came for too long").Then("send the request again")
	}
	return n, Refuse("IncompleteBody", fail.Invalid, "the connection broke before the content ended").Then("send it again")
}
