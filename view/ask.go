package view

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/state"
)

// Asker says how agents are asked.
type Asker struct {
	TLS     agent.TLS
	Timeout time.Duration // of one answer
}

const askAtOnce = 16

// Agents are where the agents of live edges are: of those that are named, or of all.
func Agents(v *state.View, edges ...string) map[string]string {
	asks := map[string]string{}
	for _, e := range v.Edges.IDs() {
		if len(edges) == 0 || slices.Contains(edges, e) {
			asks[e] = v.Edges.Of(e).Status
		}
	}
	return asks
}

// Ask asks agents, which are at addresses by edge, and returns what they answer in order of edge.
func Ask[L any](ctx context.Context, a Asker, asks map[string]string, get func(context.Context, *agent.Client, string) (L, error)) ([]L, []agent.EdgeError) {
	edges := slices.Sorted(maps.Keys(asks))
	answers, errs := make([]L, len(edges)), make([]error, len(edges))
	var g errgroup.Group
	g.SetLimit(askAtOnce)
	for i, edge := range edges {
		g.Go(func() error {
			answers[i], errs[i] = AskOne(ctx, a, edge, asks[edge], get)
			return nil
		})
	}
	_ = g.Wait() // none fails
	var failed []agent.EdgeError
	for i, err := range errs {
		if err != nil {
			failed = append(failed, agent.EdgeError{Edge: cmp.Or(edges[i], "of agent "+asks[edges[i]]), Error: err.Error()})
		}
	}
	return answers, failed
}

// AskOne asks the agent at an address about an edge.
func AskOne[L any](ctx context.Context, a Asker, edge, at string, get func(context.Context, *agent.Client, string) (L, error)) (list L, err error) {
	if at == "" {
		return list, errors.New("its agent has no status server")
	}
	client, err := agent.NewClient(at, a.TLS)
	if err != nil {
		return list, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	if list, err = get(ctx, client, edge); err != nil {
		return list, fmt.Errorf("agent at %s: %w", at, err)
	}
	return list, nil
}
