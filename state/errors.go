package state

import (
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Errors that callers tell apart.
var (
	// ErrNoAnswer: etcd, or a member of it, can't be reached or does not let one in.
	ErrNoAnswer = errors.New("does not answer")
	// ErrBusy: the writer's queue is full; the operation was refused and counted, nothing was written.
	ErrBusy = errors.New("state: write queue is full")
	// ErrClosed: the writer or store has ended; nothing was written.
	ErrClosed = errors.New("state: closed")
	// ErrUnknownOutcome: etcd didn't answer; the write may or may not have happened. Read, then decide.
	ErrUnknownOutcome = errors.New("state: outcome of the write is unknown")
	// ErrConflict: somebody else changed what the write was based on.
	ErrConflict = errors.New("state: changed by someone else")
	// ErrNotFound: no such object, binding or edge.
	ErrNotFound = errors.New("state: not found")
	// ErrTooLarge: more changes than fit in one transaction.
	ErrTooLarge = errors.New("state: too large for one transaction")
	// ErrEdgeTaken: another process registered the same edge id after this one, or acts for the edge now (Fence).
	ErrEdgeTaken = errors.New("state: edge is run by another process")
	// ErrNotStation: what was to be learnt or asked for is not the address of one station; it never will be.
	ErrNotStation = errors.New("not the address of one station")
	// ErrInUse: another process holds the data directory.
	ErrInUse = errors.New("state: data directory is in use")
	// ErrCodec: a stored value can't be decoded.
	ErrCodec = errors.New("state: bad value")
	// ErrTooOld: a member of the database tells watches that they have everything before they do.
	ErrTooOld = errors.New("etcd is too old: it announces revisions before their changes, so that changes would be missed")
	// ErrFull: the database has used up its quota; it takes no writes until space is freed. Nothing was written.
	ErrFull = errors.New("the database is full (its quota is used up) and takes no writes; free space with weft etcd reclaim, or raise the quota of its members")
	// ErrIDsExhausted: the 24-bit space of vports and groups is used up.
	ErrIDsExhausted = errors.New("state: no vport or group ids are left")
)

// refused reports whether etcd answered that it did not do the request: then nothing was written.
func refused(err error) bool {
	code := codes.Unknown
	var e rpctypes.EtcdError
	if errors.As(err, &e) {
		code = e.Code()
	} else if s, ok := status.FromError(err); ok {
		code = s.Code()
	}
	switch code {
	case codes.InvalidArgument, codes.NotFound, codes.PermissionDenied, codes.Unauthenticated,
		codes.ResourceExhausted, codes.FailedPrecondition, codes.OutOfRange, codes.AlreadyExists, codes.Unimplemented:
		return true
	}
	return false
}

// advised puts what would do in front of an error of etcd's that an operator has to do something about.
func advised(err error) error {
	if errors.Is(err, rpctypes.ErrNoSpace) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// divisible reports whether a batch refused with err may hold operations that would be accepted by themselves.
func divisible(err error) bool {
	return refused(err) && !errors.Is(err, rpctypes.ErrNoSpace)
}
