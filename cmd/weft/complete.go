package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/topology"
)

// completeTime bounds what a shell waits for names.
const completeTime = 2 * time.Second

type completion = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// listFor lists objects for a shell; none, if that fails or takes long: whoever types needs no error.
func listFor(cmd *cobra.Command, at *reach, kinds []topology.Kind, tenant string) (all []*topology.Object) {
	parent := cmd.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, completeTime)
	defer cancel()
	_ = at.with(ctx, func(n network) (err error) {
		all, err = n.List(ctx, kinds, tenant)
		return err
	})
	return slices.DeleteFunc(all, func(o *topology.Object) bool { return o.Status.Of != "" })
}

// completeObjects completes KIND NAME… and KIND/NAME…: kinds, and then names of the tenant that is chosen, with their tenants where none is. kinds: all, and lists of kinds, are of use, too.
func completeObjects(at *reach, in *scope, kinds bool) completion {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if kind, rest, slash := strings.Cut(word, "/"); slash {
			k, err := parseKind(kind)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return prefixed(kind+"/", namesFor(cmd, at, in, k, rest)), cobra.ShellCompDirectiveNoFileComp
		}
		if len(args) > 0 {
			k, err := parseKind(args[0])
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return namesFor(cmd, at, in, k, word), cobra.ShellCompDirectiveNoFileComp
		}
		var words []string
		for _, k := range topology.Kinds() {
			words = append(words, strings.ToLower(string(k)))
		}
		directive := cobra.ShellCompDirectiveNoFileComp
		if kinds {
			words = append(words, "all")
		}
		return words, directive
	}
}

// namesFor are the names of a kind's objects: NAME of the chosen tenant, or TENANT/NAME of any.
func namesFor(cmd *cobra.Command, at *reach, in *scope, k topology.Kind, word string) (names []string) {
	tenant := in.name()
	whole := in.all || strings.Contains(word, "/")
	if whole {
		tenant = ""
	}
	for _, o := range listFor(cmd, at, []topology.Kind{k}, tenant) {
		if whole {
			names = append(names, o.Tenant()+"/"+o.Metadata.Name)
		} else {
			names = append(names, o.Metadata.Name)
		}
	}
	if len(names) == 0 && !whole { // the tenant has none: those of others, by their tenants
		for _, o := range listFor(cmd, at, []topology.Kind{k}, "") {
			names = append(names, o.Tenant()+"/"+o.Metadata.Name)
		}
	}
	return names
}

func prefixed(prefix string, words []string) []string {
	for i := range words {
		words[i] = prefix + words[i]
	}
	return words
}

// completeVPorts completes TENANT/NAME of a vport.
func completeVPorts(at *reach) completion {
	return func(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
		return namesFor(cmd, at, &scope{all: true}, topology.KindVPort, word), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeAbout completes KIND/TENANT/NAME of an object.
func completeAbout(at *reach) completion {
	return func(cmd *cobra.Command, _ []string, word string) (words []string, _ cobra.ShellCompDirective) {
		if kind, _, slash := strings.Cut(word, "/"); slash {
			if k, err := parseKind(kind); err == nil {
				words = prefixed(kind+"/", namesFor(cmd, at, &scope{all: true}, k, ""))
			}
			return words, cobra.ShellCompDirectiveNoFileComp
		}
		for _, k := range topology.Kinds() {
			words = append(words, strings.ToLower(string(k))+"/")
		}
		return words, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

// completeFrom completes what a server tells; nothing, if it does not, or not soon.
func completeFrom(s *server, list func(context.Context, *client.Client) ([]string, error)) completion {
	return func(cmd *cobra.Command, _ []string, _ string) (words []string, _ cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completeTime)
		defer cancel()
		_ = s.with(func(c *client.Client) (err error) {
			words, err = list(ctx, c)
			return err
		})
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeUsers completes the names of users.
func completeUsers(s *server) completion {
	return completeFrom(s, func(ctx context.Context, c *client.Client) (names []string, err error) {
		all, err := c.Users(ctx)
		for i := range all {
			names = append(names, userText(&all[i]))
		}
		return names, err
	})
}

// completeTokens completes the ids of tokens, with what they are for.
func completeTokens(s *server) completion {
	return completeFrom(s, func(ctx context.Context, c *client.Client) (ids []string, err error) {
		all, err := c.Tokens(ctx)
		for i := range all {
			what := all[i].Name
			if all[i].Session {
				what = "session"
			}
			ids = append(ids, cobra.CompletionWithDesc(all[i].ID, strings.TrimSpace(what+" of "+all[i].Owner)))
		}
		return ids, err
	})
}

// completeTenants completes the names of tenants that have objects.
func completeTenants(at *reach) completion {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		tenants := map[string]bool{}
		for _, o := range listFor(cmd, at, topology.Kinds(), "") {
			tenants[o.Tenant()] = true
		}
		return slices.Sorted(maps.Keys(tenants)), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeEdges completes the names of edges.
func completeEdges(at *reach) completion {
	return func(cmd *cobra.Command, _ []string, _ string) (names []string, _ cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completeTime)
		defer cancel()
		_ = at.with(ctx, func(n network) error {
			rows, err := n.Edges(ctx)
			for _, r := range rows {
				names = append(names, r.ID)
			}
			return err
		})
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
