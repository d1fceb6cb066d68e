package softswitch

import (
	"errors"
	"fmt"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/weft-sdn/weft/softswitch/pipeline"
)

// errorSpace is the space of p4.v1.Error codes that this target would define; it uses
// the canonical codes only.
const errorSpace = "weft-softswitch"

// fault is what went wrong with one update, request or stream message: a canonical code
// and a text.
type fault struct {
	code codes.Code
	text string
}

func (f *fault) Error() string { return f.text }

// GRPCStatus makes a fault usable as the result of an RPC.
func (f *fault) GRPCStatus() *status.Status { return status.New(f.code, f.text) }

func faultf(code codes.Code, format string, args ...any) error {
	return &fault{code: code, text: fmt.Sprintf(format, args...)}
}

func invalidf(format string, args ...any) error {
	return faultf(codes.InvalidArgument, format, args...)
}

// faultOf finds the canonical code of err, translating the pipeline's sentinels.
func faultOf(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	code := codes.Internal
	for _, known := range []struct {
		err  error
		code codes.Code
	}{
		{pipeline.ErrExists, codes.AlreadyExists},
		{pipeline.ErrNotFound, codes.NotFound},
		{pipeline.ErrFull, codes.ResourceExhausted},
		{pipeline.ErrInvalid, codes.InvalidArgument},
		{pipeline.ErrConst, codes.PermissionDenied},
		{pipeline.ErrInUse, codes.FailedPrecondition},
		{pipeline.ErrOutOfRange, codes.OutOfRange},
		{pipeline.ErrUnsupported, codes.Unimplemented},
	} {
		if errors.Is(err, known.err) {
			code = known.code
			break
		}
	}
	return &fault{code: code, text: err.Error()}
}

// batchErrors collects the outcome of each element of a batch, in order. Its zero value
// is a batch without failures; a batch that succeeds costs nothing.
type batchErrors struct {
	faults []*fault // nil, or one per element with nil for success
	size   int
	// fullIsUnknown is the quirk of that name.
	fullIsUnknown bool
}

func (b *batchErrors) record(i int, err error) {
	if err == nil {
		return
	}
	if b.faults == nil {
		b.faults = make([]*fault, b.size)
	}
	f := faultOf(err)
	if b.fullIsUnknown && f.code == codes.ResourceExhausted {
		f = &fault{code: codes.Unknown, text: f.text}
	}
	b.faults[i] = f
}

// err is the status of the whole batch: UNKNOWN with one p4.v1.Error per element
// (P4Runtime spec, "Error Reporting Messages").
func (b *batchErrors) err(what string) error {
	if b.faults == nil {
		return nil
	}
	success, err := anypb.New(&p4v1.Error{})
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	out := status.New(codes.Unknown, what).Proto()
	out.Details = make([]*anypb.Any, len(b.faults))
	for i, f := range b.faults {
		if f == nil {
			out.Details[i] = success
			continue
		}
		detail, err := anypb.New(&p4v1.Error{CanonicalCode: int32(f.code), Message: f.text, Space: errorSpace})
		if err != nil {
			return status.Error(codes.Internal, err.Error())
		}
		out.Details[i] = detail
	}
	return status.FromProto(out).Err()
}

// failed counts the elements that failed.
func (b *batchErrors) failed() int {
	n := 0
	for _, f := range b.faults {
		if f != nil {
			n++
		}
	}
	return n
}

// outcome is the outcome of an element in words.
func (b *batchErrors) outcome(i int) string {
	if b.faults == nil || b.faults[i] == nil {
		return codes.OK.String()
	}
	return b.faults[i].code.String() + ": " + b.faults[i].text
}
