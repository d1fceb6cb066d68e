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
	if k != "/weft/dev/77/fdb/0200abcdef01" {
		t.Errorf("fdb key %s", k)
	}
	if d, err := parseDeviceKey(k); err != nil || d != (deviceKey{device: 77, record: recordFDB, mac: mac}) {
		t.Errorf("parse %s: %+v %v", k, d, err)
	}
	for addr, want := range map[string]string{
		"10.0.0.1":    "/weft/dev/9/neigh/5/0a000001",
		"2001:db8::1": "/weft/dev/9/neigh/5/20010db8000000000000000000000001",
	} {
		k := neighKey(9, 5, netip.MustParseAddr(addr))
		if k != want {
			t.Errorf("neighbour key %s, want %s", k, want)
		}
		if d, err := parseDeviceKey(k); err != nil || d != (deviceKey{device: 9, record: recordNeigh, port: 5, addr: netip.MustParseAddr(addr)}) {
			t.Errorf("parse %s: %+v %v", k, d, err)
		}
	}
	for _, bad := range []string{
		"", "/weft/dev/", "/weft/dev/1", "/weft/dev/1/", "/weft/dev/1/fdb", "/weft/dev/1/fdb/", "/weft/dev/0/fdb/020000000001",
		"/weft/dev/01/fdb/020000000001", "/weft/dev/1/fdb/0200000001", "/weft/dev/1/fdb/0200ABCDEF01", "/weft/dev/16777216/fdb/020000000001",
		"/weft/dev/+1/fdb/020000000001", "/weft/dev/1/self/", "/weft/dev/1/port", "/weft/dev/1/port/0", "/weft/dev/1/bind/05", "/weft/dev/1/rib/1",
		"/weft/dev/1/arp/0a0000", "/weft/dev/1/neigh/0a000001", "/weft/dev/1/neigh/2/00000000000000000000ffff0a000001",
	} {
		if k, err := parseDeviceKey(bad); !errors.Is(err, ErrCodec) {
			t.Errorf("key %q: %+v, %v, want ErrCodec", bad, k, err)
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
	f.Add(neighKey(9, 7, netip.MustParseAddr("10.0.0.1")))
	f.Add(arpKey(9, netip.MustParseAddr("fe80::1")))
	f.Add(bindKey(1, 12))
	f.Add(portKey(1, 12))
	f.Add(selfKey(1))
	f.Add(confKey(topology.Ref{Kind: topology.KindVPort, Tenant: "acme", Name: "vm1"}))
	f.Fuzz(func(t *testing.T, key string) {
		if k, err := parseDeviceKey(key); err == nil {
			spelling := map[record]string{
				recordSelf: selfKey(k.device), recordPort: portKey(k.device, k.port), recordBind: bindKey(k.device, k.port), recordFDB: fdbKey(k.device, k.mac),
				recordARP: arpKey(k.device, k.addr), recordNeigh: neighKey(k.device, k.port, k.addr),
			}[k.record]
			if spelling != key {
				t.Errorf("key %q has another spelling %q", key, spelling)
			}
		}
		if r, err := parseConfKey(key); err == nil && confKey(r) != key {
			t.Errorf("conf key %q has another spelling %q", key, confKey(r))
		}
	})
}
