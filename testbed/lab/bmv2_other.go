//go:build !linux

package lab

import "errors"

func bmv2Missing() error { return errors.New("needs the network namespaces of Linux") }

func newBMv2(targetConfig) (target, error) { return nil, bmv2Missing() }
