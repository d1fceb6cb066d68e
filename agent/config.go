// Package agent is the agent as a service: a validated configuration file, one or several edges in one process on one database, and a read-only
// status server.
package agent

import (
	_ "embed"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/weft-sdn/weft/conntrack"
	"github.com/weft-sdn/weft/offload"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// Config is a configuration file; docs/agent.md has every field. Make one with Load or Decode: they validate and fill in defaults.
type Config struct {
	Etcd      Etcd    `json:"etcd"`
	Listen    string  `json:"listen"`    // of the status server: HOST:PORT or unix:PATH
	ListenTLS TLS     `json:"listenTLS"` // CA: whose certificates clients must have
	Advertise string  `json:"advertise"` // HOST:PORT that others reach Listen by; empty: Listen itself
	Log       Log     `json:"log"`
	Tracing   Tracing `json:"tracing"`
	Edges     []Edge  `json:"edges"`
}

// Log says what is logged, to standard error.
type Log struct {
	Level  string `json:"level"`  // debug, info, warn, error
	Format string `json:"format"` // text, json
}

// Edge is one edge: a target and its place in the underlay.
type Edge struct {
	ID              string            `json:"id"`
	Target          Target            `json:"target"`
	Tunnel          string            `json:"tunnel"` // by which the others reach it: vxlan, geneve, gre
	VTEPs           []netip.Addr      `json:"vteps"`  // tunnel addresses; flows are spread over several (E12)
	Uplinks         []Uplink          `json:"uplinks"`
	Multicast       netip.Prefix      `json:"multicast,omitzero"` // of the underlay, whose addresses stand for sets of vports (E10); the zero Prefix: a copy to each edge
	Interfaces      map[string]uint16 `json:"interfaces"`         // name in bindings → access port
	VPortShare      uint8             `json:"vportShare"`         // percent of each flow table that one vport may take
	TenantRate      uint32            `json:"tenantRate"`         // packets a second that the vports of one tenant may have decided; 0: any number
	MaxFlows        uint32            `json:"maxFlows"`           // flow entries that the edge may have; 0: what the tables hold (E5)
	MACAge          uint32            `json:"macAge"`             // seconds that a learnt MAC lives after its last flow (B3)
	CounterInterval uint32            `json:"counterInterval"`    // seconds between two reads of all entries' counters
	HA              bool              `json:"ha"`                 // other agents have the edge, too: one acts, the others stand by

	Connections Connections `json:"connections"`
	BGP         BGP         `json:"bgp"`
	GNMI        GNMI        `json:"gnmi"`
	VPN         VPN         `json:"vpn"`
}

// Connections are how long connections are remembered after their last packet, in seconds; 0: conntrack.DefaultTimeouts. And what holds of them while the database is away.
type Connections struct {
	TCPOpening     uint32 `json:"tcpOpening"`
	TCPEstablished uint32 `json:"tcpEstablished"`
	TCPClosed      uint32 `json:"tcpClosed"`
	Single         uint32 `json:"single"`    // other protocols, one direction seen
	Both           uint32 `json:"both"`      // both
	AwayAfter      uint32 `json:"awayAfter"` // seconds that the database may leave questions unanswered before it is away
	BlockTime      uint32 `json:"blockTime"` // seconds that leased ports stay the edge's without the database, less an eighth (N2)
}

func (c *Connections) timeouts() conntrack.Timeouts {
	s := func(n uint32) time.Duration { return time.Duration(n) * time.Second }
	return conntrack.Timeouts{TCPOpening: s(c.TCPOpening), TCPEstablished: s(c.TCPEstablished), TCPClosed: s(c.TCPClosed), Single: s(c.Single), Both: s(c.Both)}
}

// Target is the P4Runtime server that an edge's agent programs.
type Target struct {
	Address    string `json:"address"` // HOST:PORT or unix:PATH
	DeviceID   uint64 `json:"deviceID"`
	CPUPort    uint16 `json:"cpuPort"` // the target's number of it
	Profile    string `json:"profile"` // a key of profiles
	ElectionID string `json:"electionID"`
	TLS        TLS    `json:"tls"`
	// Pipeline is what the target's own compiler made of weft's program; left out: the program of bmv2 and the softswitch.
	Pipeline Pipeline `json:"pipeline,omitzero"`
}

// Pipeline names the files of a compiled program.
type Pipeline struct {
	P4Info       string `json:"p4info"`       // text form
	DeviceConfig string `json:"deviceConfig"` // what the target takes with it, as it is
}

// Uplink is an underlay port: a link to one router of the fabric.
type Uplink struct {
	Port      uint16       `json:"port"`
	MAC       packet.MAC   `json:"mac"`
	Addresses []netip.Addr `json:"addresses"` // own, on the link
	Gateways  []netip.Addr `json:"gateways"`  // the router's, one a family
	MTU       uint16       `json:"mtu"`       // bytes of IP packet
}

// Defaults of fields that are left out.
const (
	DefaultListen          = "127.0.0.1:9570"
	defaultMTU             = 1500
	defaultDevice          = 1
	defaultShare           = 10
	defaultMACAge          = 30
	defaultCounterInterval = 10
)

// profiles are the kinds of target by name.
func profiles() map[string]p4rt.Profile {
	return map[string]p4rt.Profile{"softswitch": p4rt.Softswitch(), "bmv2": p4rt.BMv2(), "stratum": p4rt.Stratum(), "strict": p4rt.Strict()}
}

// tunnels are the encapsulations by name.
func tunnels() map[string]offload.Tunnel {
	all := map[string]offload.Tunnel{}
	for _, k := range []offload.Tunnel{offload.VXLAN, offload.Geneve, offload.GRE} {
		all[k.String()] = k
	}
	return all
}

// Example is a configuration file with every field, commented.
//
//go:embed example.yaml
var Example string

// Load reads and validates a configuration file. Names of files in it are relative to its directory. What is wrong comes as topology.Errors, all of it.
func Load(file string) (*Config, error) { return LoadConfig(file, Decode) }

// Decode is Load of what is not in a file: errors name it file, and names in it are relative to dir.
func Decode(file, dir string, data []byte) (*Config, error) {
	c := new(Config)
	err := DecodeConfig(file, data, c, func(s *topology.Source) topology.Errors {
		c.fill(dir)
		ck := checker{source: s}
		ck.config(c)
		return ck.errs
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// fill puts defaults in place of what was left out, and makes names of files absolute.
func (c *Config) fill(dir string) {
	set := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	set(&c.Listen, DefaultListen)
	set(&c.Log.Level, "info")
	set(&c.Log.Format, "text")
	c.Etcd.within(dir)
	c.ListenTLS.within(dir)
	c.Tracing.fill(dir)
	for i := range c.Edges {
		e := &c.Edges[i]
		set(&e.Target.Profile, "strict")
		set(&e.Target.ElectionID, "1")
		set(&e.Tunnel, offload.VXLAN.String())
		e.Target.TLS.within(dir)
		e.GNMI.fill(dir)
		within(dir, &e.Target.Pipeline.P4Info, &e.Target.Pipeline.DeviceConfig, &e.BGP.Secrets, &e.VPN.KeyFile, &e.VPN.Secrets)
		for j := range e.BGP.RPKI {
			e.BGP.RPKI[j].TLS.within(dir)
		}
		if e.Target.DeviceID == 0 {
			e.Target.DeviceID = defaultDevice
		}
		if e.Target.CPUPort == 0 {
			e.Target.CPUPort = offload.CPUPort
		}
		if e.VPortShare == 0 {
			e.VPortShare = defaultShare
		}
		if e.CounterInterval == 0 {
			e.CounterInterval = defaultCounterInterval
		}
		if e.MACAge == 0 {
			e.MACAge = defaultMACAge
		}
		for j := range e.Uplinks {
			if e.Uplinks[j].MTU == 0 {
				e.Uplinks[j].MTU = defaultMTU
			}
		}
	}
}

func within(dir string, names ...*string) {
	for _, n := range names {
		if *n != "" && !filepath.IsAbs(*n) {
			*n = filepath.Join(dir, *n)
		}
	}
}
