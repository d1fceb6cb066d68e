package scenario

import (
	"slices"
	"time"
)

// Report is how a run went; it is what `--json` prints.
type Report struct {
	OK      bool               `json:"ok"`
	Target  string             `json:"target"` // what runs the pipeline: the caller's to fill in
	Legs    []LegResult        `json:"legs"`
	Figures map[string]float64 `json:"figures"`         // the caller's: demo_ready …
	Error   string             `json:"error,omitempty"` // of a step outside legs
}

// LegResult is how a leg went for one family. Counts are of the leg alone.
type LegResult struct {
	Name          string   `json:"name"` // "bridge/ipv6"
	Text          string   `json:"text,omitempty"`
	Family        Family   `json:"family"`
	OK            bool     `json:"ok"`
	Packets       uint64   `json:"packets"`         // frames that hosts put on their access ports
	FastPath      uint64   `json:"fast_path"`       // of these, forwarded by entries alone
	Upcalls       uint64   `json:"upcalls"`         // of these, received by agents
	Drops         uint64   `json:"drops"`           // of these, dropped and counted
	Entries       uint64   `json:"entries"`         // flow entries installed during the leg
	EntriesNow    uint64   `json:"entries_now"`     // flow entries at its end
	FirstPacketUS float64  `json:"first_packet_us"` // first round trip, or time until a connection stood; 0: none measured
	RTTUS         float64  `json:"rtt_us"`          // median of the round trips of pings behind their first; 0: none measured
	TookMS        float64  `json:"took_ms"`
	Trace         []string `json:"trace,omitempty"` // what trace steps showed
	Error         string   `json:"error"`
}

// FastShare is the share of the packets that stayed on the fast path, from 0 to 1.
func (r LegResult) FastShare() float64 {
	if r.Packets == 0 {
		return 0
	}
	return float64(r.FastPath) / float64(r.Packets)
}

// count fills in what happened between two readings.
func (r *LegResult) count(before, after []Accounts) {
	b, a := sum(before), sum(after)
	r.Packets = a.HostFrames - b.HostFrames
	r.FastPath = a.FastPath - b.FastPath
	r.Upcalls = a.Upcalls - b.Upcalls
	r.Drops = a.Drops + a.PuntDrops - b.Drops - b.PuntDrops
	r.Entries = a.Installed - b.Installed
	r.EntriesNow = a.Entries
}

func microseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// median is the middle one, or the mean of the two in the middle; 0 of none.
func median(all []time.Duration) time.Duration {
	n := len(all)
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
