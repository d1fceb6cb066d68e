package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/topology"
)

// Guard says who asks, and what he may do.
type Guard interface {
	// Authenticate says who a request is from.
	Authenticate(*http.Request) (access.Identity, error)
	// Allow says whether somebody may do something: nil, access.ErrForbidden, or access.ErrNotVisible if he may not even know whether the object is there.
	Allow(context.Context, access.Identity, access.Action) error
	// Admit says whether the objects of a change may be as they would be: grants, leased addresses, quotas. It is asked in the attempt that writes, with what is stored. It returns the
	// change with what goes along.
	Admit(ctx context.Context, id access.Identity, set *topology.Set, put []*topology.Object, del []topology.Ref) ([]*topology.Object, []topology.Ref, error)
	// Conceal takes out of an error what somebody may not know of.
	Conceal(id access.Identity, set *topology.Set, err error) error
}

// Open is the guard of a server that everybody who reaches it may use as its provider: one for trying out, that listens to this machine alone.
type Open struct{}

// Authenticate implements Guard. A page of any site that somebody on this machine looks at can have his browser ask, too: it is not let in, by whatever name it calls this machine.
func (Open) Authenticate(r *http.Request) (access.Identity, error) {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host != "" && !isLocal(net.JoinHostPort(strings.Trim(host, "[]"), "0")) {
		return access.Identity{}, fmt.Errorf("%w: this server is open to this machine alone: ask it as localhost, 127.0.0.1 or [::1]", access.ErrForbidden)
	}
	if err := new(http.CrossOriginProtection).Check(r); err != nil {
		return access.Identity{}, fmt.Errorf("%w: a page of another site asks this open server for a change", access.ErrForbidden)
	}
	return access.Identity{Subject: "local", Role: access.ProviderAdmin}, nil
}

// Allow implements Guard.
func (Open) Allow(context.Context, access.Identity, access.Action) error { return nil }

// Admit implements Guard.
func (Open) Admit(_ context.Context, _ access.Identity, _ *topology.Set, put []*topology.Object, del []topology.Ref) ([]*topology.Object, []topology.Ref, error) {
	return put, del, nil
}

// Conceal implements Guard.
func (Open) Conceal(_ access.Identity, _ *topology.Set, err error) error { return err }

type identityKey struct{}

// identityOf is who a request is from; the gate put it there.
func identityOf(ctx context.Context) access.Identity {
	id, _ := ctx.Value(identityKey{}).(access.Identity)
	return id
}
