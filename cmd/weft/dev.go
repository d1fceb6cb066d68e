package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/examples"
	"github.com/weft-sdn/weft/testbed/lab"
	legs "github.com/weft-sdn/weft/testbed/report"
	"github.com/weft-sdn/weft/testbed/scenario"
)

// devPorts is how many access ports each edge of weft dev has at least.
const devPorts = 8

func newDev() *cobra.Command {
	var o labOptions
	var files []string
	var listen string
	cmd := &cobra.Command{
		Use:   "dev [-f FILE]...",
		Short: "Keep a network up on this machine, to play with",
		Long: `Bring up a network on this machine and keep it up until ctrl-C: etcd, the API
(without tokens, to this machine alone), an agent and a target for each edge, an
underlay between them, and a host with a TCP/IP stack of its own at every bound
vport. All commands of weft work on it from
another terminal, and what weft apply changes takes effect; a host follows the
binding of its vport.

The network is that of the demo, or that of -f.

Lines of standard input are steps of the lab language (docs/scenarios.md), done
on the hosts: ping app1 app2, http web internet, bind web nic2:1 …
Each edge has interfaces 1 to 8 at least.`,
		Example: `  weft dev
  weft dev -f examples/reference.yaml --pcap /tmp/pcap`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &dev{in: cmd.InOrStdin(), out: cmd.OutOrStdout(), tail: hostsOf(string(examples.Demo())), name: "the demo's network"}
			if len(files) > 0 {
				set, err := loadNetwork(cmd.InOrStdin(), files)
				if err := report(cmd, err); err != nil {
					return err
				}
				text, notes, err := lab.ScenarioOf(set.All())
				if err != nil {
					return err
				}
				for _, note := range notes {
					fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", cmd.CommandPath(), note)
				}
				d.tail, d.name = string(text), strings.Join(files, ", ")
			}
			return d.run(cmd.Context(), cmd.ErrOrStderr(), &o, listen)
		},
	}
	networkFlags(cmd, &files)
	o.flags(cmd.Flags())
	cmd.Flags().StringVar(&listen, "listen", "", "serve etcd at `URL`; default: "+defaultEtcd+", or a free port if that is taken")
	return cmd
}

// devHelp is what the line help prints.
const devHelp = `hosts                      the hosts, their vports and addresses
ping FROM TO [count=N]     echo requests, over IPv4 and IPv6
http FROM TO [bytes=10MB]  a download
bind HOST EDGE:PORT        move a host's vport to another interface
trace HOST dst=HOST        what becomes of a packet
quit                       end it, as ctrl-C does
All steps are in docs/scenarios.md.
`

// hostsOf is a scenario without its steps.
func hostsOf(text string) string {
	if i := strings.Index(text, "\n-- "); i >= 0 {
		return text[i+1:]
	}
	return text
}

// dev is a lab that is kept up.
type dev struct {
	in   io.Reader
	out  io.Writer
	name string // of the network
	tail string // network, edges and hosts of its scenario
	lab  *lab.Lab
}

func (d *dev) run(ctx context.Context, stderr io.Writer, o *labOptions, listen string) error {
	s, err := scenario.Parse(d.name, []byte(d.tail))
	if err != nil {
		return err
	}
	cfg, err := o.config(s, stderr)
	if err != nil {
		return err
	}
	cfg.SparePorts, cfg.Reachable, cfg.Listen = devPorts, true, listen
	if listen == "" {
		cfg.Listen = freeEtcd()
	}
	if d.lab, err = lab.New(cfg); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "weft dev: bringing up %s …\n", d.name)
	return d.lab.While(ctx, func(ctx context.Context) error {
		return withAPI(ctx, d.lab.Endpoints(), func(ctx context.Context, url string) error {
			d.greet(s, o, url)
			return d.steps(ctx)
		})
	})
}

// freeEtcd is where commands look for etcd by themselves, if nobody listens there, or a free port.
func freeEtcd() string {
	l, err := net.Listen("tcp", strings.TrimPrefix(defaultEtcd, "http://"))
	if err != nil {
		return "http://127.0.0.1:0"
	}
	l.Close()
	return defaultEtcd
}

