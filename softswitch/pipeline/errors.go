package pipeline

import "errors"

// Sentinels of the control plane. Every error that a control call returns
// wraps one of them, so that a P4Runtime server can map it to a status code.
var (
	ErrExists     = errors.New("already exists")              // ALREADY_EXISTS
	ErrNotFound   = errors.New("not found")                   // NOT_FOUND
	ErrFull       = errors.New("no space left")               // RESOURCE_EXHAUSTED
	ErrInvalid    = errors.New("invalid argument")            // INVALID_ARGUMENT
	ErrConst      = errors.New("constant, cannot be changed") // PERMISSION_DENIED
	ErrInUse      = errors.New("still referenced")            // FAILED_PRECONDITION
	ErrOutOfRange = errors.New("index out of range")          // OUT_OF_RANGE
)

// ErrUnsupported marks programs that use a feature which this package does not
// execute; the message names the feature and the JSON path.
var ErrUnsupported = errors.New("unsupported")
