package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/weft-sdn/weft/access"
	"github.com/weft-sdn/weft/client"
)

type userInput struct{ Body client.NewUser }

// UserNameInput names a user.
type UserNameInput struct {
	Tenant string `path:"tenant" maxLength:"63" doc:"Of whom the user is; - for the provider" example:"acme"`
	Name   string `path:"name" maxLength:"63" doc:"Name of the user" example:"ann"`
}

func (in *UserNameInput) userName() access.UserName {
	if in.Tenant == client.ProviderTenant {
		return access.UserName{Name: in.Name}
	}
	return access.UserName{Tenant: in.Tenant, Name: in.Name}
}

type userChangeInput struct {
	UserNameInput
	Body client.UserChange
}

type userOutput struct{ Body client.User }

type usersOutput struct{ Body client.Users }

// userRoutes registers what becomes of users.
func (s *Server) userRoutes(op func(id, method, path, summary string, status int) huma.Operation) {
	huma.Register(s.api, op("listUsers", http.MethodGet, "/v1/users", "List users", http.StatusOK), func(ctx context.Context, _ *struct{}) (*usersOutput, error) {
		return accounted(ctx, s, func(ctx context.Context, a Accounts, who access.Identity) (*usersOutput, error) {
			list, err := a.Users(ctx, who)
			out := &usersOutput{client.Users{Items: make([]client.User, len(list))}}
			for i, u := range list {
				out.Body.Items[i] = userForm(u)
			}
			return out, err
		})
	})
	huma.Register(s.api, op("createUser", http.MethodPost, "/v1/users", "Make a user", http.StatusCreated), func(ctx context.Context, in *userInput) (*userOutput, error) {
		n := in.Body
		return accounted(ctx, s, func(ctx context.Context, a Accounts, who access.Identity) (*userOutput, error) {
			u, err := a.CreateUser(ctx, who, access.User{Name: n.Name, Tenant: n.Tenant, Role: access.Role(n.Role), Disabled: n.Disabled}, n.Password)
			return &userOutput{userForm(u)}, err
		})
	})
	huma.Register(s.api, op("getUser", http.MethodGet, "/v1/users/{tenant}/{name}", "Get a user", http.StatusOK), func(ctx context.Context, in *UserNameInput) (*userOutput, error) {
		return accounted(ctx, s, func(ctx context.Context, a Accounts, who access.Identity) (*userOutput, error) {
			u, err := a.User(ctx, who, in.userName())
			return &userOutput{userForm(u)}, err
		})
	})
	huma.Register(s.api, op("changeUser", http.MethodPatch, "/v1/users/{tenant}/{name}", "Change a user", http.StatusOK), func(ctx context.Context, in *userChangeInput) (*userOutput, error) {
		c := access.UserChange{Role: (*access.Role)(in.Body.Role), Disabled: in.Body.Disabled, Password: in.Body.Password, Old: in.Body.OldPassword}
		return accounted(ctx, s, func(ctx context.Context, a Accounts, who access.Identity) (*userOutput, error) {
			u, err := a.ChangeUser(ctx, who, in.userName(), c)
			return &userOutput{userForm(u)}, err
		})
	})
	huma.Register(s.api, op("deleteUser", http.MethodDelete, "/v1/users/{tenant}/{name}", "Remove a user", http.StatusNoContent), func(ctx context.Context, in *UserNameInput) (*struct{}, error) {
		return accounted(ctx, s, func(ctx context.Context, a Accounts, who access.Identity) (*struct{}, error) {
			return nil, a.DeleteUser(ctx, who, in.userName())
		})
	})
}

func userForm(u access.User) client.User {
	return client.User{Name: u.Name, Tenant: u.Tenant, Role: string(u.Role), Disabled: u.Disabled, Created: u.Created}
}
