package main

import (
	"context"
	"net/url"
	"slices"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
)

// viewed reads all of a view of the API, if that is where the network is: over says so.
func viewed[T any](ctx context.Context, at *reach, name string, q url.Values) (rows *client.Rows[T], over bool, err error) {
	c, err := at.remote()
	if err != nil || c == nil {
		return nil, err != nil, err
	}
	defer c.Close()
	rows, err = allOf[T](ctx, c, name, q)
	return rows, true, withAdvice(err)
}

// viewedOr reads all of a view: of the API, if that is where the network is, else as read makes it of the database.
func viewedOr[T any](ctx context.Context, at *reach, name string, q url.Values, read func(*state.Store) ([]T, error)) (rows []T, err error) {
	told, over, err := viewed[T](ctx, at, name, q)
	switch {
	case err != nil:
		return nil, err
	case over:
		return told.Items, nil
	}
	err = at.db.watching(ctx, func(store *state.Store) (err error) {
		rows, err = read(store)
		return err
	})
	return rows, err
}

// allOf reads all pages of a view.
func allOf[T any](ctx context.Context, c *client.Client, name string, q url.Values) (*client.Rows[T], error) {
	query := url.Values{}
	for k, v := range q {
		if len(v) > 0 && v[0] != "" {
			query[k] = v
		}
	}
	all := &client.Rows[T]{Items: []T{}}
	for {
		page, err := client.View[T](ctx, c, name, query)
		if err != nil {
			return nil, err
		}
		all.Items, all.Errors, all.Revision = append(all.Items, page.Items...), page.Errors, page.Revision
		if page.Continue == "" {
			return all, nil
		}
		query.Set("continue", page.Continue)
	}
}

// edgeErrors are the edges that did not answer to the API.
func edgeErrors(errs []client.EdgeError) []agent.EdgeError {
	out := make([]agent.EdgeError, len(errs))
	for i, e := range errs {
		out[i] = agent.EdgeError(e)
	}
	return out
}

// atEdges keeps rows of the edges that are named; all, if none is.
func atEdges[T any](rows []T, edges []string, edge func(*T) string) []T {
	if len(edges) == 0 {
		return rows
	}
	return slices.DeleteFunc(rows, func(r T) bool { return !slices.Contains(edges, edge(&r)) })
}
