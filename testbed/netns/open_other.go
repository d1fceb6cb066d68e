//go:build !linux

package netns

import (
	"errors"

	"github.com/weft-sdn/weft/testbed/host"
	"github.com/weft-sdn/weft/testbed/scenario"
)

// New fails: network namespaces are Linux's.
func New(host.Config, host.Link) (scenario.Machine, error) {
	return nil, errors.New("network namespaces need Linux; leave --netns out")
}

// Missing tells why New cannot work here.
func Missing() error { return errors.New("network namespaces need Linux") }

// Denied tells why New cannot work here.
func Denied() error { return Missing() }
