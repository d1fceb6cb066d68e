package netns

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weft-sdn/weft/softswitch/port"
	"github.com/weft-sdn/weft/testbed/host"
)

// device is the machine's interface.
const device = "eth0"

// queueLength of the interface in frames: a burst of a TCP window fits.
const queueLength = 4096

// quiet are the settings of the interface that keep a kernel from talking when nobody uses it: no duplicate address detection, no router solicitation,
// multicast reports at once, neighbours that are not asked again for a day.
var quiet = [...][2]string{
	{"ipv6/conf/" + device + "/accept_dad", "0"},
	{"ipv6/conf/" + device + "/dad_transmits", "0"},
	{"ipv6/conf/" + device + "/router_solicitations", "0"},
	{"ipv6/conf/" + device + "/accept_ra", "0"},
	{"ipv6/conf/" + device + "/autoconf", "0"},
	{"ipv6/conf/" + device + "/mldv2_unsolicited_report_interval", "1"},
	{"ipv4/neigh/" + device + "/base_reachable_time_ms", "86400000"},
	{"ipv6/neigh/" + device + "/base_reachable_time_ms", "86400000"},
	{"ipv4/neigh/" + device + "/delay_first_probe_time", "86400"}, // of who asked this host, and was not asked
	{"ipv6/neigh/" + device + "/delay_first_probe_time", "86400"},
	{"ipv4/conf/" + device + "/igmpv3_unsolicited_report_interval", "1"},
}

// setUp makes the interface and configures it; it runs in the namespace. IPv6 is on only when everything is set that it depends on.
func (h *Host) setUp() (err error) {
	if err := setting("ipv6/conf/default/disable_ipv6", "1"); err != nil {
		return err
	}
	if h.tap, err = port.OpenTAP(device); err != nil {
		return err
	}
	link, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("interface %s: %w", device, err)
	}
	h.index = link.Attrs().Index
	for _, one := range quiet {
		if err := setting(one[0], one[1]); err != nil {
			return err
		}
	}
	if err := h.configure(link); err != nil {
		return err
	}
	loopback, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(loopback)
	}
	if err != nil {
		return fmt.Errorf("interface lo: %w", err)
	}
	// Echo requests from unprivileged ping; -1 and 0 would be no range.
	return setting("ipv4/ping_group_range", "0 2147483647")
}

// configure gives the interface its MAC, MTU, addresses and routes.
func (h *Host) configure(link netlink.Link) error {
	for what, do := range map[string]func() error{
		"set MAC":          func() error { return netlink.LinkSetHardwareAddr(link, h.cfg.MAC[:]) },
		"set MTU":          func() error { return netlink.LinkSetMTU(link, h.cfg.MTU) },
		"set queue length": func() error { return netlink.LinkSetTxQLen(link, queueLength) },
	} {
		if err := do(); err != nil {
			return fmt.Errorf("interface %s: %s: %w", device, what, err)
		}
	}
	if err := setting("ipv6/conf/"+device+"/disable_ipv6", "0"); err != nil {
		return err
	}
	for _, prefix := range h.cfg.Addrs {
		addr := &netlink.Addr{IPNet: ipNet(prefix), Flags: unix.IFA_F_NODAD}
		if err := netlink.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("interface %s: add address %s: %w", device, prefix, err)
		}
	}
	return h.routes(netlink.RouteAdd)
}

// routes adds or replaces the routes of the configuration.
func (h *Host) routes(set func(*netlink.Route) error) error {
	all := slices.Clone(h.cfg.Routes)
	for _, gateway := range h.cfg.Gateways {
		any := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if gateway.Is6() {
			any = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
		all = append(all, host.Route{Dst: any, Via: gateway})
	}
	for _, one := range all {
		route := &netlink.Route{LinkIndex: h.index, Dst: ipNet(one.Dst), Gw: one.Via.AsSlice(), Flags: int(netlink.FLAG_ONLINK)}
		if err := set(route); err != nil {
			return fmt.Errorf("interface %s: set route %s via %s: %w", device, one.Dst, one.Via, err)
		}
	}
	return nil
}

func ipNet(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}
}

// awaitAddresses waits until the kernel has taken its IPv6 addresses into use, which it does some milliseconds after the interface is up.
func (h *Host) awaitAddresses() error {
	const patience, interval = 5 * time.Second, 5 * time.Millisecond
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); ; <-ticker.C {
		var pending string
		err := h.ns.do(func() (err error) {
			pending, err = h.pendingAddress()
			return err
		})
		switch {
		case err != nil:
			return fmt.Errorf("interface %s: addresses: %w", device, err)
		case pending == "":
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("interface %s: address %s is not in use after %v", device, pending, patience)
		}
	}
}

// pendingAddress returns an IPv6 address that is tentative, or whose solicited-node group (RFC 4291 §2.7.1) is not listened to yet; empty: there is none.
func (h *Host) pendingAddress() (string, error) {
	link, err := netlink.LinkByIndex(h.index)
	if err != nil {
		return "", err
	}
	addrs, err := netlink.AddrList(link, netlink.FAMILY_V6)
	if err != nil {
		return "", err
	}
	groups, err := os.ReadFile("/proc/thread-self/net/igmp6")
	if err != nil {
		return "", err
	}
	for _, addr := range addrs {
		ip := addr.IP.To16()
		group := fmt.Sprintf("ff0200000000000000000001ff%x", []byte(ip[13:]))
		if addr.Flags&unix.IFA_F_TENTATIVE != 0 || !bytes.Contains(groups, []byte(group)) {
			return ip.String(), nil
		}
	}
	return "", nil
}
