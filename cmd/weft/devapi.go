package main

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"golang.org/x/sync/errgroup"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/api"
	"github.com/weft-sdn/weft/state"
)

// listenAPI is where commands look for the API by themselves, or a free port if that is taken.
func listenAPI() (net.Listener, error) {
	if l, err := net.Listen("tcp", api.DefaultListen); err == nil {
		return l, nil
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

// withAPI serves the API of a database, to this machine alone and to everybody on it, while fn does.
func withAPI(ctx context.Context, endpoints []string, fn func(ctx context.Context, url string) error) error {
	l, err := listenAPI()
	if err != nil {
		return err
	}
	defer l.Close()
	store, err := state.Open(ctx, state.Config{Client: state.ClientConfig{Endpoints: endpoints}})
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	server, err := api.New(api.Options{Store: store, Guard: api.Open{}, Version: agent.Version(), Log: log})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	served, stop := context.WithCancel(context.WithoutCancel(ctx))
	g, served := errgroup.WithContext(served)
	g.Go(func() error { return store.Run(served) })
	g.Go(func() error { return server.Run(served) })
	g.Go(func() error { return api.Serve(served, l, server.Handler(), nil, log) })
	err = fn(ctx, "http://"+l.Addr().String())
	stop()
	return errors.Join(err, g.Wait(), store.Close())
}
