package p4rt

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Errors of schema and codec. Every returned error says which table, field or action is meant.
var (
	ErrNoSuchTable    = errors.New("no such table")
	ErrNoSuchField    = errors.New("no such match field")
	ErrNoSuchAction   = errors.New("no such action")
	ErrNoSuchParam    = errors.New("no such action parameter")
	ErrNoSuchCounter  = errors.New("no such counter")
	ErrNoSuchMeter    = errors.New("no such meter")
	ErrNoSuchRegister = errors.New("no such register")
	ErrNoSuchProfile  = errors.New("no such action profile")
	ErrNoSuchValueSet = errors.New("no such value set")
	ErrNoSuchDigest   = errors.New("no such digest")
	ErrNoSuchMetadata = errors.New("no such packet metadata")
	ErrAmbiguous      = errors.New("name is ambiguous")
	ErrOverflow       = errors.New("value does not fit the field")
	ErrMissing        = errors.New("value is missing")
	ErrPriority       = errors.New("priority is wrong")
	ErrMask           = errors.New("mask is not allowed")
	ErrUnsupported    = errors.New("not supported")
	ErrMalformed      = errors.New("malformed message")

	errEmptyValue = fmt.Errorf("%w: empty byte string", ErrMalformed)
	errWideValue  = fmt.Errorf("%w: more than 128 bits", ErrOverflow)
)

// Errors of the session. They concern whole calls; the fate of each update is in its [Result].
var (
	// ErrNotConnected: there is no stream to the target now.
	ErrNotConnected = errors.New("not connected to the target")
	// ErrNotPrimary: another controller is primary for this device and role, or none is yet.
	ErrNotPrimary = errors.New("not the primary controller")
	// ErrElectionIDRefused: most often another controller that is connected has it.
	ErrElectionIDRefused = errors.New("the target refuses the election id")
	// ErrNoSuchDevice: the target has no device of the id that the session is for.
	ErrNoSuchDevice = errors.New("the target has no device of this id")
	// ErrNoP4Runtime: what answers there is a gRPC server of something else.
	ErrNoP4Runtime = errors.New("no P4Runtime server")
	// ErrNoDetails: the target refused a batch without saying which of its updates.
	ErrNoDetails = errors.New("batch failed without details of its updates")
	// ErrSilent: a Read got no answer, or no more of it, within Config.ReadTimeout.
	ErrSilent = errors.New("the target does not answer")
	// ErrQueueFull: a bounded queue had no room; the drop is counted.
	ErrQueueFull = errors.New("queue is full")
	// ErrClosed: the Writer has ended.
	ErrClosed = errors.New("writer has ended")
)

// NotPrimaryError says why a session is a backup. It is an ErrNotPrimary.
type NotPrimaryError struct {
	Bid     ElectionID // this controller's
	Highest ElectionID // that the target has seen, from whomever
	Vacant  bool       // nobody is primary
}

func (e *NotPrimaryError) Error() string {
	if e.Vacant { // Spec 5.3: ids below the highest that was ever seen stay backups, also when its controller has gone
		return fmt.Sprintf("%v: nobody is, but this target has seen election id %s, and this controller's is %s", ErrNotPrimary, e.Highest, e.Bid)
	}
	return fmt.Sprintf("%v: another is, with election id %s; this controller's is %s", ErrNotPrimary, e.Highest, e.Bid)
}

// Unwrap makes it an ErrNotPrimary.
func (*NotPrimaryError) Unwrap() error { return ErrNotPrimary }

// UpdateError is the refusal of one update.
type UpdateError struct {
	Index  int // position among the updates given to Write
	Update Update
	Result Result
}

func (e *UpdateError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s", e.Update.Op, e.Update.Entity, e.Result.Outcome)
	if e.Result.Message != "" {
		fmt.Fprintf(&b, " (%s: %s)", words(e.Result.Code.String()), e.Result.Message)
	}
	return b.String()
}

// words turns AlreadyExists into "already exists".
func words(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && unicode.IsUpper(r) {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// WriteError keeps the status of each update that did not do what was asked.
type WriteError struct{ Updates []*UpdateError }

func (e *WriteError) Error() string {
	if len(e.Updates) == 1 {
		return e.Updates[0].Error()
	}
	return fmt.Sprintf("%d updates failed, the first: %s", len(e.Updates), e.Updates[0])
}

// Unwrap gives errors.As and errors.Is each update's error.
func (e *WriteError) Unwrap() []error {
	errs := make([]error, len(e.Updates))
	for i, u := range e.Updates {
		errs[i] = u
	}
	return errs
}

// Failures returns a *WriteError with every update whose result is not OK, or nil.
func Failures(updates []Update, results []Result) error {
	var we *WriteError
	for i, r := range results {
		if r.OK() {
			continue
		}
		if we == nil {
			we = &WriteError{}
		}
		we.Updates = append(we.Updates, &UpdateError{Index: i, Update: updates[i], Result: r})
	}
	if we == nil {
		return nil
	}
	return we
}

func unimplemented(err error) bool { return status.Code(err) == codes.Unimplemented }
