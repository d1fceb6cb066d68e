package access

import (
	"net/http"
)

// Guard knows who has access, and decides.
type Guard struct {
	policy *policy
}

// New returns a guard.
func New() (*Guard, error) {
	p, err := newPolicy()
	if err != nil {
		return nil, err
	}
	return &Guard{policy: p}, nil
}

// Authenticate says who a request is from; ErrUnauthenticated if that can't be known.
func (g *Guard) Authenticate(r *http.Request) (Identity, error) {
	return Identity{}, ErrUnauthenticated
}
