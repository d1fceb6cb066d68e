package cli

import (
	"fmt"
	"os"

	configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/weft-sdn/weft/softswitch/stf"
)

const (
	stfLong = `Run STF scripts, the tests of p4c, on a program: each packet runs through the program
before the next statement does, and what leaves is compared with what is expected.
The exit status tells whether all scripts passed; what differs is printed.

Statements: packet, expect (* is any digit, a final $ forbids more), no_packet, add,
setdefault, remove, wait, mc_mgrp_create, mc_node_create, mc_node_update,
mc_node_associate, mirroring_add, mirroring_add_mc, mirroring_delete, mirroring_get,
check_counter, counter_read, counter_write, register_read, register_write,
register_reset, meter_get_rates, meter_set_rates, meter_array_set_rates.`

	stfExample = `  # forward.stf:
  #   add ingress.forward hdr.ethernet.dst:0x020000000002 ingress.to_port(port:2)
  #   packet 1 020000000002 020000000001 0800 0102
  #   expect 2 020000000002 020000000001 0800 01** $
  p4c-bm2-ss --p4runtime-files forward.p4info.txtpb -o forward.json forward.p4
  weft softswitch stf forward.json forward.p4info.txtpb forward.stf`
)

// newSTF makes the command "softswitch stf".
func newSTF() *cobra.Command {
	var dropPort uint16
	var verbose bool
	cmd := &cobra.Command{
		Use:          "stf PROGRAM.json PROGRAM.p4info.txtpb TEST.stf...",
		Short:        "Run STF scripts on a program",
		Long:         stfLong,
		Example:      stfExample,
		Args:         cobra.MinimumNArgs(3),
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			program, err := os.ReadFile(args[0])
			if err != nil {
				return fmt.Errorf("program: %w", err)
			}
			text, err := os.ReadFile(args[1])
			if err != nil {
				return fmt.Errorf("p4info: %w", err)
			}
			o := stf.Options{P4Info: &configv1.P4Info{}, DropPort: dropPort}
			if err := prototext.Unmarshal(text, o.P4Info); err != nil {
				return fmt.Errorf("p4info %s: %w", args[1], err)
			}
			if verbose {
				o.Log = cmd.ErrOrStderr()
			}
			failed := 0
			for _, path := range args[2:] {
				if err := runSTF(program, path, o); err != nil {
					failed++
					fmt.Fprintf(cmd.ErrOrStderr(), "FAIL %s\n%v\n", path, err)
					continue
				}
				fmt.Fprintf(cmd.OutOrStdout(), "ok   %s\n", path)
			}
			if failed > 0 {
				return fmt.Errorf("%d of %d scripts failed", failed, len(args)-2)
			}
			return nil
		},
	}
	cmd.Flags().Uint16Var(&dropPort, "drop-port", 511, "egress `port` that means drop")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "print what leaves, what is read and what the program logs")
	return cmd
}

// runSTF runs one script on a fresh machine.
func runSTF(program []byte, path string, o stf.Options) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	script, err := stf.Parse(path, string(text))
	if err != nil {
		return err
	}
	r, err := stf.New(program, o)
	if err != nil {
		return err
	}
	return r.Run(script)
}
