package access

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/crypto/bcrypt"

	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// TestFirst: of many servers that start at once, one makes the first token, and it counts at all.
func TestFirst(t *testing.T) {
	l := newLab(t)
	guards := []*Guard{l.guard(), l.guard(), l.guard(), l.guard(), l.guard()}
	texts := make(chan string, len(guards))
	var wg sync.WaitGroup
	for _, g := range guards {
		wg.Go(func() {
			text, err := g.First(t.Context())
			if err != nil {
				t.Error(err)
			}
			texts <- text
		})
	}
	wg.Wait()
	close(texts)
	var first []string
	for text := range texts {
		if text != "" {
			first = append(first, text)
		}
	}
	if len(first) != 1 {
		t.Fatalf("%d servers made the first token", len(first))
	}
	for _, g := range guards {
		l.is(g, first[0], "token:first provider-admin")
	}
	if text, err := l.guard().First(t.Context()); text != "" || err != nil {
		t.Errorf("another first token, %v", err)
	}
	who := l.who(guards[0], first[0])
	if err := guards[0].RevokeToken(t.Context(), who, who.Token); err != nil {
		t.Fatal(err)
	}
	l.is(guards[0], first[0], "")
	if text, err := guards[1].First(t.Context()); text != "" || err != nil {
		t.Errorf("another first token once it is revoked, %v", err)
	}
}

// TestSessions: who knows the password gets in, at all servers, until he logs out, it expires, the password is another, or he is disabled or gone; whoever has the name after him has nothing of him.
func TestSessions(t *testing.T) {
	l := newLab(t)
	g, other := l.guard(), l.guard()
	ann := l.user(g, "acme/ann", TenantAdmin, "correct horse")
	if _, err := g.CreateUser(t.Context(), root, User{Name: "ann", Tenant: "acme", Role: TenantViewer}, "battery staple"); !errors.Is(err, ErrExists) {
		t.Errorf("twice: %v", err)
	}
	for _, password := range []string{"correct horsf", "", "correct horse ", strings.Repeat("x", 100)} {
		if _, text, err := g.Login(t.Context(), here, "acme/ann", password); !errors.Is(err, ErrUnauthenticated) || text != "" {
			t.Errorf("%q: %v", password, err)
		}
	}
	for _, name := range []string{"ann", "globex/ann", "acme/bob", "", "/ann", "acme/", "acme/ann/x", "ACME/ann"} {
		if _, _, err := g.Login(t.Context(), here, name, "correct horse"); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%q: %v", name, err)
		}
	}
	first, second := l.login(g, "acme/ann", "correct horse"), l.login(other, "acme/ann", "correct horse")
	for _, at := range []*Guard{g, other} {
		l.is(at, first, "user:acme/ann tenant-admin acme")
		l.is(at, second, "user:acme/ann tenant-admin acme")
	}
	if err := g.Logout(t.Context(), l.who(g, first)); err != nil {
		t.Fatal(err)
	}
	l.is(g, first, "")
	l.is(g, second, "user:acme/ann tenant-admin acme")

	self, new := l.who(g, second), "correct horses"
	if _, err := g.ChangeUser(t.Context(), self, ann, UserChange{Password: &new, Old: "wrong"}); !errors.Is(err, ErrForbidden) {
		t.Errorf("the old password was wrong: %v", err)
	}
	if _, err := g.ChangeUser(t.Context(), self, ann, UserChange{Password: &new, Old: "correct horse"}); err != nil {
		t.Fatal(err)
	}
	l.is(g, second, "")
	third := l.login(g, "acme/ann", new)
	l.is(g, third, "user:acme/ann tenant-admin acme")
	l.clock.move(13 * time.Hour)
	l.is(g, third, "")

	session := l.login(g, "acme/ann", new)
	_, token, err := g.CreateToken(t.Context(), l.who(g, session), NewToken{Name: "ci"})
	if err != nil {
		t.Fatal(err)
	}
	viewer, yes, no := TenantViewer, true, false
	if _, err := g.ChangeUser(t.Context(), root, ann, UserChange{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	l.is(g, session, "")
	l.is(g, token, "")
	if _, _, err := g.Login(t.Context(), here, "acme/ann", new); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("disabled: %v", err)
	}
	if _, err := g.ChangeUser(t.Context(), root, ann, UserChange{Disabled: &no}); err != nil {
		t.Fatal(err)
	}
	l.is(g, token, "user:acme/ann tenant-admin acme")
	if _, err := g.ChangeUser(t.Context(), root, ann, UserChange{Role: &viewer}); err != nil {
		t.Fatal(err)
	}
	l.is(g, token, "") // it would do more than he may
	if err := g.DeleteUser(t.Context(), root, ann); err != nil {
		t.Fatal(err)
	}
	l.user(g, "acme/ann", TenantAdmin, new)
	l.is(g, token, "")
	l.is(g, session, "")
	l.until("the other server knows", func() bool { _, err := other.Authenticate(shown(token)); return errors.Is(err, ErrUnauthenticated) })
}

