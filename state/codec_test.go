package state

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/topology"
)

func TestKeysRoundTrip(t *testing.T) {
	mac := packet.MAC{0x02, 0, 0xab, 0xcd, 0xef, 1}
	k := fdbKey(77, mac)
	if k != "/weft/tbl/fdb/77/0200abcdef01" {
		t.Errorf("fdb key %s", k)
	}
	if b, m, err := parseFDBKey(k); err != nil || b != 77 || m != mac {
		t.Errorf("parse %s: %d %x %v", k, b, m, err)
	}
	for addr, want := range map[string]string{
		"10.0.0.1":    "/weft/tbl/neigh/5/0a000001",
		"2001:db8::1": "/weft/tbl/neigh/5/20010db8000000000000000000000001",
	} {
		k := addrKey(neighPrefix, 5, netip.MustParseAddr(addr))
		if k != want {
			t.Errorf("neighbour key %s, want %s", k, want)
		}
		if o, a, err := parseAddrKey(k, neighPrefix); err != nil || o != 5 || a.String() != addr {
			t.Errorf("parse %s: %d %v %v", k, o, a, err)
		}
	}
	for _, bad := range []string{
		"", "/weft/tbl/fdb/", "/weft/tbl/fdb/1", "/weft/tbl/fdb/1/", "/weft/tbl/fdb/0/020000000001", "/weft/tbl/fdb/01/020000000001",
		"/weft/tbl/fdb/1/0200000001", "/weft/tbl/fdb/1/0200ABCDEF01", "/weft/tbl/fdb/16777216/020000000001", "/weft/tbl/fdb/+1/020000000001",
	} {
		if _, _, err := parseFDBKey(bad); !errors.Is(err, ErrCodec) {
			t.Errorf("fdb key %q: got %v, want ErrCodec", bad, err)
		}
	}
	for _, bad := range []string{"/weft/tbl/neigh/1/0a0000", "/weft/tbl/neigh/1/00000000000000000000ffff0a000001"} {
		if _, _, err := parseAddrKey(bad, neighPrefix); !errors.Is(err, ErrCodec) {
			t.Errorf("neighbour key %q: got %v, want ErrCodec", bad, err)
		}
	}
}

func TestCodecRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"empty": {}, "short": {1, 0, 0, 0, 1}, "long": {1, 0, 0, 0, 0, 1, 0}, "version": {2, 0, 0, 0, 0, 1},
		"flag": {1, 2, 0, 0, 0, 1}, "no vport": {1, 0, 0, 0, 0, 0}, "vport of 25 bits": {1, 0, 1, 0, 0, 0},
	} {
		if _, err := decodeFDB(b); !errors.Is(err, ErrCodec) {
			t.Errorf("fdb %s: got %v, want ErrCodec", name, err)
		}
	}
	for name, b := range map[string][]byte{
		"empty": {}, "version": {2, 2, 0, 2, 0, 0, 0, 0, 1}, "state": {1, 3, 0, 2, 0, 0, 0, 0, 1}, "known without MAC": {1, 2, 0, 0, 0, 0, 0, 0, 0},
		"asked with MAC": {1, 1, 1, 2, 0, 0, 0, 0, 1}, "asked never": {1, 1, 0, 0, 0, 0, 0, 0, 0}, "group": {1, 2, 0, 1, 0, 0, 0, 0, 1}, "known and attempts": {1, 2, 1, 2, 0, 0, 0, 0, 1},
	} {
		if _, err := decodeNeigh(b); !errors.Is(err, ErrCodec) {
			t.Errorf("neighbour %s: got %v, want ErrCodec", name, err)
		}
	}
}

// One value has one encoding: what decodes encodes to the same bytes.
func FuzzHotCodec(f *testing.F) {
	f.Add(appendFDB(nil, fdbValue{vport: 7}))
	f.Add(appendFDB(nil, fdbValue{vport: maxID, pinned: true}))
	f.Add(appendNeigh(nil, neighValue{attempts: 3}))
	f.Add(appendNeigh(nil, neighValue{known: true, mac: packet.MAC{2, 0, 0, 0, 0, 1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decodeFDB(b)
		if err == nil && !bytes.Equal(appendFDB(nil, v), b) {
			t.Errorf("fdb % x became %+v became % x", b, v, appendFDB(nil, v))
		}
		n, err2 := decodeNeigh(b)
		if err2 == nil && !bytes.Equal(appendNeigh(nil, n), b) {
			t.Errorf("neighbour % x became %+v became % x", b, n, appendNeigh(nil, n))
		}
		if err == nil && err2 == nil {
			t.Errorf("% x is two kinds of value", b)
		}
	})
}

func FuzzTableKeys(f *testing.F) {
	f.Add(fdbKey(1, [6]byte{2, 0, 0, 0, 0, 1}))
	f.Add(addrKey(neighPrefix, 9, netip.MustParseAddr("10.0.0.1")))
	f.Add(addrKey(arpPrefix, 9, netip.MustParseAddr("fe80::1")))
	f.Add(bindKey(12))
	f.Add(confKey(topology.Ref{Kind: topology.KindVPort, Tenant: "acme", Name: "vm1"}))
	f.Fuzz(func(t *testing.T, key string) {
		if b, m, err := parseFDBKey(key); err == nil && fdbKey(b, m) != key {
			t.Errorf("fdb key %q has another spelling %q", key, fdbKey(b, m))
		}
		for _, p := range []string{neighPrefix, arpPrefix} {
			if o, a, err := parseAddrKey(key, p); err == nil && addrKey(p, o, a) != key {
				t.Errorf("key %q has another spelling %q", key, addrKey(p, o, a))
			}
		}
		if r, err := parseConfKey(key); err == nil && confKey(r) != key {
			t.Errorf("conf key %q has another spelling %q", key, confKey(r))
		}
		if v, err := parseBindKey(key); err == nil && bindKey(v) != key {
			t.Errorf("bind key %q has another spelling %q", key, bindKey(v))
		}
	})
}
