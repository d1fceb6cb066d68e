package access

import "errors"

// Errors that callers tell apart. None holds a secret, nor what a request gave for one.
var (
	// ErrUnauthenticated: who asks is not known: no credentials, or such as do not count (any more). HTTP 401.
	ErrUnauthenticated = errors.New("not authenticated")
	// ErrForbidden: he knows that the object is there, or would be, and may not do that to it. HTTP 403.
	ErrForbidden = errors.New("not allowed")
	// ErrNotVisible: he may not know whether the object is there. HTTP 404, with the same text as for one that is not.
	ErrNotVisible = errors.New("not found")
	// ErrTooMany: too many attempts failed lately, for this user or from this address. HTTP 429.
	ErrTooMany = errors.New("too many failed attempts; wait a minute")
	// ErrUnavailable: who has access is not known yet, or whom to ask does not answer. HTTP 503.
	ErrUnavailable = errors.New("who has access can't be told now")
	// ErrExists: there is one of that name. HTTP 409.
	ErrExists = errors.New("exists already")
	// ErrNotFound: there is no such user or token. HTTP 404.
	ErrNotFound = errors.New("not found")
	// ErrInvalid: what was asked for makes no sense; the error says why. HTTP 422.
	ErrInvalid = errors.New("not valid")
)
