package scenario

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// sweepPayload is what a sweep's frames hold behind the EtherType, in bytes; with it a frame has the least length of Ethernet.
const sweepPayload = 46

// Sweep implements Hosts.
func (m *Machines) Sweep(ctx context.Context, s Sweep) error {
	from, err := m.machine(s.Host)
	if err != nil {
		return err
	}
	to := s.MAC
	if s.To != "" {
		target, err := m.machine(s.To)
		if err != nil {
			return err
		}
		to = target.MAC()
	}
	own := from.MAC()
	frame := make([]byte, 14+sweepPayload)
	copy(frame[6:], own[:])
	return from.InjectAll(ctx, func(yield func([]byte) bool) {
		for etherType := uint32(s.First); etherType <= uint32(s.Last); etherType++ {
			binary.BigEndian.PutUint16(frame[12:], uint16(etherType))
			for _, dst := range [][6]byte{to, broadcast} {
				copy(frame, dst[:])
				if !yield(frame) {
					return
				}
			}
		}
	})
}

var broadcast = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// Forge implements Hosts. The inner packet is an echo request to all, from the host's own addresses, so that whoever got it would answer.
func (m *Machines) Forge(ctx context.Context, f Forge, vtep netip.Addr, key uint32) error {
	from, err := m.machine(f.Host)
	if err != nil {
		return err
	}
	src := from.address(familyOf(vtep))
	if !src.IsValid() {
		return fmt.Errorf("%w: host %s has no IPv%d address to send to %s from", ErrLab, f.Host, familyOf(vtep), vtep)
	}
	targets := [][6]byte{broadcast}
	for _, gateway := range from.Gateways() {
		if familyOf(gateway) != familyOf(vtep) {
			continue
		}
		mac, err := from.Resolve(ctx, gateway)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUnexpected, err)
		}
		targets = append(targets, mac)
	}
	var frames [][]byte
	for _, family := range []Family{IPv4, IPv6} {
		inner := from.address(family)
		if !inner.IsValid() || f.Family != Both && f.Family != family {
			continue
		}
		for _, dst := range targets {
			frame, err := forged(f.Kind, key, [2][6]byte{from.MAC(), dst}, src, vtep, inner)
			if err != nil {
				return fmt.Errorf("%w: forge %s: %w", ErrLab, f.Kind, err)
			}
			frames = append(frames, frame)
		}
	}
	return from.InjectAll(ctx, func(yield func([]byte) bool) {
		for range f.Count {
			for _, frame := range frames {
				if !yield(frame) {
					return
				}
			}
		}
	})
}

// Ports of tunnels (RFC 7348, RFC 8926), and the source port of forged ones.
const (
	vxlanPort  = 4789
	genevePort = 6081
	forgedPort = 49152
)

// forged builds a tunnel packet from a host (macs: source, destination) that holds a broadcast echo request from inner.
func forged(kind TunnelKind, key uint32, macs [2][6]byte, src, dst, inner netip.Addr) ([]byte, error) {
	outer, network, proto := ipLayer(src, dst, layers.IPProtocolUDP)
	stack := []gopacket.SerializableLayer{&layers.Ethernet{SrcMAC: macs[0][:], DstMAC: macs[1][:], EthernetType: proto}, outer}
	switch kind {
	case GRE:
		outer, _, _ = ipLayer(src, dst, layers.IPProtocolGRE)
		stack[1] = outer
		stack = append(stack, &layers.GRE{KeyPresent: true, Key: key, Protocol: layers.EthernetTypeTransparentEthernetBridging})
	case VXLAN, Geneve:
		udp := &layers.UDP{SrcPort: forgedPort, DstPort: vxlanPort}
		if err := udp.SetNetworkLayerForChecksum(network); err != nil {
			return nil, err
		}
		if kind == VXLAN {
			stack = append(stack, udp, &layers.VXLAN{ValidIDFlag: true, VNI: key})
		} else {
			udp.DstPort = genevePort
			stack = append(stack, udp, &layers.Geneve{Protocol: layers.EthernetTypeTransparentEthernetBridging, VNI: key})
		}
	default:
		return nil, fmt.Errorf("unknown tunnel kind %q", kind)
	}
	echo, err := echoLayers(macs[0], inner)
	if err != nil {
		return nil, err
	}
	buf := gopacket.NewSerializeBuffer()
	err = gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, append(stack, echo...)...)
	return buf.Bytes(), err
}

// echoLayers is an echo request from src to every machine on the link.
func echoLayers(mac [6]byte, src netip.Addr) ([]gopacket.SerializableLayer, error) {
	if src.Is4() {
		ip, _, proto := ipLayer(src, netip.AddrFrom4([4]byte{255, 255, 255, 255}), layers.IPProtocolICMPv4)
		return []gopacket.SerializableLayer{
			&layers.Ethernet{SrcMAC: mac[:], DstMAC: broadcast[:], EthernetType: proto}, ip,
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: 1, Seq: 1},
		}, nil
	}
	ip, network, proto := ipLayer(src, netip.IPv6LinkLocalAllNodes(), layers.IPProtocolICMPv6)
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoRequest, 0)}
	err := icmp.SetNetworkLayerForChecksum(network)
	return []gopacket.SerializableLayer{
		&layers.Ethernet{SrcMAC: mac[:], DstMAC: net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, EthernetType: proto}, ip, icmp,
		&layers.ICMPv6Echo{Identifier: 1, SeqNumber: 1},
	}, err
}

// ipLayer is an IPv4 or IPv6 header.
func ipLayer(src, dst netip.Addr, proto layers.IPProtocol) (gopacket.SerializableLayer, gopacket.NetworkLayer, layers.EthernetType) {
	if src.Is4() {
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
		return ip, ip, layers.EthernetTypeIPv4
	}
	ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	return ip, ip, layers.EthernetTypeIPv6
}
