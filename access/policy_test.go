package access

import (
	"testing"

	"github.com/weft-sdn/weft/topology"
)

func BenchmarkAllow(b *testing.B) {
	g, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	id := Identity{Subject: "user:alice", Role: TenantEditor, Tenant: "acme"}
	a := Action{Verb: Update, Kind: topology.KindVPort, Tenant: "acme", Name: "web"}
	b.ReportAllocs()
	for b.Loop() {
		if err := g.Allow(b.Context(), id, a); err != nil {
			b.Fatal(err)
		}
	}
}