// TestRoleAtOnce: another role counts at once, in the sessions that there are, too: a lower one and a higher one. Tokens are for what they were made for, and count while that is no more than the owner may.
func TestRoleAtOnce(t *testing.T) {
	l := newLab(t)
	g := l.guard()
	ann := l.user(g, "acme/ann", TenantEditor, "correct horse")
	session := l.login(g, "acme/ann", "correct horse")
	_, token, err := g.CreateToken(t.Context(), l.who(g, session), NewToken{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		role           Role
		session, token string
	}{
		{TenantViewer, "user:acme/ann tenant-viewer acme", ""},
		{TenantAdmin, "user:acme/ann tenant-admin acme", "user:acme/ann tenant-editor acme"},
	} {
		if _, err := g.ChangeUser(t.Context(), root, ann, UserChange{Role: &tc.role}); err != nil {
			t.Fatal(err)
		}
		l.is(g, session, tc.session)
		l.is(g, token, tc.token)
		list, err := g.Tokens(t.Context(), l.who(g, session))
		if err != nil || len(list) == 0 {
			t.Fatal(list, err)
		}
		for _, x := range list {
			if x.Session && x.Role != tc.role {
				t.Errorf("the session is listed as of %s", x.Role)
			}
		}
	}
}

// TestOtherServer: what one server made another one finds, though it has not heard of it yet.
func TestOtherServer(t *testing.T) {
	l := newLab(t)
	g := l.guard()
	role := TenantAdmin
	for what, use := range map[string]func(late *Guard, name UserName, token string) error{
		"get": func(late *Guard, name UserName, _ string) error {
			_, err := late.User(t.Context(), root, name)
			return err
		},
		"change": func(late *Guard, name UserName, _ string) error {
			_, err := late.ChangeUser(t.Context(), root, name, UserChange{Role: &role})
			return err
		},
		"delete": func(late *Guard, name UserName, _ string) error { return late.DeleteUser(t.Context(), root, name) },
		"login": func(late *Guard, name UserName, _ string) error {
			_, _, err := late.Login(t.Context(), here, name.String(), "correct horse")
			return err
		},
		"authenticate": func(late *Guard, _ UserName, token string) error {
			_, err := late.Authenticate(shown(token))
			return err
		},
		"revoke": func(late *Guard, _ UserName, token string) error {
			id, _, _ := parseToken(token)
			return late.RevokeToken(t.Context(), root, id)
		},
	} {
		late, err := New(Config{Store: l.store, PasswordCost: bcrypt.MinCost, Now: l.clock.now})
		if err != nil {
			t.Fatal(err)
		}
		if err := late.known.deliver(state.Batch{Listed: []string{userPrefix, tokenPrefix}}); err != nil { // before there was anything
			t.Fatal(err)
		}
		name := l.user(g, "acme/"+what, TenantEditor, "correct horse")
		token := l.login(g, name.String(), "correct horse")
		done := make(chan error, 1)
		go func() { done <- use(late, name, token) }()
		running(t, late.Run) // it hears now
		if err := <-done; err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, err := range map[string]error{
		"change": func() error {
			_, err := g.ChangeUser(t.Context(), root, UserName{"acme", "nobody"}, UserChange{Role: &role})
			return err
		}(),
		"delete": g.DeleteUser(t.Context(), root, UserName{"acme", "nobody"}),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s of nobody: %v", what, err)
		}
	}
}

// TestGuesses: guessing is bounded by address and by user, for a while; who knows the password is let in once the while is over.
func TestGuesses(t *testing.T) {
	l := newLab(t)
	g := l.guard()
	l.user(g, "ann", ProviderViewer, "correct horse")
	guess := func(from string, n int) (let int) {
		for range n {
			if _, _, err := g.Login(t.Context(), netip.MustParseAddr(from), "ann", "wrong password"); errors.Is(err, ErrUnauthenticated) {
				let++
			} else if !errors.Is(err, ErrTooMany) {
				t.Fatal(err)
			}
		}
		return let
	}
	if n := guess("192.0.2.7", 2*burstPerAddress); n != burstPerAddress {
		t.Errorf("%d guesses from one address", n)
	}
	if _, _, err := g.Login(t.Context(), netip.MustParseAddr("192.0.2.7"), "ann", "correct horse"); !errors.Is(err, ErrTooMany) {
		t.Errorf("from an address that guesses: %v", err)
	}
	if _, _, err := g.Login(t.Context(), here, "ann", "correct horse"); err != nil {
		t.Errorf("from another address: %v", err)
	}
	n := 0
	for i := range 20 {
		n += guess(fmt.Sprintf("2001:db8:0:%d::%d", i, i), 5)
	}
	if n != burstPerUser {
		t.Errorf("%d guesses of one user", n)
	}
	if n := guess("2001:db8:0:77::1", 1) + guess("2001:db8:0:77::2", 1); n != 0 {
		t.Errorf("%d more", n)
	}
	l.clock.move(pausePerUser)
	if _, _, err := g.Login(t.Context(), here, "ann", "correct horse"); err != nil {
		t.Errorf("a while later: %v", err)
	}
}

// TestGuessesOfMembers: who has an account of his own guesses others' passwords no faster for logging in between, and does not lose his own for logging in often.
func TestGuessesOfMembers(t *testing.T) {
	l := newLab(t)
	g := l.guard()
	l.user(g, "mallory", ProviderViewer, "correct horse")
	from := netip.MustParseAddr("192.0.2.7")
	for range burstPerAddress + 2 {
		if _, _, err := g.Login(t.Context(), from, "mallory", "correct horse"); err != nil {
			t.Fatal(err)
		}
	}
	guesses := 0
	for i := range burstPerAddress + 2 {
		if _, _, err := g.Login(t.Context(), from, fmt.Sprint("user", i), "wrong password"); errors.Is(err, ErrUnauthenticated) {
			guesses++
		}
		if _, _, err := g.Login(t.Context(), from, "mallory", "correct horse"); err != nil && !errors.Is(err, ErrTooMany) {
			t.Fatal(err)
		}
	}
	if guesses != burstPerAddress {
		t.Errorf("%d guesses from one address, want %d", guesses, burstPerAddress)
	}
	l.clock.move(burstPerAddress * pausePerAddress)
	if _, _, err := g.Login(t.Context(), from, "mallory", "correct horse"); err != nil {
		t.Errorf("a while later: %v", err)
	}
}

// TestSecrets: what was shown or set is in no error, log, record or value of the database.
func TestSecrets(t *testing.T) {
	l := newLab(t)
	g := l.guard()
	secrets := []string{"correct horse", "battery staple", "wrong password"}
	var told []string
	tell := func(err error) {
		if err == nil {
			t.Error("no error where one was expected")
			return
		}
		told = append(told, err.Error(), fmt.Sprintf("%#v", err), fmt.Sprintf("%+v", err))
	}
	ann := l.user(g, "ann", ProviderAdmin, secrets[0])
	text := l.login(g, "ann", secrets[0])
	_, s, _ := parseToken(text)
	secrets = append(secrets, s.text)
	told = append(told, fmt.Sprintf("%v %#v %s", s, s, s))
	_, _, err := g.Login(t.Context(), here, "ann", secrets[2])
	tell(err)
	secrets = append(secrets, "mypassword1234")
	_, _, err = g.Login(t.Context(), here, secrets[len(secrets)-1], secrets[0]) // in the wrong place
	tell(err)
	who := l.who(g, text)
	who.Method = BySession
	_, err = g.ChangeUser(t.Context(), who, ann, UserChange{Password: &secrets[1], Old: secrets[2]})
	tell(err)
	if _, err = g.ChangeUser(t.Context(), who, ann, UserChange{Password: &secrets[1], Old: secrets[0]}); err != nil {
		t.Fatal(err)
	}
	_, err = g.CreateUser(t.Context(), root, User{Name: "ann", Role: ProviderAdmin}, secrets[1])
	tell(err)
	for _, header := range []string{"Bearer " + text, "Bearer " + text + "x", "Basic " + s.text, "Bearer " + s.text + " x", s.text, "Bearer a." + s.text + ".c"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", header)
		_, err = g.Authenticate(r)
		tell(err)
	}
	resp, err := l.store.Client().Get(t.Context(), "/weft/", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	users := 0
	for _, kv := range resp.Kvs {
		told = append(told, string(kv.Key)+" "+string(kv.Value))
		if strings.HasPrefix(string(kv.Key), userPrefix) {
			users++
		}
	}
	if users != 1 {
		t.Errorf("%d users are stored", users)
	}
	told = append(told, l.log.String())
	for _, x := range told {
		for _, secret := range secrets {
			if strings.Contains(x, secret) {
				t.Errorf("a secret is in %s", strings.ReplaceAll(x, secret, "***"))
			}
		}
	}
}

// TestRecords: each change of users and tokens is in the audit log, with who made it, and what was before and after, but hashes.
func TestRecords(t *testing.T) {
	l := newLab(t)
	g := l.guard()
	ctx := WithRequest(t.Context(), "req-1")
	if _, err := g.CreateUser(ctx, root, User{Name: "ann", Tenant: "acme", Role: TenantAdmin}, "correct horse"); err != nil {
		t.Fatal(err)
	}
	l.clock.move(time.Second)
	viewer := TenantViewer
	if _, err := g.ChangeUser(ctx, root, UserName{"acme", "ann"}, UserChange{Role: &viewer}); err != nil {
		t.Fatal(err)
	}
	l.clock.move(time.Second)
	l.login(g, "acme/ann", "correct horse")
	l.clock.move(time.Second)
	if err := g.DeleteUser(ctx, root, UserName{"acme", "ann"}); err != nil {
		t.Fatal(err)
	}
	records, more, err := l.store.ListAudit(t.Context(), "", 10)
	if err != nil || more || len(records) != 4 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	var lines []string
	for _, r := range records {
		c := r.Changes[0]
		lines = append(lines, fmt.Sprintf("%s %s %s %s %s %v %v", r.Subject, r.Verb, c.Kind, c.Tenant, r.Request, c.Before != nil, c.After != nil))
		if text := string(c.Before) + string(c.After); strings.Contains(text, "$2a$") || strings.Contains(text, "hash") {
			t.Errorf("a record has a hash: %s", text)
		}
	}
	want := []string{
		"user:root delete User acme req-1 true false",
		"user:acme/ann create Token acme  false true",
		"user:root update User acme req-1 true true",
		"user:root create User acme req-1 false true",
	}
	if got := strings.Join(lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("\n got %s\nwant %s", got, strings.Join(want, "\n"))
	}
	if c := records[2].Changes[0]; !strings.Contains(string(c.Before), `"tenant-admin"`) || !strings.Contains(string(c.After), `"tenant-viewer"`) {
		t.Errorf("before %s after %s", c.Before, c.After)
	}
}

// TestOthersUsers: of users of other tenants nobody learns anything.
func TestOthersUsers(t *testing.T) {
	l := newLab(t)
	g := l.guard()
	l.user(g, "acme/ann", TenantAdmin, "correct horse")
	l.user(g, "acme/vic", TenantViewer, "correct horse")
	l.user(g, "globex/bob", TenantAdmin, "correct horse")
	l.user(g, "root", ProviderAdmin, "correct horse")
	ann, vic := l.who(g, l.login(g, "acme/ann", "correct horse")), l.who(g, l.login(g, "acme/vic", "correct horse"))
	if list, err := g.Users(t.Context(), ann); err != nil || len(list) != 2 {
		t.Errorf("%v %v", list, err)
	}
	if _, err := g.Users(t.Context(), vic); !errors.Is(err, ErrForbidden) {
		t.Errorf("a viewer lists users: %v", err)
	}
	viewer := TenantViewer
	for _, name := range []UserName{{"globex", "bob"}, {"globex", "nobody"}, {"", "root"}, {"", "nobody"}} {
		want := ErrNotVisible
		if name.Tenant == "" {
			want = ErrForbidden // whoever it is
		}
		if _, err := g.User(t.Context(), ann, name); !errors.Is(err, want) {
			t.Errorf("get %v: %v", name, err)
		}
		if _, err := g.ChangeUser(t.Context(), ann, name, UserChange{Role: &viewer}); !errors.Is(err, want) {
			t.Errorf("change %v: %v", name, err)
		}
		if err := g.DeleteUser(t.Context(), ann, name); !errors.Is(err, want) {
			t.Errorf("delete %v: %v", name, err)
		}
		if _, err := g.CreateUser(t.Context(), ann, User{Name: name.Name, Tenant: name.Tenant, Role: TenantViewer}, "correct horse"); !errors.Is(err, want) {
			t.Errorf("create %v: %v", name, err)
		}
	}
	admin := ProviderAdmin
	if _, err := g.ChangeUser(t.Context(), ann, UserName{"acme", "ann"}, UserChange{Role: &admin}); !errors.Is(err, ErrInvalid) {
		t.Errorf("raised himself: %v", err)
	}
	if _, err := g.CreateUser(t.Context(), ann, User{Name: "x", Tenant: "acme", Role: ProviderAdmin}, "correct horse"); !errors.Is(err, ErrInvalid) {
		t.Errorf("made a provider: %v", err)
	}
	boss := TenantAdmin
	if _, err := g.ChangeUser(t.Context(), vic, UserName{"acme", "vic"}, UserChange{Role: &boss}); !errors.Is(err, ErrForbidden) {
		t.Errorf("a viewer raised himself: %v", err)
	}
	another := "another password"
	if _, err := g.ChangeUser(t.Context(), vic, UserName{"acme", "ann"}, UserChange{Password: &another, Old: "correct horse"}); !errors.Is(err, ErrForbidden) {
		t.Errorf("a viewer changed another's password: %v", err)
	}
}

// TestNoWayUp: who has a session or token of a user that is less than the user does not come to what the user may for good.
func TestNoWayUp(t *testing.T) {
	l := newLab(t)
	g := l.guard()
	boss := l.user(g, "acme/boss", TenantAdmin, "correct horse")
	session := l.who(g, l.login(g, "acme/boss", "correct horse"))
	made := func(n NewToken) Identity {
		_, text, err := g.CreateToken(t.Context(), session, n)
		if err != nil {
			t.Fatal(err)
		}
		return l.who(g, text)
	}
	another, admin := "another horse", TenantAdmin
	users := made(NewToken{Scope: Scope{Kinds: []topology.Kind{KindUser}}})
	if _, err := g.CreateUser(t.Context(), users, User{Name: "eve", Tenant: "acme", Role: TenantAdmin}, another); !errors.Is(err, ErrForbidden) {
		t.Errorf("a token for users alone makes one who may all: %v", err)
	}
	l.user(g, "acme/ann", TenantViewer, "correct horse")
	for _, c := range []UserChange{{Role: &admin}, {Password: &another}} {
		if _, err := g.ChangeUser(t.Context(), users, UserName{"acme", "ann"}, c); !errors.Is(err, ErrForbidden) {
			t.Errorf("a token for users alone: %+v: %v", c, err)
		}
	}
	for name, who := range map[string]Identity{"session": session, "token": made(NewToken{})} {
		for _, c := range []UserChange{{Password: &another}, {Password: &another, Role: &admin}, {Password: &another, Old: "wrong horse"}} {
			if _, err := g.ChangeUser(t.Context(), who, boss, c); !errors.Is(err, ErrForbidden) {
				t.Errorf("%s: the password of who shows it, without knowing it: %v", name, err)
			}
		}
	}
	var err error
	for range burstPerUser {
		_, err = g.ChangeUser(t.Context(), session, boss, UserChange{Password: &another, Old: "wrong horse"})
	}
	if !errors.Is(err, ErrTooMany) {
		t.Errorf("guessing the present password: %v", err)
	}
}
