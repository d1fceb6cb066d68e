package flow

import (
	"bytes"
	"testing"

	"github.com/weft-sdn/weft/packet"
)

// FuzzRewrite: for whatever parses, the key is within its exact mask, and a rewrite changes MACs, TTL and checksum alone, so that the key changes in
// its MACs only; a right checksum stays right and a wrong one wrong.
func FuzzRewrite(f *testing.F) {
	for _, b := range [][]byte{udp(a4, b4), udp(a6, b6), tagged(udp(a4, b4)), tagged(udp(a6, b6)), arp()} {
		f.Add(b, uint8(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, dec uint8) {
		var fr packet.Frame
		if packet.Parse(b, &fr) != nil {
			return
		}
		k := KeyOf(&fr, 1)
		if k.And(ExactMask(k.EtherType)) != k {
			t.Fatalf("%v outside of its exact mask", k)
		}
		hash, ok := Hash(&fr), fr.ChecksumOK()
		ttl := fr.TTL()
		got := bytes.Clone(b)
		r := Rewrite{SetMACs: true, SrcMAC: macR, DstMAC: macA, TTLDec: dec % (MaxTTLDec + 1)}
		r.Apply(got, &fr)
		var after packet.Frame
		if err := packet.Parse(got, &after); err != nil {
			t.Fatal(err)
		}
		want := k
		want.SrcMAC, want.DstMAC = macR, macA
		if KeyOf(&after, 1) != want {
			t.Fatalf("key %v, want %v", KeyOf(&after, 1), want)
		}
		if fr.L3 != 0 && (after.TTL() != ttl-r.TTLDec || Hash(&after) != hash) || after.ChecksumOK() != ok {
			t.Fatalf("TTL %d from %d, hash %#x from %#x, checksum %v from %v", after.TTL(), ttl, Hash(&after), hash, after.ChecksumOK(), ok)
		}
		for i := range got {
			at := i - fr.L3
			if i >= 12 && got[i] != b[i] && (fr.L3 == 0 || fr.Is4() && at != 8 && at != 10 && at != 11 || fr.Is6() && at != 7) {
				t.Fatalf("byte %d changed", i)
			}
		}
	})
}
