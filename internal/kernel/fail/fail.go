// Package fail is the closed list of ways in which a request can fail.
//
// Every error that leaves the kernel, a service or an engine is an *Error: a kind that a dialect turns into its own
// status code by one table, a public half that a user may read, and an internal half that only the operator's log gets.
// It imports the standard library only.
package fail

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Kind says what went wrong, in the terms a caller can act on. The list is closed: dialects map all of it.
type Kind string

// The kinds. What a caller may do is said beside each.
const (
	Invalid         Kind = "invalid"         // a field is wrong: correct it; Field names it
	Unauthenticated Kind = "unauthenticated" // no or bad credential: log in
	Denied          Kind = "denied"          // known caller, no right: ask for it
	NotFound        Kind = "not_found"       // absent, or not visible to the caller: the two are told apart nowhere
	Exists          Kind = "exists"          // a resource of this name is there already
	Conflict        Kind = "conflict"        // the resource is busy or changed meanwhile: read again, then retry
	Precondition    Kind = "precondition"    // something must be done first (not empty, still in use)
	Quota           Kind = "quota"           // the project's quota is used up: free something or ask for more
	TooLarge        Kind = "too_large"       // the body is over its limit
	RateLimited     Kind = "rate_limited"    // too many requests: wait
	NoSpace         Kind = "no_space"        // a disk or a pool is full: the operator must add room
	Unavailable     Kind = "unavailable"     // a part is not there now: retry later
	Timeout         Kind = "timeout"         // a deadline passed
	Canceled        Kind = "canceled"        // the caller went away
	Gone            Kind = "gone"            // an engine no longer has the thing (never shown as such to users)
	Unsupported     Kind = "unsupported"     // this installation cannot do it; Next says what would be needed
	DataLoss        Kind = "data_loss"       // stored bytes were damaged beyond repair: restore them from elsewhere
	Internal        Kind = "internal"        // a defect of ours: quote the request id
)

// Kinds lists every kind, for tables that must cover all of them.
func Kinds() []Kind {
	return []Kind{Invalid, Unauthenticated, Denied, NotFound, Exists, Conflict, Precondition, Quota, TooLarge, RateLimited,
		NoSpace, Unavailable, Timeout, Canceled, Gone, Unsupported, DataLoss, Internal}
}

// Error is a failure with a public half (Kind, Field, Message, Next) and an internal half (Cause).
type Error struct {
	Kind    Kind
	Field   string // the offending field's path, where one field is to blame: "spec.memory"
	Message string // what is wrong, for the user; starts lower case, no final stop
	Next    string // what the user can do about it; may be empty
	Cause   error  // for the operator's log only; never printed to a user
}

// New makes an error of kind with a public message.
func New(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Field makes an Invalid error that names the field to blame.
func Field(field, format string, args ...any) *Error {
	return &Error{Kind: Invalid, Field: field, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes an error of kind with a public message, keeping cause for the log. If cause is already an *Error its
// kind, field and next step win, so that a precise error is not blurred on its way up.
func Wrap(cause error, kind Kind, format string, args ...any) *Error {
	msg := fmt.Sprintf(format, args...)
	var e *Error
	if errors.As(cause, &e) {
		return &Error{Kind: e.Kind, Field: e.Field, Message: msg + ": " + e.Message, Next: e.Next, Cause: cause}
	}
	return &Error{Kind: kind, Message: msg, Cause: cause}
}

// Then adds the next step and returns e.
func (e *Error) Then(format string, args ...any) *Error {
	e.Next = fmt.Sprintf(format, args...)
	return e
}

// Because attaches the internal cause and returns e.
func (e *Error) Because(cause error) *Error {
	e.Cause = cause
	return e
}

// Error prints both halves: it is for logs. Users get Public.
func (e *Error) Error() string {
	s := string(e.Kind) + ": " + e.Public()
	if e.Cause != nil {
		s += " (" + e.Cause.Error() + ")"
	}
	return s
}

// Public prints what a user may read: the field, the reason and the next step.
func (e *Error) Public() string {
	var b strings.Builder
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	b.WriteString(e.Message)
	if e.Next != "" {
		b.WriteString("; " + e.Next)
	}
	return b.String()
}

// Unwrap gives the internal cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is makes errors.Is(err, fail.NotFoundError)-style checks work by kind: two *Error are alike when their kinds are.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind && t.Message == ""
}

// From returns err as an *Error: unknown errors become Internal with a neutral public half, so that no Go error chain
// ever reaches a user.
func From(err error) *Error {
	var e *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.Canceled):
		return &Error{Kind: Canceled, Message: "the request was cancelled", Cause: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Kind: Timeout, Message: "the deadline passed", Cause: err}
	}
	return &Error{Kind: Internal, Message: "something went wrong inside the cloud", Cause: err,
		Next: "the operator finds the reason in the log under the request's id"}
}

// KindOf gives err's kind; "" for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	return From(err).Kind
}

// Is reports whether err is of kind.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }
