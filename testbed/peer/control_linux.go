package peer

import (
	"context"
	"net"
)

// control is a connection to a control socket that ctx ends.
type control struct {
	net.Conn
	ctx  context.Context
	stop func() bool
}

func dial(ctx context.Context, socket string) (*control, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	switch {
	case ctx.Err() != nil && err != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, err
	}
	return &control{Conn: conn, ctx: ctx, stop: context.AfterFunc(ctx, func() { _ = conn.Close() })}, nil
}

// why is the cause of an error: the end of ctx before what the socket says.
func (c *control) why(err error) error {
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	return err
}

func (c *control) close() {
	if c.stop() {
		_ = c.Close() // nothing is to be written any more
	}
}
