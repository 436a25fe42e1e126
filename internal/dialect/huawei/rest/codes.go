package rest

import "github.com/awancloud/awan/internal/kernel/fail"

// Codes are an API's HTTP statuses and error codes by kind of failure; those of fail.Internal stand for what it does not name.
type Codes map[fail.Kind]struct {
	Status int
	Code   string
}

// Of gives the status and the code of a kind of failure.
func (c Codes) Of(k fail.Kind) (int, string) {
	code, ok := c[k]
	if !ok {
		code = c[fail.Internal]
	}
	return code.Status, code.Code
}
