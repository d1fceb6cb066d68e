package access

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/topology"
)

// TestTokens: a token does no more than its owner may, nor than it is for, and ends.
func TestTokens(t *testing.T) {
	l := newLab(t)
	g, other := l.guard(), l.guard()
	l.user(g, "acme/ann", TenantEditor, "correct horse")
	ann := l.who(g, l.login(g, "acme/ann", "correct horse"))
	for _, n := range []NewToken{{Role: TenantAdmin}, {Role: ProviderAdmin}, {Role: TenantViewer, Tenant: "globex"}, {Role: ProviderViewer}} {
		if _, _, err := g.CreateToken(t.Context(), ann, n); !errors.Is(err, ErrForbidden) {
			t.Errorf("%+v: %v", n, err)
		}
	}
	for _, n := range []NewToken{{Role: "king"}, {Role: Agent}, {Life: time.Second}, {Life: 400 * 24 * time.Hour}, {Scope: Scope{Kinds: []topology.Kind{"Nothing"}}}, {Name: strings.Repeat("n", 101)}, {Role: ProviderViewer, Tenant: "acme"}} {
		if _, _, err := g.CreateToken(t.Context(), ann, n); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", n, err)
		}
	}
	_, text, err := g.CreateToken(t.Context(), ann, NewToken{Name: "ci", Life: time.Hour, Scope: Scope{Kinds: []topology.Kind{topology.KindVPort, KindToken}}})
	if err != nil {
		t.Fatal(err)
	}
	l.is(g, text, "user:acme/ann tenant-editor acme")
	l.is(other, text, "user:acme/ann tenant-editor acme") // before the other server has heard of it, too
	id := l.who(g, text)
	for kind, want := range map[topology.Kind]error{topology.KindVPort: nil, topology.KindBridge: ErrForbidden} {
		if err := g.Allow(t.Context(), id, Action{Verb: Update, Kind: kind, Tenant: "acme", Name: "x"}); !errors.Is(err, want) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	l.clock.move(2 * time.Hour)
	l.is(g, text, "")
}

