package lab

import (
	"testing"

	"github.com/weft-sdn/weft/testbed/proxy"
)

// newProxy is a way to a server, until the test ends.
func newProxy(t testing.TB, network, address string) *proxy.Proxy {
	t.Helper()
	p, err := proxy.New(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}
