package p4rt

import (
	"context"

	"google.golang.org/grpc"
)

// maxHeaderList makes room for the error details of a whole batch: gRPC carries them in the
// trailer, about 100 bytes an update before base64 (Spec 12.3).
const maxHeaderList = 16 << 20

// DialOptions are what a connection to a P4 target needs besides credentials.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithMaxHeaderListSize(maxHeaderList)}
}

// Dialer returns a Config.Dial for a gRPC target name. The options must name the credentials.
func Dialer(target string, opts ...grpc.DialOption) func(context.Context) (Conn, error) {
	all := append(DialOptions(), opts...)
	return func(context.Context) (Conn, error) {
		c, err := grpc.NewClient(target, all...)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
}
