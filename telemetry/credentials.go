package telemetry

import (
	"context"

	"google.golang.org/grpc/credentials"
)

// login is how gNMI carries a user's name and password: as metadata of each call ("gNMI Authentication", by user name and password).
type login struct{ user, password string }

// Login makes the credentials of a user, for grpc.WithPerRPCCredentials. They are sent over TLS only.
func Login(user, password string) credentials.PerRPCCredentials { return login{user, password} }

func (l login) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"username": l.user, "password": l.password}, nil
}

func (login) RequireTransportSecurity() bool { return true }
