//go:build !linux

package lab

import "errors"

type kernelPort struct{ target, agent string }

func newKernelPort(string) (*kernelPort, error) {
	return nil, errors.New("data port of VPNs: needs the network namespaces of Linux")
}

func (*kernelPort) enter() error { return nil }
func (*kernelPort) close() error { return nil }
