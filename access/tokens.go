package access

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Login gives a user a session for his password; the text is shown once. Attempts that fail are bounded, by the address that they come from and by user.
func (g *Guard) Login(ctx context.Context, from netip.Addr, user, password string) (Token, string, error) {
	bad := fmt.Errorf("%w: there is no such user, or the password is another", ErrUnauthenticated)
	name, err := ParseUserName(user)
	if err != nil || len(password) > maxPassword {
		return Token{}, "", bad
	}
	if !g.tries.take(from, name) {
		return Token{}, "", ErrTooMany
	}
	if !g.known.isReady() {
		return Token{}, "", ErrUnavailable
	}
	if err := g.hear(ctx); err != nil { // another server may have made him a moment ago. For all alike: the time that it takes would tell who is there
		return Token{}, "", err
	}
	u, _ := g.known.user(name)
	right, err := g.passwords.check(ctx, u.Password, password)
	switch {
	case err != nil:
		return Token{}, "", err
	case !right || u.Disabled:
		if u.Name == "" {
			name = UserName{} // it may be a password, in the wrong place
		}
		g.cfg.Log.Info("login refused", "user", name.String(), "from", from.String(), "known", u.Name != "", "disabled", u.Disabled)
		return Token{}, "", bad
	}
	g.tries.succeeded(from, name)
	now := g.cfg.Now().UTC()
	if err := g.makeRoom(ctx, name.Subject()); err != nil {
		return Token{}, "", err
	}
	t, text := newToken(Token{Owner: name.Subject(), Role: u.Role, Tenant: u.Tenant, Session: true, Created: now, Expires: now.Add(g.cfg.Session)})
	t.Tie = u.Key
	return t.Token, text, g.storeToken(ctx, t.identity(), t)
}

// Tokens and sessions that one owner has at most.
const (
	maxTokens   = 100
	maxSessions = 50
)

// tokensOf are the tokens, or sessions, of an owner, the oldest first.
func (g *Guard) tokensOf(owner string, sessions bool) []storedToken {
	list := slices.DeleteFunc(g.known.allTokens(), func(t storedToken) bool { return t.Owner != owner || t.Session != sessions || t.expired(g.cfg.Now()) })
	slices.SortFunc(list, func(a, b storedToken) int { return a.Created.Compare(b.Created) })
	return list
}

// makeRoom ends the oldest session of an owner who has as many as he may.
func (g *Guard) makeRoom(ctx context.Context, owner string) error {
	list := g.tokensOf(owner, true)
	if len(list) < maxSessions {
		return nil
	}
	if err := g.removeToken(ctx, list[0].identity(), list[0]); err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return nil
}

// Logout ends the session that was shown.
func (g *Guard) Logout(ctx context.Context, who Identity) error {
	t, ok := g.known.token(who.Token)
	if who.Method != BySession || !ok {
		return fmt.Errorf("%w: there is no session to end", ErrInvalid)
	}
	return g.removeToken(ctx, who, t)
}

// CreateToken makes a token for who asks; the text is shown once.
func (g *Guard) CreateToken(ctx context.Context, who Identity, n NewToken) (Token, string, error) {
	if err := g.Allow(ctx, who, Action{Verb: Create, Kind: KindToken, Tenant: who.Tenant, Owner: who.Subject}); err != nil {
		return Token{}, "", err
	}
	t, err := n.within(who, g.cfg.Now().UTC())
	if err != nil {
		return Token{}, "", err
	}
	if len(g.tokensOf(who.Subject, false)) >= maxTokens {
		return Token{}, "", fmt.Errorf("%w: there are %d tokens of %s already, as many as may be; revoke some", ErrInvalid, maxTokens, who.Subject)
	}
	s, text := newToken(t)
	if who.Method == ByToken {
		s.Parent = who.Token
	}
	if name, is := strings.CutPrefix(who.Subject, userSubject); is {
		u, err := ParseUserName(name)
		if err != nil {
			return Token{}, "", err
		}
		owner, _ := g.known.user(u)
		s.Tie = owner.Born
	}
	return s.Token, text, g.storeToken(ctx, who, s)
}

