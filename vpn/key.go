package vpn

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/weft-sdn/weft/state"
)

// keyLen is the length of all keys here: WireGuard's and that of a Seal.
const keyLen = 32

// Seal seals private keys for the database, with a key that all edges have and the database has not.
//
//	version 1 | first 4 bytes of SHA-256 of the key | nonce 24 | XChaCha20-Poly1305 of the private key; the VPN's name and public key are authenticated with it
type Seal struct{ key [keyLen]byte }

const (
	sealVersion = 1
	sealIDLen   = 4
)

// ParseSeal makes a Seal of its key: 32 bytes in base64.
func ParseSeal(text string) (*Seal, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(raw) != keyLen {
		return nil, errors.New("is no key: 32 bytes in base64 would do, such as wg genkey or openssl rand -base64 32 prints")
	}
	return &Seal{[keyLen]byte(raw)}, nil
}

func (s *Seal) id() [sealIDLen]byte {
	sum := sha256.Sum256(s.key[:])
	return [sealIDLen]byte(sum[:])
}

// generate makes a VPN's key.
func (s *Seal) generate(name string) (state.VPNKey, error) {
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return state.VPNKey{}, fmt.Errorf("vpn: generate a key: %w", err)
	}
	public := base64.StdEncoding.EncodeToString(private.PublicKey().Bytes())
	sealed, err := s.seal(name, public, private.Bytes())
	return state.VPNKey{Public: public, Sealed: sealed}, err
}

// seal seals a private key for the database.
func (s *Seal) seal(name, public string, private []byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(s.key[:])
	if err != nil {
		return nil, fmt.Errorf("vpn: seal a key: %w", err)
	}
	id := s.id()
	nonce := make([]byte, chacha20poly1305.NonceSizeX)
	_, _ = rand.Read(nonce) // it never fails
	sealed := append(append([]byte{sealVersion}, id[:]...), nonce...)
	return aead.Seal(sealed, nonce, private, about(name, public)), nil
}

func about(name, public string) []byte { return []byte("weft vpn 1\x00" + name + "\x00" + public) }

// open returns WireGuard's private key. Its errors do not tell any of it.
func (s *Seal) open(name string, k *state.VPNKey) (private [keyLen]byte, err error) {
	raw, err := s.unseal(name, k)
	switch {
	case err != nil:
		return private, err
	case len(raw) != keyLen:
		return private, errors.New("its key in the database is none of WireGuard's: delete the VPN and apply it again for another")
	}
	return [keyLen]byte(raw), nil
}

// unseal returns a private key as seal got it. Its errors do not tell any of it.
func (s *Seal) unseal(name string, k *state.VPNKey) ([]byte, error) {
	const head = 1 + sealIDLen + chacha20poly1305.NonceSizeX
	id := s.id()
	switch {
	case len(k.Sealed) < head || k.Sealed[0] != sealVersion:
		return nil, errors.New("its key in the database is not one that this version sealed")
	case [sealIDLen]byte(k.Sealed[1:]) != id:
		return nil, fmt.Errorf("its key is sealed with another key (%s) than this edge has (%s): all edges need the same vpn.keyFile", hex.EncodeToString(k.Sealed[1:1+sealIDLen]), hex.EncodeToString(id[:]))
	}
	aead, err := chacha20poly1305.NewX(s.key[:])
	if err != nil {
		return nil, fmt.Errorf("vpn: open a key: %w", err)
	}
	raw, err := aead.Open(nil, k.Sealed[1+sealIDLen:head], k.Sealed[head:], about(name, k.Public))
	if err != nil {
		return nil, errors.New("its key in the database was changed: it does not open")
	}
	return raw, nil
}

// GenerateKey makes a key pair of WireGuard's, in base64: for a remote end.
func GenerateKey() (private, public string, err error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return "", "", fmt.Errorf("vpn: generate a key: %w", err)
	}
	return base64.StdEncoding.EncodeToString(key.Bytes()), base64.StdEncoding.EncodeToString(key.PublicKey().Bytes()), nil
}