// TestTokenOfToken: a token that is made with another does no more than that, lives no longer, and ends with it.
func TestTokenOfToken(t *testing.T) {
	l := newLab(t)
	g, other := l.guard(), l.guard()
	l.user(g, "acme/ann", TenantEditor, "correct horse")
	ann := l.who(g, l.login(g, "acme/ann", "correct horse"))
	parent, text, err := g.CreateToken(t.Context(), ann, NewToken{Life: time.Hour, Scope: Scope{Kinds: []topology.Kind{topology.KindVPort, KindToken}}})
	if err != nil {
		t.Fatal(err)
	}
	id := l.who(g, text)
	for _, n := range []NewToken{{}, {Scope: Scope{Kinds: []topology.Kind{topology.KindBridge}}}, {Life: 2 * time.Hour, Scope: id.Scope}} {
		if _, _, err := g.CreateToken(t.Context(), id, n); !errors.Is(err, ErrForbidden) {
			t.Errorf("%+v: %v", n, err)
		}
	}
	made := func(who Identity) string {
		t.Helper()
		_, text, err := g.CreateToken(t.Context(), who, NewToken{Scope: Scope{Kinds: []topology.Kind{topology.KindVPort, KindToken}}})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	child := made(id)
	grandchild := made(l.who(g, child))
	_, reader, err := g.CreateToken(t.Context(), id, NewToken{Scope: Scope{Kinds: []topology.Kind{topology.KindVPort}, ReadOnly: true}})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Allow(t.Context(), l.who(g, reader), Action{Verb: Update, Kind: topology.KindVPort, Tenant: "acme", Name: "x"}); !errors.Is(err, ErrForbidden) {
		t.Errorf("read only: %v", err)
	}
	l.is(other, grandchild, "user:acme/ann tenant-editor acme")
	if err := g.RevokeToken(t.Context(), ann, parent.ID); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{text, child, grandchild, reader} {
		l.is(g, text, "")
		l.until("the other server knows", func() bool { _, err := other.Authenticate(shown(text)); return errors.Is(err, ErrUnauthenticated) })
	}
	if list, err := g.Tokens(t.Context(), ann); err != nil || len(list) != 1 {
		t.Errorf("%v, %v: want the session alone", list, err)
	}
}

// TestTokenLists: tokens are seen and revoked by their owner, and the tenant's admin; not by others, nor with a token that may less. A list does not tell what shows one.
func TestTokenLists(t *testing.T) {
	l := newLab(t)
	g, other := l.guard(), l.guard()
	l.user(g, "acme/ann", TenantEditor, "correct horse")
	l.user(g, "acme/boss", TenantAdmin, "correct horse")
	l.user(g, "globex/eve", TenantAdmin, "correct horse")
	ann, boss, eve := l.who(g, l.login(g, "acme/ann", "correct horse")), l.who(g, l.login(g, "acme/boss", "correct horse")), l.who(g, l.login(g, "globex/eve", "correct horse"))
	tok, text, err := g.CreateToken(t.Context(), ann, NewToken{Name: "ci"})
	if err != nil {
		t.Fatal(err)
	}
	l.is(g, text, "user:acme/ann tenant-editor acme")
	_, less, err := g.CreateToken(t.Context(), ann, NewToken{Role: TenantViewer, Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	lesser := l.who(g, less)
	if list, err := g.Tokens(t.Context(), lesser); err != nil || len(list) != 1 || list[0].ID != lesser.Token {
		t.Errorf("with a token that may less, its owner's others are seen: %v, %v", list, err)
	}
	if err := g.RevokeToken(t.Context(), lesser, tok.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("with a token that may less, another of its owner's is revoked: %v", err)
	}
	if err := g.RevokeToken(t.Context(), lesser, lesser.Token); err != nil {
		t.Error(err)
	}

	g.used.write(t.Context(), g.client)
	list, err := g.Tokens(t.Context(), ann)
	if err != nil || len(list) != 2 {
		t.Fatalf("%d tokens, %v: want the session and one", len(list), err)
	}
	used := false
	for _, x := range list {
		used = used || x.ID == tok.ID && !x.LastUsed.IsZero()
	}
	if !used {
		t.Error("when it was used is not told")
	}
	b, _ := json.Marshal(list)
	if _, s, _ := parseToken(text); strings.Contains(string(b), s.text) || strings.Contains(string(b), "hash") {
		t.Errorf("a list tells what shows a token: %s", b)
	}
	if list, _ := g.Tokens(t.Context(), boss); len(list) != 3 {
		t.Errorf("the tenant's admin sees %d tokens, want 3", len(list))
	}
	if list, _ := g.Tokens(t.Context(), eve); len(list) != 1 {
		t.Errorf("another tenant's admin sees %d tokens, want 1", len(list))
	}
	if err := g.RevokeToken(t.Context(), eve, tok.ID); err == nil || err.Error() != g.RevokeToken(t.Context(), eve, "nothing").Error() {
		t.Errorf("revoked by another tenant's admin: %v", err)
	}
	if err := g.RevokeToken(t.Context(), boss, tok.ID); err != nil {
		t.Fatal(err)
	}
	l.is(g, text, "")
	l.until("the other server knows", func() bool { _, err := other.Authenticate(shown(text)); return errors.Is(err, ErrUnauthenticated) })
}

// TestManyTokens: one has as many tokens as may be, and of sessions the latest.
func TestManyTokens(t *testing.T) {
	l := newLab(t)
	g := l.guard()
	l.user(g, "ann", ProviderViewer, "correct horse")
	first := l.login(g, "ann", "correct horse")
	for range maxSessions - 1 {
		l.clock.move(time.Second)
		l.login(g, "ann", "correct horse")
	}
	l.is(g, first, "user:ann provider-viewer")
	l.clock.move(time.Second)
	last := l.login(g, "ann", "correct horse")
	l.is(g, first, "")
	who := l.who(g, last)
	for range maxTokens {
		if _, _, err := g.CreateToken(t.Context(), who, NewToken{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := g.CreateToken(t.Context(), who, NewToken{}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "revoke some") {
		t.Error(err)
	}
}
