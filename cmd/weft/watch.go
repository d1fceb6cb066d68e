package main

import "github.com/spf13/cobra"

// newWatch is weft get -w by a name of its own.
func newWatch() *cobra.Command {
	cmd := newGet()
	cmd.Use = "watch {KIND[,KIND]... | all | KIND/NAME... | KIND NAME...}"
	cmd.Short = "Show the objects of networks, and then what changes"
	cmd.Long = `Show objects as weft get does, and go on until ctrl-C: of each change it tells
which objects were created, configured or deleted. It is weft get -w by another
name. When the server or etcd is lost it says so, and tells what it missed when
there is one again.

weft events -w tells what happens to the network, rather than what is changed.`
	cmd.Example = `  weft watch vports --tenant acme
  weft watch all -A
  weft watch vport/acme/web`
	f := cmd.Flags().Lookup("watch")
	f.Hidden = true
	if err := f.Value.Set("true"); err != nil {
		panic(err) // it is a bool
	}
	return cmd
}
