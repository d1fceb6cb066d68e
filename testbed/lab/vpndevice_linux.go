package lab

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

const kernelMTU = 2000 // of a data port in the kernel, in bytes

// kernelPort is a data port of VPNs as installations have it: interfaces of the kernel's, in a namespace where the target's process and the agent's run.
type kernelPort struct {
	namespace     netns.NsHandle
	target, agent string // what each opens
}

// newKernelPort makes one of a kind: veth, a pair of which each has an end, or tap, a device that stays when its agent goes.
func newKernelPort(kind string) (*kernelPort, error) {
	k := &kernelPort{namespace: netns.None()}
	err := inNewNamespace(func() (err error) {
		if k.namespace, err = netns.Get(); err != nil {
			return err
		}
		for _, scope := range []string{"all", "default"} { // a kernel that speaks IPv6 there would send frames of its own
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+scope+"/disable_ipv6", []byte("1"), 0o644); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		switch kind {
		case "veth":
			k.target, k.agent = "vpn0", "vpn1"
			_, err = makeVeth(k.target, k.agent, kernelMTU)
		case "tap":
			k.target, k.agent = "vpn0", "tap:vpn0"
			attributes := netlink.NewLinkAttrs()
			attributes.Name, attributes.MTU = k.target, kernelMTU
			tap := &netlink.Tuntap{LinkAttrs: attributes, Mode: netlink.TUNTAP_MODE_TAP, Flags: netlink.TUNTAP_NO_PI}
			if err = netlink.LinkAdd(tap); err == nil {
				err = netlink.LinkSetUp(tap)
			}
		default:
			err = fmt.Errorf("data port %q; use veth or tap", kind)
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("data port of VPNs: %w", err), k.close())
	}
	return k, nil
}

// enter moves the calling thread to where the interfaces are.
func (k *kernelPort) enter() error { return netns.Set(k.namespace) }

func (k *kernelPort) close() error {
	if !k.namespace.IsOpen() {
		return nil
	}
	return k.namespace.Close()
}
