package vpn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/weft-sdn/weft/state"
)

const (
	certificateLife = 30 * 365 * 24 * time.Hour // who has it is known by its fingerprint: it ends when the object says so
	clockSlack      = 48 * time.Hour            // of who is told it
)

// newCertificate makes a private key (PKCS #8) and the certificate that it signed for itself. The other end knows that one by its fingerprint, so that no authority is needed.
func newCertificate(name string, now time.Time) (certificate, private []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	about := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-clockSlack), NotAfter: now.Add(certificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyAgreement | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true, IsCA: true, // the other end may have it as its authority
	}
	if certificate, err = x509.CreateCertificate(rand.Reader, about, about, key.Public(), key); err != nil {
		return nil, nil, err
	}
	private, err = x509.MarshalPKCS8PrivateKey(key)
	return certificate, private, err
}

// fingerprint is the SHA-256 of a certificate, as OpenVPN and openssl write it.
func fingerprint(certificate []byte) string {
	sum := sha256.Sum256(certificate)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

func certificatePEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func privatePEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// commonName is a VPN's name as a certificate, or IKE, has it: TENANT/NAME is NAME.TENANT there.
func commonName(vpn string) string {
	tenant, name, _ := strings.Cut(vpn, "/")
	return name + "." + tenant
}

// generateCertificate makes the key of an OpenVPN.
func (s *Seal) generateCertificate(name string) (state.VPNKey, error) {
	certificate, private, err := newCertificate(commonName(name), time.Now())
	if err != nil {
		return state.VPNKey{}, fmt.Errorf("vpn: generate a key: %w", err)
	}
	defer clear(private)
	k := state.VPNKey{Public: fingerprint(certificate), Certificate: certificate}
	k.Sealed, err = s.seal(name, k.Public, private)
	return k, err
}

// openVPNKeys is what an end of an OpenVPN has.
type openVPNKeys struct {
	certificate, private []byte // in DER; private: PKCS #8
	tlsCrypt             string // OpenVPN's key file, without its head and foot; empty: none
}

// openVPNSecrets opens what the holder of an OpenVPN must know.
func (k *Keeper) openVPNSecrets(rec *state.VPNRecord) (openVPNKeys, error) {
	switch {
	case rec.Key == nil:
		return openVPNKeys{}, errors.New("it has no key yet")
	case len(rec.Key.Certificate) == 0 || fingerprint(rec.Key.Certificate) != rec.Key.Public:
		return openVPNKeys{}, errors.New("its key in the database is none of OpenVPN's: delete the VPN and apply it again for another")
	}
	keys := openVPNKeys{certificate: rec.Key.Certificate}
	var err error
	if keys.private, err = k.cfg.Seal.unseal(rec.Site.Name, rec.Key); err != nil {
		return openVPNKeys{}, err
	}
	p := &rec.Site.Spec.Peers[0]
	text, err := k.peerSecret(rec.Site, p)
	if err != nil {
		return openVPNKeys{}, err
	}
	if keys.tlsCrypt, err = tlsCrypt(text); err != nil {
		return openVPNKeys{}, fmt.Errorf("peer %s: secret %s: %w", p.Name, p.PresharedKeySecret, err)
	}
	return keys, nil
}

// tlsCrypt is the body of OpenVPN's key file, of the same in one line.
func tlsCrypt(text string) (string, error) {
	const digits, inLine = 512, 32
	if text == "" {
		return "", nil
	}
	if len(text) != digits || strings.Trim(text, "0123456789abcdefABCDEF") != "" {
		return "", errors.New("is no key for tls-crypt: 512 hex digits in one line, as openvpn --genkey tls-crypt /dev/stdout | grep -v '[-#]' | tr -d '\\n' prints, would do")
	}
	var b strings.Builder
	for ; text != ""; text = text[inLine:] {
		b.WriteString(text[:inLine] + "\n")
	}
	return b.String(), nil
}

// newPeerCertificate makes the key of an OpenVPN's remote end: what its profile is to have, and the fingerprint by which the VPN knows it.
func newPeerCertificate(peer string) (private, public string, err error) {
	certificate, key, err := newCertificate(peer, time.Now())
	if err != nil {
		return "", "", fmt.Errorf("vpn: generate a key: %w", err)
	}
	return "<cert>\n" + certificatePEM(certificate) + "</cert>\n<key>\n" + privatePEM(key) + "</key>\n", fingerprint(certificate), nil
}
