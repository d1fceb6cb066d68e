package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http/httptest"
	"os"
	"time"

	"github.com/weft-sdn/weft/api"
	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// serve serves the API of an empty database, open to all, so that the examples run; elsewhere there is a weft api.
func serve() (url string, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	dir, err := os.MkdirTemp("", "weft")
	if err != nil {
		log.Fatal(err)
	}
	store, err := state.Open(ctx, state.Config{Embedded: &state.EmbeddedConfig{Dir: dir, FastTimers: true, UnsafeNoFsync: true}})
	if err != nil {
		log.Fatal(err)
	}
	server, err := api.New(api.Options{Store: store, Guard: api.Open{}, Version: "example"})
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error, 2)
	go func() { ended <- store.Run(ctx) }()
	go func() { ended <- server.Run(ctx) }()
	if err := store.WaitCatalogue(ctx, 0); err != nil {
		log.Fatal(err)
	}
	listening := httptest.NewServer(server.Handler())
	return listening.URL, func() {
		cancel()
		listening.Close()
		if err := errors.Join(<-ended, <-ended, store.Close(), os.RemoveAll(dir)); err != nil {
			log.Fatal(err)
		}
	}
}

// Example puts a bridge and two ports in place, all at once, lists what there is, and changes one of them.
func Example() {
	url, stop := serve()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	// Token: client.Token(os.Getenv("WEFT_TOKEN")), where the server asks for one.
	c, err := client.New(client.Config{Server: url})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	objects, err := topology.Decode("net.yaml", []byte(`
{apiVersion: weft/v1, kind: Bridge, metadata: {name: lan, tenant: acme}, spec: {}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm1, tenant: acme, labels: {tier: front}}, spec: {device: bridge/lan, addresses: [10.0.0.1/24, "fd00::1/64"]}}
---
{apiVersion: weft/v1, kind: VPort, metadata: {name: vm2, tenant: acme}, spec: {device: bridge/lan}}
`))
	if err != nil {
		log.Fatal(err)
	}
	var change client.Change
	for _, o := range objects {
		change.Put = append(change.Put, *o)
	}
	did, err := c.Apply(ctx, change, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range did.Steps {
		fmt.Println(s.Kind, s.Name, s.Action)
	}

	for o, err := range c.All(ctx, client.ListOptions{Kinds: []topology.Kind{topology.KindVPort}, Tenant: "acme", Selector: "tier=front"}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(o.Metadata.Name, o.Spec.(*topology.VPortSpec).Addresses)
	}

	// What was read is changed only if nobody else did meanwhile.
	bridge, err := c.Get(ctx, topology.Ref{Kind: topology.KindBridge, Tenant: "acme", Name: "lan"})
	if err != nil {
		log.Fatal(err)
	}
	bridge.Spec.(*topology.BridgeSpec).UnknownUnicast = "drop"
	if _, err = c.Put(ctx, &bridge.Object, client.Options{Revision: bridge.Revision}); err != nil {
		log.Fatal(err)
	}
	_, err = c.Put(ctx, &bridge.Object, client.Options{Revision: bridge.Revision})
	fmt.Println("changed meanwhile:", client.IsConflict(err))

	// Output:
	// Bridge lan created
	// VPort vm1 created
	// VPort vm2 created
	// vm1 [10.0.0.1/24 fd00::1/64]
	// changed meanwhile: true
}

// ExampleClient_Watch follows a tenant's objects from a list on: nothing is missed between the two.
func ExampleClient_Watch() {
	url, stop := serve()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := client.New(client.Config{Server: url})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	create := func(name string) {
		o := &topology.Object{APIVersion: topology.APIVersion, Kind: topology.KindBridge, Metadata: topology.Metadata{Name: name, Tenant: "acme"}, Spec: &topology.BridgeSpec{}}
		if _, err := c.Create(ctx, o, client.Options{}); err != nil {
			log.Fatal(err)
		}
	}
	create("lan")
	list, err := c.List(ctx, client.ListOptions{Tenant: "acme"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("there:", list.Items[0].Ref())
	create("dmz")
	seen := errors.New("seen")
	err = c.Watch(ctx, client.WatchOptions{ListOptions: client.ListOptions{Tenant: "acme"}, Since: list.Revision}, func(e client.Event) error {
		if e.Type != client.EventPut {
			return nil
		}
		fmt.Println(e.Type, e.Object.Ref())
		return seen
	})
	fmt.Println(errors.Is(err, seen))

	// Output:
	// there: bridge acme/lan
	// put bridge acme/dmz
	// true
}

// ExampleProblem tells what is wrong with an object, field by field.
func ExampleProblem() {
	url, stop := serve()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := client.New(client.Config{Server: url})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	_, err = c.Create(ctx, &topology.Object{
		APIVersion: topology.APIVersion, Kind: topology.KindVPort, Metadata: topology.Metadata{Name: "vm1", Tenant: "acme"}, Spec: &topology.VPortSpec{Device: "bridge/lan"},
	}, client.Options{})
	var refused *client.Problem
	if errors.As(err, &refused) {
		for _, e := range refused.Errors {
			fmt.Println(e.Field, e.Problem)
		}
	}

	// Output:
	// spec.device is no device
}
