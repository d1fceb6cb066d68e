package state

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// Key layout (architecture §5). Every prefix ends in a slash, so that no prefix is a prefix of another's keys.
//
//	/weft/conf/<kind>/<tenant>/<name>         desired object, JSON
//	/weft/meta/conf                           generation: written by every change of /weft/conf; appliers compare it. Its revision is the generation, its value the one before
//	/weft/meta/ids                            last id given to a vport or group; never decreases
//	/weft/edge/<edge>/info                    where the edge is, JSON; it stays while the edge is away
//	/weft/edge/<edge>/live                    that it is alive, JSON, leased
//	/weft/ack/<edge>/conf                     what it has acknowledged of the configuration, JSON, leased; other edges do not follow it
//	/weft/edge/<edge>/term                    which of several agents acts for it, JSON; its revision is the fence of what that one writes (agents.go)
//	/weft/edge/<edge>/agent/<name>            that one of these agents is alive, JSON, leased
//
//	/weft/once/<name>                         that an edit of that name was made, and what came of it, leased
//	/weft/audit/<n>/<i>/<tenant>              what a request changed, JSON, leased; <n> falls with each change, so that the newest come first; the tenant is that of who asked (audit.go)
//
// Users and tokens are below /weft/access/, which package access keeps (access/keys.go).
//
// Derived from /weft/conf, in the transaction that changes it (compile.go): all about a device under one prefix, by ids, for those who need no more
// than some devices (E7).
//
//	/weft/dev/<device>/self                   the bridge or router, JSON; also a DHCP resource
//	/weft/dev/<device>/port/<vport>           its vport, with the peer resolved, JSON
//	/weft/dev/<router>/bgp/<tenant>/<name>    a BGP session through one of its ports, JSON
//	/weft/dev/<router>/public/<owner>/<kind>/<tenant>/<name>   public addresses of an object of a router nearby, JSON (topology.Public)
//	/weft/dev/<device>/bind/<vport>           where the vport lives, JSON
//	/weft/iface/<edge>/<interface>/<vlan>     the same by place; names are escaped as in a URL path
//	/weft/vport/<vport>                       the device of a vport, decimal
//
// Learnt:
//
//	/weft/dev/<device>/fdb/<mac>              MAC seen by a bridge, binary
//	/weft/dev/<device>/arp/<addr>             neighbour seen by a bridge (B5), binary
//	/weft/dev/<device>/neigh/<vport>/<addr>   neighbour of a router port, binary
//	/weft/dev/<router>/rib/<vport>/<edge>/<session>/<block>   some of the routes that a session learnt through a vport, binary, leased (rib.go)
//	/weft/dev/<router>/down/<vport>           the edge where the link of the port's interface is down, leased (link.go)
//	/weft/dev/<device>/want/<vport>/<edge>    bits a second that an edge wants to send over the link that leads to an interior port, decimal, leased (demand.go)
//
// Pools:
//
//	/weft/dev/<pool>/health/<addr>.<port>     what the monitor found out about a member, JSON
//	/weft/dev/<pool>/monitor                  the edge that runs the monitor, leased
//	/weft/st/lb/<pool><addr>                  the member that a client had last, binary, leased (pool.go)
//
// Connections (conn.go); what stands in <…> is binary:
//
//	/weft/ct/<name>                           connection under the name of the key of its first direction; under that of the other, the first name
//	/weft/inbox/<run>/<key>                   a connection of which the process that calls itself <run> is to look again
//
// Blocks of ports that processes give sources from (N2, block.go); <block> is binary:
//
//	/weft/st/block/<block>                    translations of the block may be stored: nobody can lease it
//	/weft/st/held/<block>                     the process that may give its ports, decimal, leased
//
// DHCP leases (D1), each pair under an etcd lease of its own, so that both go when it lapses; nobody watches them:
//
//	/weft/dhcp/<resource>/addr/<addr>                  who has an address, binary
//	/weft/dhcp/<resource>/port/<vport>/<4|6>/<mac>     what a client has, binary
//	/weft/dhcp/<resource>/port/<vport>/<4|6>/<addr>!   an address that a client of the vport declined, binary
//
// Flow rules (K7), written behind, so that they may be old; nobody watches them:
//
//	/weft/flow/<vport>/<block>                some of those of packets that come in by a vport, binary (offload/codec.go)
//
// VPNs (V1, vpn.go). Every agent follows them:
//
//	/weft/vpn/<tenant>/<name>/site            the VPN, with what its holder needs of its ports, JSON; derived from /weft/conf
//	/weft/vpn/<tenant>/<name>/lock            who holds it, JSON, under the holder's lease, as are the bindings of its ports
//	/weft/vpn/<tenant>/<name>/key             its public key, and the private one, sealed, JSON
//	/weft/vpn/<tenant>/<name>/last            what the next holder is to know, JSON
//
// Usage (O4), written behind; nobody watches it:
//
//	/weft/usage/<edge>/<vport>                totals of what came in at an edge, for billing, JSON (usage.go)
//	/weft/rulehits/<chain>/<edge>             how many packets that came in at an edge met the rules of a chain, JSON (rulehits.go)
//
// Events, written behind; <tenant> of an edge is -, names are escaped as in a URL path:
//
//	/weft/event/<tenant>/<kind>/<name>/<reason>/<first>/<source>   that something happened, JSON, leased (eventlog.go)
//
// Live traces (livetrace.go), all under the lease of who asks; every agent follows what is asked for:
//
//	/weft/trace/ask/<vport>                   packets of the vport are to be followed, JSON
//	/weft/trace/ask/<vport>/to/<edge>         vports of another edge to which they go, JSON
//	/weft/trace/told/<vport>/<edge>/<n>       what an edge tells of it, JSON
const (
	confPrefix     = "/weft/conf/"
	fabricPrefix   = confPrefix + "fabric/"
	devPrefix      = "/weft/dev/"
	ifacePrefix    = "/weft/iface/"
	vportPrefix    = "/weft/vport/"
	edgePrefix     = "/weft/edge/"
	ackPrefix      = "/weft/ack/"
	metaPrefix     = "/weft/meta/"
	connPrefix     = "/weft/ct/"
	stickyPrefix   = "/weft/st/lb/"
	blockPrefix    = "/weft/st/block/"
	heldPrefix     = "/weft/st/held/"
	inboxPrefix    = "/weft/inbox/"
	dhcpPrefix     = "/weft/dhcp/"
	flowPrefix     = "/weft/flow/"
	usagePrefix    = "/weft/usage/"
	ruleHitsPrefix = "/weft/rulehits/"
	eventPrefix    = "/weft/event/"
	oncePrefix     = "/weft/once/"
	auditPrefix    = "/weft/audit/"
	vpnPrefix      = "/weft/vpn/"

	traceAskPrefix = "/weft/trace/ask/"
	traceToldBase  = "/weft/trace/told/"

	generationKey = metaPrefix + "conf"
	idsKey        = metaPrefix + "ids"
)

