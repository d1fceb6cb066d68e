package bgp

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// tunName is the name of the device, which is alone in its namespace but for lo.
const tunName = "bgp0"

// openTUN makes a device that carries IP packets between a file and the caller's namespace, with addresses, an MTU in bytes and default routes. It
// returns the index of the device, which goes when the file is closed.
func openTUN(addrs map[netip.Addr]struct{}, mtu int) (file *os.File, index int, err error) {
	const path = "/dev/net/tun"
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, 0, &os.PathError{Op: "open", Path: path, Err: err}
	}
	request, err := unix.NewIfreq(tunName)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = os.NewSyscallError("attach", unix.IoctlIfreq(fd, unix.TUNSETIFF, request))
	}
	if err == nil {
		index, err = setUpTUN(addrs, mtu)
	}
	if err != nil {
		unix.Close(fd)
		return nil, 0, fmt.Errorf("TUN device: %w", err)
	}
	return os.NewFile(uintptr(fd), path), index, nil
}

// setUpTUN configures the device and lo in the caller's namespace.
func setUpTUN(addrs map[netip.Addr]struct{}, mtu int) (index int, err error) {
	for _, name := range []string{"lo", tunName} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return 0, err
		}
		index = link.Attrs().Index
		if name == tunName {
			if err := netlink.LinkSetMTU(link, mtu); err != nil {
				return 0, fmt.Errorf("set MTU %d: %w", mtu, err)
			}
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return 0, fmt.Errorf("set %s up: %w", name, err)
		}
	}
	routed := map[int]bool{} // by length of addresses
	for addr := range addrs {
		own := &netlink.Addr{IPNet: hostNet(addr, addr.BitLen()), Flags: unix.IFA_F_NODAD, Scope: scopeOf(addr)}
		if err := netlink.AddrAdd(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}, own); err != nil {
			return 0, fmt.Errorf("add address %s: %w", addr, err)
		}
		routed[addr.BitLen()] = true
	}
	for bits := range routed {
		any := netip.IPv4Unspecified()
		if bits == 128 {
			any = netip.IPv6Unspecified()
		}
		if err := netlink.RouteAdd(&netlink.Route{LinkIndex: index, Dst: hostNet(any, 0), Scope: netlink.SCOPE_LINK}); err != nil {
			return 0, fmt.Errorf("add route %s/0: %w", any, err)
		}
	}
	return index, nil
}

// scopeOf is the scope of an own address.
func scopeOf(addr netip.Addr) int {
	if addr.IsLinkLocalUnicast() && addr.Is6() {
		return int(netlink.SCOPE_LINK)
	}
	return int(netlink.SCOPE_UNIVERSE)
}

func hostNet(addr netip.Addr, bits int) *net.IPNet {
	return &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(bits, addr.BitLen())}
}