// storeToken writes a token, under a lease that ends with it.
func (g *Guard) storeToken(ctx context.Context, who Identity, t storedToken) error {
	if g.client == nil {
		return fmt.Errorf("%w: there is no database of users and tokens", ErrUnavailable)
	}
	var opts []clientv3.OpOption
	if !t.Expires.IsZero() {
		lease, err := g.client.Grant(ctx, int64(t.Expires.Sub(t.Created)/time.Second)+1)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		t.Lease = int64(lease.ID)
		opts = append(opts, clientv3.WithLease(lease.ID))
	}
	write, err := put(tokenKey(t.ID), t, opts...)
	if err != nil {
		return err
	}
	c := change{who: who, verb: Create, kind: KindToken, tenant: t.Tenant, name: t.ID, after: &t.Token}
	return g.commit(ctx, c, []clientv3.Cmp{at(tokenKey(t.ID), 0)}, write)
}

// Tokens returns the tokens and sessions that somebody may see: his own, and of a tenant's admin those of the tenant.
func (g *Guard) Tokens(ctx context.Context, who Identity) ([]Token, error) {
	list := []Token{}
	for _, t := range g.known.allTokens() {
		role, ok := g.known.stands(&t, g.cfg.Now())
		if t.Role = role; ok && g.Allow(ctx, who, tokenAction(Get, who, &t)) == nil {
			list = append(list, t.Token)
		}
	}
	if g.client == nil || len(list) == 0 {
		return list, nil
	}
	resp, err := g.client.Get(ctx, usedPrefix, clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	used := map[string]time.Time{}
	for _, kv := range resp.Kvs {
		if at, err := strconv.ParseInt(string(kv.Value), 10, 64); err == nil {
			used[strings.TrimPrefix(string(kv.Key), usedPrefix)] = time.Unix(at, 0).UTC()
		}
	}
	for i := range list {
		list[i].LastUsed = used[list[i].ID]
	}
	return list, nil
}

// tokenAction is something to be done to a token. It is his own of who acts as its owner, unless what he shows may less than the token.
func tokenAction(v Verb, who Identity, t *storedToken) Action {
	a := Action{Verb: v, Kind: KindToken, Tenant: t.Tenant, Name: t.ID}
	if covers(who.Role, who.Tenant, t.Role, t.Tenant) {
		a.Owner = t.Owner
	}
	return a
}

// RevokeToken ends a token or session. One that he may not know of is not there.
func (g *Guard) RevokeToken(ctx context.Context, who Identity, id string) error {
	t, ok := g.known.token(id)
	if !ok {
		if err := g.catchUp(ctx); err != nil {
			return err
		}
		t, ok = g.known.token(id)
	}
	if !ok || g.Allow(ctx, who, tokenAction(Get, who, &t)) != nil {
		return ErrNotFound
	}
	if err := g.Allow(ctx, who, tokenAction(Delete, who, &t)); err != nil {
		return err
	}
	return g.removeToken(ctx, who, t)
}

func (g *Guard) removeToken(ctx context.Context, who Identity, t storedToken) error {
	c := change{who: who, verb: Delete, kind: KindToken, tenant: t.Tenant, name: t.ID, before: &t.Token}
	err := g.commit(ctx, c, []clientv3.Cmp{at(tokenKey(t.ID), t.rev)}, clientv3.OpDelete(tokenKey(t.ID)), clientv3.OpDelete(usedKey(t.ID)))
	if errors.Is(err, errConflict) {
		return ErrNotFound
	}
	return err
}

// First makes the token of the first run, of whichever server is first; the text is empty at all others, and ever after. It does not expire: whoever has it is to make users, and then to revoke it.
func (g *Guard) First(ctx context.Context) (text string, err error) {
	now := g.cfg.Now().UTC()
	t, text := newToken(Token{Name: "first run", Owner: "token:first", Role: ProviderAdmin, Created: now})
	first, err := put(firstKey, map[string]any{"token": t.ID, "created": now})
	if err != nil {
		return "", err
	}
	write, err := put(tokenKey(t.ID), t)
	if err != nil {
		return "", err
	}
	if resp, err := g.client.Get(ctx, firstKey, clientv3.WithCountOnly()); err != nil || resp.Count > 0 {
		return "", err
	}
	c := change{who: t.identity(), verb: Create, kind: KindToken, name: t.ID, after: &t.Token}
	if err := g.commit(ctx, c, []clientv3.Cmp{at(firstKey, 0)}, first, write); errors.Is(err, errConflict) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	return text, nil
}