// record is a kind of key of a device.
type record string

const (
	recordSelf    record = "self"
	recordPort    record = "port"
	recordBind    record = "bind"
	recordBGP     record = "bgp"
	recordFDB     record = "fdb"
	recordARP     record = "arp"
	recordNeigh   record = "neigh"
	recordHealth  record = "health"
	recordMonitor record = "monitor"
	recordRIB     record = "rib"
	recordPublic  record = "public"
	recordDown    record = "down"
	recordWant    record = "want"
)

// maxID is the largest id of a vport or device: 24 bits, the width of a VNI (E9).
const maxID = flow.MaxID

func confKey(r topology.Ref) string {
	return confPrefix + strings.ToLower(string(r.Kind)) + "/" + r.Tenant + "/" + r.Name
}

func parseConfKey(key string) (topology.Ref, error) {
	rest, _ := strings.CutPrefix(key, confPrefix)
	parts := strings.Split(rest, "/")
	if len(parts) == 3 {
		for _, k := range topology.Kinds() {
			if r := (topology.Ref{Kind: k, Tenant: parts[1], Name: parts[2]}); confKey(r) == key {
				return r, nil
			}
		}
	}
	return topology.Ref{}, fmt.Errorf("%w: key %q", ErrCodec, key)
}

// edgeIfaces is the prefix of an edge's interfaces.
func edgeIfaces(edge string) string { return ifacePrefix + url.PathEscape(edge) + "/" }

