package access

import (
	"errors"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/topology"
)

// Letters of what a role may do with objects of a kind: g get, l list, w watch, t trace, c create, u update, d delete.
var letters = map[Verb]byte{Get: 'g', List: 'l', Watch: 'w', Trace: 't', Create: 'c', Update: 'u', Delete: 'd'}

const all, read, none = "glwtcud", "glwt", ""

// may is what each role may do with its own tenant's objects of a kind; the last two have no tenant. Nobody may do anything with another tenant's.
type may struct{ admin, editor, viewer, provider, providerViewer, agent string }

var (
	drawn   = may{all, all, read, all, read, read}
	placed  = may{read, read, read, all, read, read}
	viewed  = may{read, read, read, all, read, none}
	fabric  = may{none, none, none, all, read, read}
	persons = may{all, none, none, all, none, none}
)

var expected = map[topology.Kind]may{
	topology.KindBridge: drawn, topology.KindRouter: drawn, topology.KindVPort: drawn, topology.KindChain: drawn, topology.KindAddressGroup: drawn, topology.KindPortGroup: drawn,
	topology.KindDHCP: drawn, topology.KindPool: drawn, topology.KindSecurityGroup: drawn, topology.KindFloatingIP: drawn, topology.KindSNATGateway: drawn,
	topology.KindBinding: placed, topology.KindBGPSession: placed, topology.KindVPN: placed, topology.KindTenant: placed,
	topology.KindFabric: fabric, KindEdge: fabric, KindStatus: fabric,
	KindLocation: viewed, KindFDB: viewed, KindNeighbour: viewed, KindRoute: viewed, KindLease: viewed, KindSession: viewed, KindConnection: viewed, KindFlow: viewed,
	KindCounter: viewed, KindEvent: viewed, KindTrace: viewed,
	KindUser: persons, KindToken: persons,
	KindAudit: {read, none, none, all, read, none},
	"Other":   {none, none, none, all, read, none}, // of which the policy does not know
}

// TestRoles: every role × verb × kind × own or another's object has the answer that is written down here, and every kind of the model is written down.
func TestRoles(t *testing.T) {
	g, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range topology.Kinds() {
		if _, ok := expected[k]; !ok {
			t.Errorf("kind %s: who may do what with it? Say so here and in policy.go; until then it is the provider's alone", k)
		}
	}
	questions := 0
	for kind, m := range expected {
		for role, letterSet := range map[Role]string{TenantAdmin: m.admin, TenantEditor: m.editor, TenantViewer: m.viewer, ProviderAdmin: m.provider, ProviderViewer: m.providerViewer, Agent: m.agent, "": none, "king": none} {
			for verb, letter := range letters {
				for _, tenant := range []string{"acme", "globex"} {
					id := Identity{Subject: "user:x", Role: role}
					if role.OfTenant() {
						id.Tenant = "acme"
					}
					want := error(nil)
					switch {
					case role.OfTenant() && tenant != "acme":
						want = ErrNotVisible
					case !slices.Contains([]byte(letterSet), letter):
						want = ErrForbidden
					}
					questions++
					if err := g.Allow(t.Context(), id, Action{Verb: verb, Kind: kind, Tenant: tenant, Name: "x"}); !errors.Is(err, want) || (err == nil) != (want == nil) {
						t.Errorf("%s %s %s of %s: %v, want %v", role, verb, kind, tenant, err, want)
					}
				}
			}
		}
	}
	if questions != len(expected)*8*len(letters)*2 {
		t.Errorf("%d questions", questions)
	}
}

// TestScopes: what was shown narrows what the role may do, and never widens it.
func TestScopes(t *testing.T) {
	g, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for role := range map[Role]bool{TenantAdmin: true, TenantEditor: true, TenantViewer: true, ProviderAdmin: true, ProviderViewer: true, Agent: true} {
		for kind := range expected {
			for verb := range letters {
				id := Identity{Subject: "user:x", Role: role}
				if role.OfTenant() {
					id.Tenant = "acme"
				}
				a := Action{Verb: verb, Kind: kind, Tenant: "acme", Name: "x"}
				plain := g.Allow(t.Context(), id, a) == nil
				for _, scope := range []Scope{{ReadOnly: true}, {Kinds: []topology.Kind{topology.KindVPort}}, {Kinds: []topology.Kind{kind}}, {ReadOnly: true, Kinds: []topology.Kind{kind}}} {
					id.Scope = scope
					want := plain && scope.Covers(kind) && !(scope.ReadOnly && verbs[verb] == "write")
					if is := g.Allow(t.Context(), id, a) == nil; is != want {
						t.Errorf("%s %s %s with %+v: %v", role, verb, kind, scope, is)
					}
				}
			}
		}
	}
}

