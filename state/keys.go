package state

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// Key layout (architecture §5). Every prefix ends in a slash, so that no prefix is a prefix of another's keys.
//
//	/weft/conf/<kind>/<tenant>/<name>         desired object, JSON
//	/weft/meta/conf                           generation: written by every change of /weft/conf; appliers compare it
//	/weft/meta/ids                            last id given to a vport or group; never decreases
//	/weft/bind/<vport>                        where an exterior vport lives, JSON
//	/weft/iface/<edge>/<interface>/<vlan>     the vport bound there, decimal; names are escaped as in a URL path
//	/weft/tbl/fdb/<bridge>/<mac>              learnt MAC, binary
//	/weft/tbl/neigh/<device port>/<addr>      neighbour of a router port, binary
//	/weft/tbl/arp/<bridge>/<addr>             neighbour seen by a bridge (B5), binary
//	/weft/edge/<edge>                         live edge, JSON, leased
//	/weft/ack/<edge>                          revision of /conf and /bind that the edge has applied, decimal, leased
const (
	confPrefix  = "/weft/conf/"
	bindPrefix  = "/weft/bind/"
	ifacePrefix = "/weft/iface/"
	fdbPrefix   = "/weft/tbl/fdb/"
	neighPrefix = "/weft/tbl/neigh/"
	arpPrefix   = "/weft/tbl/arp/"
	edgePrefix  = "/weft/edge/"
	ackPrefix   = "/weft/ack/"

	metaPrefix = "/weft/meta/"

	generationKey = metaPrefix + "conf"
	idsKey        = metaPrefix + "ids"
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

func bindKey(vport uint32) string { return bindPrefix + strconv.FormatUint(uint64(vport), 10) }

func ifaceKey(edge, iface string, vlan uint16) string {
	return ifacePrefix + url.PathEscape(edge) + "/" + url.PathEscape(iface) + "/" + strconv.FormatUint(uint64(vlan), 10)
}

func edgeKey(edge string) string { return edgePrefix + edge }
func ackKey(edge string) string  { return ackPrefix + edge }

// fdbKey names the entry of mac in the table of a bridge.
func fdbKey(bridge uint32, mac packet.MAC) string {
	b := make([]byte, 0, len(fdbPrefix)+10+1+12)
	b = append(b, fdbPrefix...)
	b = strconv.AppendUint(b, uint64(bridge), 10)
	b = append(b, '/')
	return string(hex.AppendEncode(b, mac[:]))
}

// addrKey names the entry of addr in a table with the given prefix: 8 hex digits for IPv4, 32 for IPv6.
func addrKey(prefix string, owner uint32, addr netip.Addr) string {
	b := make([]byte, 0, len(prefix)+10+1+32)
	b = append(b, prefix...)
	b = strconv.AppendUint(b, uint64(owner), 10)
	b = append(b, '/')
	return string(hex.AppendEncode(b, addr.AsSlice()))
}

// parseID reads a canonical decimal id in 1…maxID.
func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 || n > maxID || s[0] == '0' || s[0] == '+' {
		return 0, fmt.Errorf("%w: id %q", ErrCodec, s)
	}
	return uint32(n), nil
}

func parseBindKey(key string) (uint32, error) {
	rest, ok := strings.CutPrefix(key, bindPrefix)
	if !ok {
		return 0, fmt.Errorf("%w: key %q", ErrCodec, key)
	}
	return parseID(rest)
}

func parseFDBKey(key string) (bridge uint32, mac packet.MAC, err error) {
	owner, rest, err := splitTableKey(key, fdbPrefix)
	if err != nil {
		return 0, mac, err
	}
	raw, err := lowerHex(rest)
	if err != nil || len(raw) != len(mac) {
		return 0, mac, fmt.Errorf("%w: key %q: no MAC", ErrCodec, key)
	}
	return owner, packet.MAC(raw), nil
}

func parseAddrKey(key, prefix string) (owner uint32, addr netip.Addr, err error) {
	owner, rest, err := splitTableKey(key, prefix)
	if err != nil {
		return 0, addr, err
	}
	raw, err := lowerHex(rest)
	if err == nil {
		addr, _ = netip.AddrFromSlice(raw)
	}
	if !addr.IsValid() || addr.Is4In6() {
		return 0, netip.Addr{}, fmt.Errorf("%w: key %q: no address", ErrCodec, key)
	}
	return owner, addr, nil
}

func splitTableKey(key, prefix string) (uint32, string, error) {
	rest, ok := strings.CutPrefix(key, prefix)
	owner, leaf, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 {
		return 0, "", fmt.Errorf("%w: key %q", ErrCodec, key)
	}
	id, err := parseID(owner)
	return id, leaf, err
}

// lowerHex decodes hex digits in the only spelling that we write, so that one entry has one key.
func lowerHex(s string) ([]byte, error) {
	raw, err := hex.DecodeString(s)
	if err != nil || hex.EncodeToString(raw) != s {
		return nil, ErrCodec
	}
	return raw, nil
}
