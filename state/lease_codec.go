package state

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

// leasePrefix is what all keys of a DHCP resource's leases begin with.
func leasePrefix(resource topology.DeviceID) string {
	return dhcpPrefix + strconv.FormatUint(uint64(resource), 10) + "/"
}

// addrKey names an address of a resource: 8 hex digits for IPv4, 32 for IPv6, so that the order of keys is that of addresses.
func addrKey(resource topology.DeviceID, addr netip.Addr) string {
	return string(hex.AppendEncode([]byte(leasePrefix(resource)+"addr/"), addr.AsSlice()))
}

// parseAddrKey returns the address of such a key.
func parseAddrKey(key string) (netip.Addr, error) {
	rest, ok := strings.CutPrefix(key, dhcpPrefix)
	_, leaf, ok2 := strings.Cut(rest, "/addr/")
	addr, err := parseAddr(leaf)
	if !ok || !ok2 || err != nil {
		return netip.Addr{}, fmt.Errorf("%w: key %q", ErrCodec, key)
	}
	return addr, nil
}

func resourceOfKey(key string) topology.DeviceID {
	id, _, _ := strings.Cut(strings.TrimPrefix(key, dhcpPrefix), "/")
	n, _ := parseID(id)
	return topology.DeviceID(n)
}

// portLeases is what the keys of all addresses at a vport begin with, of an IP version.
func portLeases(resource topology.DeviceID, port flow.VPortID, v6 bool) string {
	family := "/4/"
	if v6 {
		family = "/6/"
	}
	return leasePrefix(resource) + "port/" + port.String() + family
}

func clientKey(resource topology.DeviceID, c LeaseClient, v6 bool) string {
	return string(hex.AppendEncode([]byte(portLeases(resource, c.VPort, v6)), c.MAC[:]))
}

func declinedKey(resource topology.DeviceID, port flow.VPortID, addr netip.Addr) string {
	return string(hex.AppendEncode([]byte(portLeases(resource, port, addr.Is6())), addr.AsSlice())) + "!"
}

const leaseVersion = 1

// appendAddrLease: who has an address.
//
//	version 1: u8 version | u8 use | u32 vport | 6 bytes MAC
func appendAddrLease(b []byte, l Lease) []byte {
	b = append(b, leaseVersion, byte(l.Use))
	b = binary.BigEndian.AppendUint32(b, uint32(l.Client.VPort))
	return append(b, l.Client.MAC[:]...)
}

func decodeAddrLease(b []byte, addr netip.Addr) (Lease, error) {
	if len(b) != 12 || b[0] != leaseVersion || !usedLease(b[1]) {
		return Lease{}, fmt.Errorf("%w: lease of %v: % x", ErrCodec, addr, b)
	}
	l := Lease{Addr: addr, Use: LeaseUse(b[1]), Client: LeaseClient{VPort: flow.VPortID(binary.BigEndian.Uint32(b[2:])), MAC: packet.MAC(b[6:])}}
	if !l.Client.VPort.IsValid() || !l.Client.MAC.IsUnicast() {
		return Lease{}, fmt.Errorf("%w: lease of %v: % x", ErrCodec, addr, b)
	}
	return l, nil
}

// appendClientLease: what a client has.
//
//	version 1: u8 version | u8 use | 4 or 16 bytes address
func appendClientLease(b []byte, l Lease) []byte {
	return append(append(b, leaseVersion, byte(l.Use)), l.Addr.AsSlice()...)
}

func decodeClientLease(b []byte, c LeaseClient) (Lease, error) {
	if len(b) > 2 && b[0] == leaseVersion && usedLease(b[1]) && LeaseUse(b[1]) != LeaseDeclined {
		if addr, ok := netip.AddrFromSlice(b[2:]); ok {
			return Lease{Addr: addr, Use: LeaseUse(b[1]), Client: c}, nil
		}
	}
	return Lease{}, fmt.Errorf("%w: lease of %v at vport %d: % x", ErrCodec, c.MAC, c.VPort, b)
}

func usedLease(use byte) bool { return use != byte(LeaseFree) && use <= byte(LeaseDeclined) }
