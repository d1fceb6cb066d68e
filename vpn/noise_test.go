package vpn

import (
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"hash"
	"testing"
	"time"

	"golang.org/x/crypto/blake2s"
	"golang.org/x/crypto/chacha20poly1305"
)

// initiation is the first message of a handshake of WireGuard's (its paper, section 5.4.2), by a host whose clock says stamp: wireguard-go does not let one choose.
func initiation(t testing.TB, private *ecdh.PrivateKey, to *ecdh.PublicKey, sender uint32, stamp time.Time) []byte {
	t.Helper()
	sum := func(parts ...[]byte) []byte {
		h, _ := blake2s.New256(nil)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	mac := func(key []byte, parts ...[]byte) []byte {
		m := hmac.New(func() hash.Hash { h, _ := blake2s.New256(nil); return h }, key)
		for _, p := range parts {
			m.Write(p)
		}
		return m.Sum(nil)
	}
	derive := func(chain, input []byte) (next, key []byte) {
		secret := mac(chain, input)
		next = mac(secret, []byte{1})
		return next, mac(secret, next, []byte{2})
	}
	ephemeral, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	shared := func(own *ecdh.PrivateKey) []byte {
		s, err := own.ECDH(to)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	seal := func(key, plain, with []byte) []byte {
		aead, err := chacha20poly1305.New(key)
		if err != nil {
			t.Fatal(err)
		}
		return aead.Seal(nil, make([]byte, chacha20poly1305.NonceSize), plain, with)
	}
	chain := sum([]byte("Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"))
	hashed := sum(sum(chain, []byte("WireGuard v1 zx2c4 Jason@zx2c4.com")), to.Bytes())
	public := ephemeral.PublicKey().Bytes()
	chain, hashed = mac(mac(chain, public), []byte{1}), sum(hashed, public)
	chain, key := derive(chain, shared(ephemeral))
	static := seal(key, private.PublicKey().Bytes(), hashed)
	hashed = sum(hashed, static)
	_, key = derive(chain, shared(private))
	tai := binary.BigEndian.AppendUint64(nil, 0x400000000000000a+uint64(stamp.Unix())) // TAI64N
	tai = binary.BigEndian.AppendUint32(tai, uint32(stamp.Nanosecond()))
	b := binary.LittleEndian.AppendUint32([]byte{1, 0, 0, 0}, sender)
	b = append(append(append(b, public...), static...), seal(key, tai, hashed)...)
	first, err := blake2s.New128(sum([]byte("mac1----"), to.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	first.Write(b)
	return append(first.Sum(b), make([]byte, 16)...)
}