func ifaceKey(edge, iface string, vlan uint16) string {
	return edgeIfaces(edge) + url.PathEscape(iface) + "/" + strconv.FormatUint(uint64(vlan), 10)
}

func onceKey(name string) string { return oncePrefix + name }

func infoKey(edge string) string { return edgePrefix + edge + "/info" }
func ackKey(edge string) string  { return ackPrefix + edge + "/conf" }
func liveKey(edge string) string { return edgePrefix + edge + "/live" }
func termKey(edge string) string { return edgePrefix + edge + "/term" }

// hurryOf is how soon those who follow the network for some edges are to be told of a change: of what others are like, some time; of what their own acknowledged, with the next change.
func hurryOf(key string, edges []string) need {
	if strings.HasPrefix(key, ackPrefix) {
		return nothing
	}
	if rest, ok := strings.CutPrefix(key, edgePrefix); ok {
		if id, _, _ := strings.Cut(rest, "/"); !slices.Contains(edges, id) {
			return calmly
		}
	}
	return atOnce
}

func agentKey(edge, name string) string { return edgePrefix + edge + "/agent/" + name }

// devicePrefix is what all keys of a device begin with.
func devicePrefix(device topology.DeviceID) string {
	return devPrefix + strconv.FormatUint(uint64(device), 10) + "/"
}

func recordPrefix(device topology.DeviceID, r record) string {
	return devicePrefix(device) + string(r) + "/"
}

func selfKey(device topology.DeviceID) string { return devicePrefix(device) + string(recordSelf) }

func portKey(device topology.DeviceID, port flow.VPortID) string {
	return recordPrefix(device, recordPort) + port.String()
}

func bindKey(device topology.DeviceID, port flow.VPortID) string {
	return recordPrefix(device, recordBind) + port.String()
}

// bgpKey names a session of a router.
func bgpKey(router topology.DeviceID, session topology.Ref) string {
	return recordPrefix(router, recordBGP) + session.Tenant + "/" + session.Name
}

// parseSession reads the last parts of such a key.
func parseSession(leaf string) (topology.Ref, error) {
	tenant, name, ok := strings.Cut(leaf, "/")
	if !ok || tenant == "" || name == "" || strings.Contains(name, "/") {
		return topology.Ref{}, ErrCodec
	}
	return topology.Ref{Kind: topology.KindBGPSession, Tenant: tenant, Name: name}, nil
}

// publicKey names public addresses that a router is to know of.
func publicKey(router topology.DeviceID, k topology.PublicKey) string {
	return recordPrefix(router, recordPublic) + strconv.FormatUint(uint64(k.Owner), 10) + "/" + strings.TrimPrefix(confKey(k.Of), confPrefix)
}

// parsePublic reads the last parts of such a key.
func parsePublic(leaf string) (k topology.PublicKey, err error) {
	owner, name, _ := strings.Cut(leaf, "/")
	id, err := parseID(owner)
	if err == nil {
		k.Owner = topology.DeviceID(id)
		k.Of, err = parseConfKey(confPrefix + name)
	}
	return k, err
}

func vportKey(port flow.VPortID) string { return vportPrefix + port.String() }

// fdbKey names the entry of mac in the table of a bridge.
func fdbKey(bridge topology.DeviceID, mac packet.MAC) string {
	return string(hex.AppendEncode([]byte(recordPrefix(bridge, recordFDB)), mac[:]))
}

// arpKey names the entry of addr in the ARP cache of a bridge: 8 hex digits for IPv4, 32 for IPv6.
func arpKey(bridge topology.DeviceID, addr netip.Addr) string {
	return string(hex.AppendEncode([]byte(recordPrefix(bridge, recordARP)), addr.AsSlice()))
}

