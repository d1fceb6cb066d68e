//go:build !linux

package lab

import "errors"

func newBMv2(targetConfig) (target, error) {
	return nil, errors.New("target bmv2: needs the network namespaces of Linux; use --target softswitch")
}
