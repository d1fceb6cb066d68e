package state

import (
	"errors"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/topology"
)

// TestClusterWithPasswords: certificates on all sides, a user who may use /weft/ alone, and tokens that end after a second. The user outlives the leader,
// and the end of his token while he wrote nothing.
func TestClusterWithPasswords(t *testing.T) {
	t.Parallel()
	flavours(t, func(t *testing.T, f flavour) {
		ca := newAuthority(t)
		c := startCluster(t, f, ca, func(cfg *EmbeddedConfig) { cfg.TokenTTL = time.Second })
		requirePasswords(t, c.members[0].client)
		admin := dialled(t, ClientConfig{Endpoints: c.endpoints(), TLS: c.tls, Username: "root", Password: "secret"})
		cfg := ClientConfig{Endpoints: c.endpoints(), TLS: ca.client("agent"), Username: "weft", Password: "warp"}
		l := startLoad(t, cfg)
		l.progress("at the start")
		if _, err := l.client.Put(t.Context(), "/other", "x"); !errors.Is(err, rpctypes.ErrPermissionDenied) {
			t.Errorf("wrote outside of /weft/: %v", err)
		}
		lazy, _ := openStore(t, Config{Client: cfg, Edges: []string{"e1"}})
		await(t, lazy, has("acme/web"))
		leader, _ := c.leader()
		leader.kill()
		t.Logf("leader is killed: everything goes on after %v", l.progress("leader is killed"))
		leader.start()
		leader.answers()
		l.check()

		apply(t, l.store, "apiVersion: weft/v1\nkind: Bridge\nmetadata: {name: island, tenant: acme}\nspec: {}\n")
		token, err := admin.Authenticate(t.Context(), "weft", "warp")
		if err != nil {
			t.Fatal(err)
		}
		renewals(t, admin, l.store, 2) // 3 s at least; nobody uses the user's tokens meanwhile
		old, err := clientv3.New(clientv3.Config{Endpoints: c.endpoints(), TLS: cfg.TLS, Token: token.Token, Logger: zapTo(nil, true)})
		if err != nil {
			t.Fatal(err)
		}
		defer old.Close()
		if _, err := old.Get(t.Context(), "/weft/x"); !errors.Is(err, rpctypes.ErrInvalidAuthToken) {
			t.Errorf("a token of that age: %v, want that it is over", err)
		}
		lazy.Load(topology.DeviceID(id(t, l.store, topology.KindBridge, "island"))) // a further watch on a stream whose token is over
		await(t, lazy, has("acme/island"))
		rev := apply(t, l.store, vportYAML("late", "bridge/web")+"---\n"+vportYAML("later", "bridge/web"))
		untilView(t, l.store, "e1's acknowledgement", func(v *View) bool { return v.Edges.Of("e1").Applied == rev })
		wait(t, lazy, rev)
		l.held("at the end")
	})
}
