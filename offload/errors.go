package offload

import "errors"

// Why a megaflow stays on the slow path. The engine records them with the flow.
var (
	// ErrNotCovered: no table's key has all the fields that the decision read, such as the source MAC beside an IP address.
	ErrNotCovered = errors.New("no table has every field that the decision read")
	// ErrFull: the lanes that could hold the megaflow have no room.
	ErrFull = errors.New("flow tables are full")
	// ErrShare: the vport holds its share of a table that the megaflow needs.
	ErrShare = errors.New("the vport has its share of the flow tables")
	// ErrOccupied: a megaflow of an earlier decision must be removed first.
	ErrOccupied = errors.New("place is taken")
	// ErrNoID: a space of local ids (vports, scopes, rewrites) is used up.
	ErrNoID = errors.New("local ids used up")
	// ErrPipeline: the target's pipeline is not weft's.
	ErrPipeline = errors.New("pipeline does not fit")
)
