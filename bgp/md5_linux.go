package bgp

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// signSegments has a socket sign what it sends to addresses of a prefix, and take from them only what is signed likewise (RFC 2385); without a password it no
// longer does. A listener's connections inherit its keys.
func signSegments(socket syscall.RawConn, with netip.Prefix, password string) error {
	if len(password) > unix.TCP_MD5SIG_MAXKEYLEN {
		return fmt.Errorf("password has %d bytes; TCP MD5 takes %d", len(password), unix.TCP_MD5SIG_MAXKEYLEN)
	}
	key := unix.TCPMD5Sig{Flags: unix.TCP_MD5SIG_FLAG_PREFIX, Prefixlen: uint8(with.Bits()), Keylen: uint16(len(password))}
	key.Addr.Family = unix.AF_INET
	at := 2 // of the address in struct sockaddr_in, behind the family
	if with.Addr().Is6() {
		key.Addr.Family, at = unix.AF_INET6, 6
	}
	copy(key.Addr.Data[at:], with.Addr().AsSlice())
	copy(key.Key[:], password)
	var failure error
	err := socket.Control(func(fd uintptr) {
		failure = unix.SetsockoptTCPMD5Sig(int(fd), unix.IPPROTO_TCP, unix.TCP_MD5SIG_EXT, &key)
	})
	if password == "" && errors.Is(failure, unix.ENOENT) {
		failure = nil // there was none
	}
	if failure != nil {
		return fmt.Errorf("TCP MD5 with %s: %w", with, os.NewSyscallError("setsockopt", failure))
	}
	return err
}