func neighPrefix(router topology.DeviceID, port flow.VPortID) string {
	return recordPrefix(router, recordNeigh) + port.String() + "/"
}

// neighKey names the entry of addr in the cache of a router port.
func neighKey(router topology.DeviceID, port flow.VPortID, addr netip.Addr) string {
	return string(hex.AppendEncode([]byte(neighPrefix(router, port)), addr.AsSlice()))
}

// parseID reads a canonical decimal id in 1…maxID.
func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 || n > maxID || s[0] == '0' || s[0] == '+' {
		return 0, fmt.Errorf("%w: id %q", ErrCodec, s)
	}
	return uint32(n), nil
}

// deviceKey is a key below devPrefix, taken apart.
type deviceKey struct {
	device topology.DeviceID
	record record
	port   flow.VPortID       // recordPort, recordBind, recordNeigh, recordRIB, recordDown, recordWant
	edge   string             // recordWant
	mac    packet.MAC         // recordFDB
	addr   netip.Addr         // recordARP, recordNeigh
	member topology.MemberKey // recordHealth
	object topology.Ref       // recordBGP
	source RIBSource          // recordRIB
	bound  netip.Prefix       // recordRIB: all of the block are at or behind it
	public topology.PublicKey // recordPublic
}

// parseDeviceKey accepts what the functions above write, in that spelling only.
func parseDeviceKey(key string) (k deviceKey, err error) {
	bad := fmt.Errorf("%w: key %q", ErrCodec, key)
	rest, ok := strings.CutPrefix(key, devPrefix)
	owner, rest, ok2 := strings.Cut(rest, "/")
	id, err := parseID(owner)
	if !ok || !ok2 || err != nil {
		return k, bad
	}
	k.device = topology.DeviceID(id)
	name, leaf, _ := strings.Cut(rest, "/")
	k.record = record(name)
	switch k.record {
	case recordSelf, recordMonitor:
		if rest != name {
			return k, bad
		}
		return k, nil
	case recordPort, recordBind, recordDown:
		k.port, err = parsePort(leaf)
	case recordWant:
		port, edge, _ := strings.Cut(leaf, "/")
		if k.port, err = parsePort(port); err == nil && (edge == "" || strings.Contains(edge, "/")) {
			err = bad
		}
		k.edge = edge
	case recordFDB:
		var raw []byte
		if raw, err = lowerHex(leaf); err == nil && len(raw) != len(k.mac) {
			err = bad
		}
		copy(k.mac[:], raw)
	case recordARP:
		k.addr, err = parseAddr(leaf)
	case recordNeigh:
		port, addr, _ := strings.Cut(leaf, "/")
		if k.port, err = parsePort(port); err == nil {
			k.addr, err = parseAddr(addr)
		}
	case recordHealth:
		k.member, err = parseMember(leaf)
	case recordBGP:
		k.object, err = parseSession(leaf)
	case recordPublic:
		k.public, err = parsePublic(leaf)
	case recordRIB:
		k.source, k.bound, err = parseRIB(k.device, leaf)
		k.port = k.source.Port
	default:
		err = bad
	}
	if err != nil {
		return k, bad
	}
	return k, nil
}

func parsePort(s string) (flow.VPortID, error) {
	id, err := parseID(s)
	return flow.VPortID(id), err
}

func parseAddr(s string) (addr netip.Addr, err error) {
	raw, err := lowerHex(s)
	if err == nil {
		addr, _ = netip.AddrFromSlice(raw)
	}
	if !addr.IsValid() || addr.Is4In6() {
		return netip.Addr{}, ErrCodec
	}
	return addr, nil
}

// lowerHex decodes hex digits in the only spelling that we write, so that one entry has one key.
func lowerHex(s string) ([]byte, error) {
	raw, err := hex.DecodeString(s)
	if err != nil || hex.EncodeToString(raw) != s {
		return nil, ErrCodec
	}
	return raw, nil
}
