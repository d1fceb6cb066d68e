package scenario

import (
	"context"
	"net/netip"
	"time"
)

// Lab does what steps say. An operation returns nil when the network did what the step wants (its Outcome included). An error that wraps ErrLab
// is the lab's own failure. Contexts end with the time that the step has. Machines implements Hosts; who builds a lab embeds it and adds Network.
type Lab interface {
	Hosts
	Network
}

// Hosts are the machines of a lab.
type Hosts interface {
	Ping(ctx context.Context, p Ping) (Measured, error)
	Traceroute(ctx context.Context, t Traceroute) error
	TCP(ctx context.Context, t TCP) (Measured, error)
	HTTP(ctx context.Context, h HTTP) (Measured, error)
	UDP(ctx context.Context, u UDP) error
	Raw(ctx context.Context, r Raw) error
	Sweep(ctx context.Context, s Sweep) error
	// Forge sends what f says, in tunnel packets to vtep with the key.
	Forge(ctx context.Context, f Forge, vtep netip.Addr, key uint32) error
	// BGP has a host that is a router do something, or waits for what it sees.
	BGP(ctx context.Context, b BGP) error
	// Received waits until a host receives a frame that match accepts, or has since the last Raw, or ctx is done.
	Received(ctx context.Context, host string, match func(frame []byte) bool) error
	// Address is the first address of a host in a family (IPv4 or IPv6).
	Address(host string, family Family) (netip.Addr, error)
}

// Network is what is between the hosts.
type Network interface {
	// Bind binds a vport to an interface of an edge, as `weft apply` of a Binding does, and plugs its host in there. It returns when every live edge
	// has the new binding. Nothing else is done: no flow is touched, the host announces nothing.
	Bind(ctx context.Context, b Bind) error
	Link(ctx context.Context, l Link) error
	Apply(ctx context.Context, a Apply) error
	// Flows are the flow entries of an edge.
	Flows(ctx context.Context, edge string) ([]Flow, error)
	// Counter reads a counter of an edge, a host (Machines.HostCounter) or the fabric. Edges have at least installed and removed (flow entries so
	// far), entries (now), upcalls, fast_path and drops.
	Counter(ctx context.Context, of, name string) (uint64, error)
	// Account reads the counts of each edge and of its hosts' cables: the hosts' frames first, so that no edge is ever ahead of them for longer
	// than frames are under way, and once more until they sent nothing meanwhile, but for hosts that never rest.
	Account(ctx context.Context) ([]Accounts, error)
	// VTEPs are the tunnel addresses of an edge.
	VTEPs(edge string) ([]netip.Addr, error)
	// VPortID is the global id of a vport, TENANT/NAME: the tunnel key of what is for it.
	VPortID(vport string) (uint32, error)
	// Trace returns the lines that `weft trace` prints for these flags (--vport TENANT/NAME, --dst ADDRESS …). It changes nothing.
	Trace(ctx context.Context, flags []string) ([]string, error)
}

// Accounts are counts of one edge since the lab began, but for Entries. Once nothing is under way, HostFrames = FastPath + Punts + Drops and
// Punts = Upcalls + PuntDrops: every frame of a host is accounted for exactly once.
type Accounts struct {
	Edge       string
	HostFrames uint64 // frames that hosts put on its access ports, and that their cables took
	FastPath   uint64 // of these, forwarded by entries without a CPU: from the target's counters, read by P4Runtime
	Punts      uint64 // of these, sent to the agent: from the same counters
	Drops      uint64 // of these, dropped and counted: by the target (parser errors, drop entries …), or before it
	Upcalls    uint64 // of the punts, simulated by the agent
	PuntDrops  uint64 // of the punts, dropped and counted between the target and the simulation
	Entries    uint64 // flow entries installed now
	Installed  uint64 // flow entries installed since the lab began
	Unanswered uint64 // submissions to the target that it has not acknowledged, now: 0 if it has all that the agent decided
	Lossy      bool   // the target drops packet-ins without counting them: punts that never come to the agent, of a leg whose other frames add up, are its drops
}

// sum adds the accounts of edges up.
func sum(all []Accounts) (s Accounts) {
	for _, a := range all {
		s.HostFrames, s.FastPath, s.Punts, s.Drops = s.HostFrames+a.HostFrames, s.FastPath+a.FastPath, s.Punts+a.Punts, s.Drops+a.Drops
		s.Upcalls, s.PuntDrops, s.Entries, s.Installed = s.Upcalls+a.Upcalls, s.PuntDrops+a.PuntDrops, s.Entries+a.Entries, s.Installed+a.Installed
	}
	return s
}

// Flow is a flow entry of an edge.
type Flow struct {
	Match   string // the bits that count, as flow.Match prints them: "vport=3 ether_type=0x0800 dst=10.1.0.0/16"
	Action  string // what is done, and to where it goes
	Packets uint64 // hits
	Bytes   uint64
}

// Measured is what an operation took, over all addresses that it was done for.
type Measured struct {
	First time.Duration   // first round trip of a ping, or time until a connection stood; zero: none was measured
	Later []time.Duration // round trips of a ping, but for the first of each address
}
