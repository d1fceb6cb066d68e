package p4rt

import "google.golang.org/grpc/codes"

// Profile names the known deviations of a target from the P4Runtime specification,
// and the sizes that suit it. Fields left 0 take the strict target's value.
type Profile struct {
	Name string

	MaxBatch   int // updates in one Write
	MaxBytes   int // bytes of one Write; gRPC servers take 4 MiB unless told otherwise
	MaxReceive int // bytes of one answer

	// FullCode is what an insert into a full table gets.
	FullCode codes.Code
	// MulticastMax is the largest multicast group id.
	MulticastMax uint32
	// NoRoles: the target knows the default role only.
	NoRoles bool
}

// Strict is a target that follows the specification.
func Strict() Profile { return Profile{Name: "strict"}.withDefaults() }

// Softswitch is weft's own target.
func Softswitch() Profile {
	p := Strict()
	p.Name, p.MulticastMax = "softswitch", 65535 // mcast_grp of v1model has 16 bits
	return p
}

// BMv2 is simple_switch_grpc 1.15: a full table is UNKNOWN, group ids end at 32767,
// there are no roles, a whole read comes as one message.
func BMv2() Profile {
	return Profile{Name: "bmv2", FullCode: codes.Unknown, MulticastMax: 1<<15 - 1, NoRoles: true}.withDefaults()
}

func (p Profile) withDefaults() Profile {
	if p.Name == "" {
		p.Name = "strict"
	}
	if p.MaxBatch <= 0 {
		p.MaxBatch = 512
	}
	if p.MaxBytes <= 0 {
		p.MaxBytes = 3 << 20
	}
	if p.MaxReceive <= 0 {
		p.MaxReceive = 512 << 20
	}
	if p.FullCode == codes.OK {
		p.FullCode = codes.ResourceExhausted
	}
	if p.MulticastMax == 0 {
		p.MulticastMax = 1<<32 - 1
	}
	return p
}

// outcome classifies the target's own status of one update.
func (p *Profile) outcome(op Op, code codes.Code) Outcome {
	switch {
	case code == codes.OK:
		return Applied
	case op == Insert && code == p.FullCode, code == codes.ResourceExhausted:
		return Full
	}
	switch code {
	case codes.AlreadyExists:
		return Duplicate
	case codes.NotFound:
		return NotFound
	case codes.InvalidArgument, codes.OutOfRange:
		return Invalid
	case codes.Aborted: // some targets stop at the first failure
		return NotSent
	}
	return Refused
}
