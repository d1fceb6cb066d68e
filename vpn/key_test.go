package vpn

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/weft-sdn/weft/state"
)

func newSeal(t testing.TB, first byte) *Seal {
	t.Helper()
	s, err := ParseSeal(base64.StdEncoding.EncodeToString(append([]byte{first}, make([]byte, keyLen-1)...)) + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSeal: a private key comes out as it went in, for the same VPN and with the same key alone; errors have nothing of it.
func TestSeal(t *testing.T) {
	seal := newSeal(t, 1)
	key, err := seal.generate("acme/office")
	if err != nil {
		t.Fatal(err)
	}
	private, err := seal.open("acme/office", &key)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(key.Sealed, private[:]) {
		t.Error("the private key is stored as it is")
	}
	other, err := seal.generate("acme/office")
	if err != nil || other.Public == key.Public || bytes.Equal(other.Sealed, key.Sealed) {
		t.Errorf("two keys are one: %v", err)
	}
	changed := func(at int) *state.VPNKey {
		k := state.VPNKey{Public: key.Public, Sealed: bytes.Clone(key.Sealed)}
		k.Sealed[at] ^= 1
		return &k
	}
	for what, tc := range map[string]struct {
		seal *Seal
		name string
		key  *state.VPNKey
		want string
	}{
		"another key":        {newSeal(t, 2), "acme/office", &key, "all edges need the same vpn.keyFile"},
		"another VPN":        {seal, "evil/office", &key, "does not open"},
		"another public key": {seal, "acme/office", &state.VPNKey{Public: other.Public, Sealed: key.Sealed}, "does not open"},
		"changed":            {seal, "acme/office", changed(len(key.Sealed) - 1), "does not open"},
		"another nonce":      {seal, "acme/office", changed(sealIDLen + 1), "does not open"},
		"another version":    {seal, "acme/office", changed(0), "not one that this version sealed"},
		"cut":                {seal, "acme/office", &state.VPNKey{Public: key.Public, Sealed: key.Sealed[:20]}, "not one that this version sealed"},
		"none":               {seal, "acme/office", &state.VPNKey{}, "not one that this version sealed"},
	} {
		got, err := tc.seal.open(tc.name, tc.key)
		if err == nil || !strings.Contains(err.Error(), tc.want) || got != [keyLen]byte{} {
			t.Errorf("%s: %v, want %q", what, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), base64.StdEncoding.EncodeToString(private[:])) {
			t.Errorf("%s: the error has the key", what)
		}
	}
}

func TestParseSeal(t *testing.T) {
	for _, bad := range []string{"", "c2VjcmV0", strings.Repeat("A", 44), "not base64 !"} {
		if _, err := ParseSeal(bad); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// FuzzOpen: whatever the database has, it is opened or refused.
func FuzzOpen(f *testing.F) {
	seal := newSeal(f, 1)
	key, err := seal.generate("acme/office")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(key.Public, key.Sealed)
	f.Add("", []byte{})
	f.Add(key.Public, key.Sealed[:30])
	f.Fuzz(func(t *testing.T, public string, sealed []byte) {
		if private, err := seal.open("acme/office", &state.VPNKey{Public: public, Sealed: sealed}); err != nil && private != [keyLen]byte{} {
			t.Error("an error comes with a key")
		}
	})
}
