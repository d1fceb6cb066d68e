package api

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/client"
)

// Accounts keeps users and tokens; access.Guard does. Each call asks what the caller may do.
type Accounts interface {
	Ways() (password bool, oidc *access.OIDC)
	Login(ctx context.Context, from netip.Addr, user, password string) (access.Token, string, error)
	Logout(ctx context.Context, who access.Identity) error

	Users(ctx context.Context, who access.Identity) ([]access.User, error)
	User(ctx context.Context, who access.Identity, name access.UserName) (access.User, error)
	CreateUser(ctx context.Context, who access.Identity, u access.User, password string) (access.User, error)
	ChangeUser(ctx context.Context, who access.Identity, name access.UserName, c access.UserChange) (access.User, error)
	DeleteUser(ctx context.Context, who access.Identity, name access.UserName) error

	Tokens(ctx context.Context, who access.Identity) ([]access.Token, error)
	CreateToken(ctx context.Context, who access.Identity, n access.NewToken) (access.Token, string, error)
	RevokeToken(ctx context.Context, who access.Identity, id string) error
}

// loginPath is where those ask who are nobody yet.
const loginPath = "/v1/login"

const (
	accountBody = 16 << 10 // bytes of a request
	tagAccess   = "Access"
)

type loginInput struct{ Body client.Login }

type waysOutput struct{ Body client.Ways }

type identityOutput struct{ Body client.Identity }

type madeOutput struct{ Body client.MadeToken }

type tokensOutput struct{ Body client.Tokens }

type tokenInput struct{ Body client.NewToken }

type tokenIDInput struct {
	ID string `path:"id" maxLength:"63" doc:"Id of the token"`
}

// accountRoutes registers logging in, and what becomes of tokens.
func (s *Server) accountRoutes() {
	op := func(id, method, path, summary string, status int) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{tagAccess}, DefaultStatus: status, MaxBodyBytes: accountBody, BodyReadTimeout: s.cfg.Timeout}
	}
	huma.Register(s.api, op("ways", http.MethodGet, loginPath, "How one can log in", http.StatusOK), func(context.Context, *struct{}) (*waysOutput, error) { return s.ways(), nil })
	huma.Register(s.api, op("login", http.MethodPost, loginPath, "Begin a session", http.StatusCreated), func(ctx context.Context, in *loginInput) (*madeOutput, error) {
		return accounted(ctx, s, func(ctx context.Context, a Accounts, _ access.Identity) (*madeOutput, error) {
			t, text, err := a.Login(ctx, addressOf(ctx), in.Body.User, in.Body.Password)
			return made(t, text), err
		})
	})
	huma.Register(s.api, op("logout", http.MethodPost, "/v1/logout", "End the session that is shown", http.StatusNoContent), func(ctx context.Context, _ *struct{}) (*struct{}, error) {
		return accounted(ctx, s, func(ctx context.Context, a Accounts, who access.Identity) (*struct{}, error) {
			return nil, a.Logout(ctx, who)
		})
	})
	huma.Register(s.api, op("whoami", http.MethodGet, "/v1/whoami", "Who the caller is", http.StatusOK), func(ctx context.Context, _ *struct{}) (*identityOutput, error) {
		return &identityOutput{identityForm(identityOf(ctx))}, nil
	})
	huma.Register(s.api, op("listTokens", http.MethodGet, "/v1/tokens", "List tokens and sessions", http.StatusOK), func(ctx context.Context, _ *struct{}) (*tokensOutput, error) {
		return accounted(ctx, s, func(ctx context.Context, a Accounts, who access.Identity) (*tokensOutput, error) {
			list, err := a.Tokens(ctx, who)
			out := &tokensOutput{client.Tokens{Items: make([]client.APIToken, len(list))}}
			for i := range list {
				out.Body.Items[i] = tokenForm(&list[i])
			}
			return out, err
		})
	})
	huma.Register(s.api, op("createToken", http.MethodPost, "/v1/tokens", "Make a token of the caller's", http.StatusCreated), func(ctx context.Context, in *tokenInput) (*madeOutput, error) {
		n := in.Body
		return accounted(ctx, s, func(ctx context.Context, a Accounts, who access.Identity) (*madeOutput, error) {
			t, text, err := a.CreateToken(ctx, who, access.NewToken{
				Name: n.Name, Role: access.Role(n.Role), Tenant: n.Tenant, Scope: access.Scope{ReadOnly: n.ReadOnly, Kinds: n.Kinds}, Life: time.Duration(n.Seconds) * time.Second,
			})
			return made(t, text), err
		})
	})
	huma.Register(s.api, op("revokeToken", http.MethodDelete, "/v1/tokens/{id}", "End a token or session", http.StatusNoContent), func(ctx context.Context, in *tokenIDInput) (*struct{}, error) {
		return accounted(ctx, s, func(ctx context.Context, a Accounts, who access.Identity) (*struct{}, error) {
			return nil, a.RevokeToken(ctx, who, in.ID)
		})
	})
	s.userRoutes(op)
}

// accounted has the accounts answer a request, if the server has any.
func accounted[T any](ctx context.Context, s *Server, do func(context.Context, Accounts, access.Identity) (*T, error)) (*T, error) {
	if s.cfg.Accounts == nil {
		return nil, refuse(http.StatusNotFound, "this server is open to all who reach it: there are no users and tokens")
	}
	out, err := do(access.WithRequest(ctx, requestOf(ctx)), s.cfg.Accounts, identityOf(ctx))
	if err != nil {
		return nil, s.problemOf(ctx, err)
	}
	return out, nil
}

func (s *Server) ways() *waysOutput {
	out := new(waysOutput)
	if s.cfg.Accounts == nil {
		return out
	}
	var o *access.OIDC
	if out.Body.Password, o = s.cfg.Accounts.Ways(); o != nil {
		out.Body.OIDC = &client.OIDCWays{Issuer: o.Issuer, ClientID: o.ClientID, Scopes: o.Scopes}
	}
	return out
}

func made(t access.Token, text string) *madeOutput {
	return &madeOutput{client.MadeToken{Secret: text, Token: tokenForm(&t)}}
}

func tokenForm(t *access.Token) client.APIToken {
	return client.APIToken{
		ID: t.ID, Name: t.Name, Owner: t.Owner, Role: string(t.Role), Tenant: t.Tenant, ReadOnly: t.Scope.ReadOnly, Kinds: t.Scope.Kinds,
		Session: t.Session, Created: t.Created, Expires: t.Expires, LastUsed: t.LastUsed,
	}
}

func identityForm(i access.Identity) client.Identity {
	return client.Identity{
		Subject: i.Subject, Name: i.Name, Role: string(i.Role), Tenant: i.Tenant, Method: string(i.Method), Token: i.Token, Expires: i.Expires, ReadOnly: i.Scope.ReadOnly, Kinds: i.Scope.Kinds,
	}
}