// TestOwnTokens: anybody may do anything with his own tokens, and nothing with others'.
func TestOwnTokens(t *testing.T) {
	g, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	id := Identity{Subject: "user:acme/vic", Role: TenantViewer, Tenant: "acme"}
	for verb := range letters {
		if err := g.Allow(t.Context(), id, Action{Verb: verb, Kind: KindToken, Tenant: "acme", Owner: id.Subject}); err != nil {
			t.Errorf("%s: %v", verb, err)
		}
		if err := g.Allow(t.Context(), id, Action{Verb: verb, Kind: KindToken, Tenant: "acme", Owner: "user:acme/ann"}); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s another's: %v", verb, err)
		}
		if err := g.Allow(t.Context(), id, Action{Verb: verb, Kind: KindUser, Tenant: "acme", Owner: id.Subject}); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s a user: %v", verb, err)
		}
	}
}

// TestMoves: an object is not given to another tenant, nor taken from one, under the name of one's own.
func TestMoves(t *testing.T) {
	g, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	other := &topology.Object{Kind: topology.KindBridge, Metadata: topology.Metadata{Name: "b", Tenant: "globex"}}
	for _, a := range []Action{{Before: other}, {After: other}} {
		a.Verb, a.Kind, a.Tenant, a.Name = Update, topology.KindBridge, "acme", "b"
		if err := g.Allow(t.Context(), acme, a); !errors.Is(err, ErrForbidden) {
			t.Errorf("%+v: %v", a, err)
		}
	}
}

// FuzzAllow: whatever names an action has, nobody gets at what is another's, and a text of the policy's own is only a text.
func FuzzAllow(f *testing.F) {
	g, err := New(Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("user:x", "tenant-editor", "acme", "update", "VPort", "acme", "web", "", "", false)
	f.Add("", "provider-admin", "", "get", `VPort", "x`, "", "", "", "VPort", true)
	f.Add("user:x", `Role::"provider-admin"`, "", "get", "User", "", "", "user:x", "User", true)
	f.Add("user:x", "tenant-admin", "", "list", "Token", "", "", "user:x", "", false)
	f.Fuzz(func(t *testing.T, subject, role, tenant, verb, kind, of, name, owner, scope string, readOnly bool) {
		id := Identity{Subject: subject, Role: Role(role), Tenant: tenant, Scope: Scope{ReadOnly: readOnly}}
		if scope != "" {
			id.Scope.Kinds = []topology.Kind{topology.Kind(scope)}
		}
		a := Action{Verb: Verb(verb), Kind: topology.Kind(kind), Tenant: of, Name: name, Owner: owner}
		err := g.Allow(t.Context(), id, a)
		if err != nil {
			if !errors.Is(err, ErrForbidden) && !errors.Is(err, ErrNotVisible) {
				t.Errorf("the answer is %v", err)
			}
			return
		}
		switch {
		case subject == "" || !id.Role.Valid() || verbs[a.Verb] == "":
			t.Errorf("%+v may %+v", id, a)
		case id.Role.OfTenant() && (tenant == "" || of != tenant && !((a.Verb == List || a.Verb == Watch) && of == "") && !(a.Kind == KindToken && owner == subject)):
			t.Errorf("%+v may %+v of another tenant", id, a)
		case readOnly && verbs[a.Verb] == "write" || !id.Scope.Covers(a.Kind):
			t.Errorf("%+v may %+v beyond the scope", id, a)
		}
	})
}

func BenchmarkAllow(b *testing.B) {
	g, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	a := Action{Verb: Update, Kind: topology.KindVPort, Tenant: "acme", Name: "web"}
	b.ReportAllocs()
	for b.Loop() {
		if err := g.Allow(b.Context(), acme, a); err != nil {
			b.Fatal(err)
		}
	}
}
