package flow

import (
	"hash/crc32"

	"github.com/weft-sdn/weft/packet"
)

// Hash returns the flow hash of a frame as it came in: flow_hash of p4src/v1model/ingress.p4, which chooses the path to a peer, the outer source port
// and the outer flow label. CRC-32 (IEEE 802.3) over the fields in network order, modulo 2^16.
func Hash(f *packet.Frame) uint16 {
	switch {
	case f.Is4():
		return hashL4(f, f.Data[f.L3+12:f.L3+20])
	case f.Is6():
		return hashL4(f, f.Data[f.L3+8:f.L3+40])
	}
	crc := crc32.ChecksumIEEE(f.Data[:12])
	return uint16(crcWord(crc, f.EtherType))
}

// hashL4 hashes the addresses, which are contiguous, and then protocol and ports.
func hashL4(f *packet.Frame, addrs []byte) uint16 {
	crc := crcByte(crc32.ChecksumIEEE(addrs), f.Proto)
	crc = crcWord(crc, f.SrcPort)
	return uint16(crcWord(crc, f.DstPort))
}

func crcByte(crc uint32, b byte) uint32 {
	crc = ^crc
	return ^(crc32.IEEETable[byte(crc)^b] ^ crc>>8)
}

func crcWord(crc uint32, w uint16) uint32 { return crcByte(crcByte(crc, byte(w>>8)), byte(w)) }
