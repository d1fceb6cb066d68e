//go:build !linux

package vpn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/weft-sdn/weft/state"
)

// missing says what a VPN's daemon lacks here: Linux.
func missing(kind, _, _ string) error {
	return fmt.Errorf("%s takes Linux at the edge: %w", kind, errors.ErrUnsupported)
}

// sweep: there are no daemons, that would leave something behind.
func sweep(*slog.Logger) {}

func (s *site) newDaemon(context.Context, *state.VPNRecord, *state.VPNHold) (carrier, error) {
	return nil, errors.ErrUnsupported
}