// greet tells what is there, and what to do with it.
func (d *dev) greet(s *scenario.Scenario, o *labOptions, url string) {
	endpoint := strings.Join(d.lab.Endpoints(), ",")
	fmt.Fprintf(d.out, "\n%d edges (%s) on a %s each, %d hosts\netcd at %s\nAPI at %s, described at %s/docs\n\n", len(d.lab.Edges()), strings.Join(d.lab.Edges(), ", "), o.target, len(s.Hosts)+len(s.Remotes), endpoint, url, url)
	fmt.Fprintf(d.out, "In another terminal:\n\n")
	if endpoint != defaultEtcd {
		fmt.Fprintf(d.out, "  export WEFT_ETCD=%s\n", endpoint)
	}
	for _, line := range []string{"weft edges", "weft get vports -A", "weft flows", "weft get all -A -o yaml > my.yaml   # change it, then:", "weft apply -f my.yaml --wait"} {
		fmt.Fprintf(d.out, "  %s\n", line)
	}
	if len(s.Hosts) < 2 {
		fmt.Fprintf(d.out, "\nctrl-C ends it.\n")
		return
	}
	from, to := s.Hosts[0], s.Hosts[1]
	if len(s.Hosts) > 2 {
		from, to = s.Hosts[1], s.Hosts[2]
	}
	if addr, err := d.lab.Address(to.Name, scenario.IPv4); err == nil {
		fmt.Fprintf(d.out, "  weft trace --etcd %s --vport %s --dst %s\n", endpoint, from.VPort, addr)
	}
	fmt.Fprintf(d.out, "\nHere, steps of the lab language (docs/scenarios.md):\n\n")
	for _, line := range []string{
		fmt.Sprintf("ping %s %s count=3", from.Name, to.Name), fmt.Sprintf("http %s %s bytes=10MB", from.Name, to.Name),
		fmt.Sprintf("bind %s %s:%d", to.Name, d.lab.Edges()[0], devPorts), "hosts", "help",
	} {
		fmt.Fprintf(d.out, "  %s\n", line)
	}
	fmt.Fprintf(d.out, "\nctrl-C ends it.\n")
}

// steps does the lines of standard input until ctx ends. The end of the input ends nothing.
func (d *dev) steps(ctx context.Context) error {
	lines := make(chan string)
	go func() { // a read can't be interrupted: this goroutine may outlive the command, as standard input does
		for in := bufio.NewScanner(d.in); in.Scan(); {
			select {
			case lines <- in.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil // ctrl-C, or the lab tells why it ended
		case line := <-lines:
			if line = strings.TrimSpace(line); line == "quit" || line == "exit" {
				return nil
			}
			d.step(ctx, line)
		}
	}
}

// step does one line and prints how it ended.
func (d *dev) step(ctx context.Context, line string) {
	if line == "" {
		return
	}
	s, err := scenario.Parse("", []byte(line+"\n"+d.tail))
	switch {
	case line == "help":
		err = nil
		fmt.Fprint(d.out, devHelp)
	case line == "hosts":
		s, err = scenario.Parse("", []byte(d.tail))
		for _, h := range s.Hosts {
			d.hanging(fmt.Sprintf("%-16s %-20s ", h.Name, h.VPort), d.where(h))
		}
	case err == nil:
		_, _ = scenario.Run(ctx, s, d.lab, legs.NewPrinter(d.out, s, styleOf(d.out))) // what it returns is printed
	}
	if err != nil {
		d.hanging("", err.Error())
	}
}

// hanging prints text behind what goes before it, in lines of 80 columns.
func (d *dev) hanging(before, text string) {
	for _, line := range wrapText(text, 80-len(before)) {
		fmt.Fprintf(d.out, "%s%s\n", before, line)
		before = strings.Repeat(" ", len(before))
	}
}

// where says which addresses a host has.
func (d *dev) where(h scenario.Host) string {
	var words []string
	for _, a := range d.lab.Host(h.Name).Addrs() {
		words = append(words, a.String())
	}
	return strings.Join(words, " ")
}
