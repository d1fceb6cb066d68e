// Package cli is the command line of the softswitch, shaped after simple_switch_grpc's
// so that scripts written for one run the other.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/softswitch"
	"github.com/weft-sdn/weft/softswitch/port"
)

// Config is what the command line says.
type Config struct {
	Interfaces []string // PORT@SPEC
	DeviceID   uint64
	CPUPort    uint16
	DropPort   uint16
	Address    string // of the gRPC server: HOST:PORT or unix:PATH
	NoP4       bool
	Program    string // bmv2 JSON file
	P4Info     string // P4Info file in text format
	PcapDir    string
	Files      bool // ports are pcap files
	FilesWait  int  // seconds before they are read
	LogFile    string
	LogConsole bool
	LogLevel   string
	Verbose    bool
	Profile    string   // whose deviations from the specification to imitate
	Impair     []string // PORT:NAME=VALUE,…
	ignored    []string // flags of bmv2 that mean nothing here
	TLS        TLS
}

const (
	long = `Run a P4 switch in software: packets go through the compiled program,
controllers program it through P4Runtime 1.5.

PROGRAM.json is the output of p4c-bm2-ss. Without --p4info packets go through it
as it is until a controller pushes a pipeline; with --p4info it can be
programmed at once. With --no-p4 the switch starts empty and waits for a
controller.

Ports (-i, any number of times) are numbered by you:

  -i 1@eth1          the Linux interface eth1 (needs CAP_NET_RAW). At the far
                     end of a veth: ethtool -K DEV tx off tso off gso off
  -i 2@tap:weft0     a TAP device, made if it does not exist (CAP_NET_ADMIN)
  -i 3@unix:/run/l1  one end of a cable to another softswitch or process on
                     this host; both name the same path; needs no privileges
  -i 4@pcap:NAME     packets from NAME_in.pcap, once; packets to NAME_out.pcap

The options of simple_switch_grpc are accepted before the program, and those of
its target after "--"; those for parts that this switch does not have (Thrift,
nanomsg, the debugger) are accepted and said to be ignored.

To test a controller, --profile makes the switch deviate from the specification
as other targets do (docs/p4runtime.md lists how), and --impair makes lines
lose, delay, reorder and slow down frames; gNMI changes the latter later.`

	example = `  # Two switches and a cable between them, without privileges
  weft softswitch --no-p4 --device-id 1 --cpu-port 510 --grpc-server-addr 127.0.0.1:9559 -i 1@unix:/tmp/cable &
  weft softswitch --no-p4 --device-id 2 --cpu-port 510 --grpc-server-addr 127.0.0.1:9560 -i 1@unix:/tmp/cable &

  # A switch between two interfaces, with its program, as one would start bmv2
  weft softswitch -i 1@veth1 -i 2@veth2 --device-id 1 weft.json -- --cpu-port 510 --grpc-server-addr 127.0.0.1:9559

  # A switch that answers like bmv2, with a bad line at port 1
  weft softswitch --no-p4 --profile bmv2 --impair 1:loss=0.01,delay=5ms,seed=1 --cpu-port 510 -i 1@unix:/tmp/cable`
)

// NewCommand makes the command "softswitch".
func NewCommand() *cobra.Command {
	var c Config
	cmd := &cobra.Command{
		Use:     "softswitch [flags] [PROGRAM.json] [-- target options]",
		Short:   "Run a P4 switch in software",
		Long:    long,
		Example: example,
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(c.takeArgs(cmd, args), c.check()); err != nil {
				return &UsageError{err}
			}
			return Run(cmd.Context(), c, cmd.ErrOrStderr())
		},
		SilenceUsage: true,
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&c.Interfaces, "interface", "i", nil, "attach a port, `PORT@SPEC`: PORT@IFACE, PORT@tap:NAME, PORT@unix:PATH or PORT@pcap:NAME")
	flags.Uint64Var(&c.DeviceID, "device-id", 1, "P4Runtime device `id`")
	flags.Uint16Var(&c.CPUPort, "cpu-port", 0, "`port` of packet-in and packet-out; 0: none")
	flags.Uint16Var(&c.DropPort, "drop-port", 511, "egress `port` that means drop")
	flags.StringVar(&c.Address, "grpc-server-addr", "127.0.0.1:9559", "listen for controllers on `HOST:PORT` or unix:PATH")
	flags.BoolVar(&c.NoP4, "no-p4", false, "start without a program")
	flags.StringVar(&c.P4Info, "p4info", "", "P4Info `file` (text format) of the program")
	flags.StringVar(&c.PcapDir, "pcap", "", "write a capture of each port to `directory`; without one, to the current")
	flags.Lookup("pcap").NoOptDefVal = "."
	flags.IntVar(&c.FilesWait, "use-files", 0, "ports are pcap files (SPEC_in.pcap, SPEC_out.pcap), read after so many `seconds`")
	flags.StringVar(&c.Profile, "profile", "strict", "serve P4Runtime as `TARGET` does: strict (to the specification), bmv2, stratum, dpdk or pins")
	flags.StringArrayVar(&c.Impair, "impair", nil, "make the line of a port bad, both ways: `PORT:loss=0.01,delay=5ms` or any of jitter=1ms, reorder=0.1, rate=1000000, limit=100, seed=1")
	flags.BoolVar(&c.LogConsole, "log-console", false, "log to standard output")
	flags.StringVar(&c.LogFile, "log-file", "", "log to `file`")
	flags.StringVarP(&c.LogLevel, "log-level", "L", "info", "`level` from which on to log: trace, debug, info, warn, error or off")
	c.bmv2Flags(flags)
	c.TLS.flags(flags)
	cmd.AddCommand(newSTF())
	flags.BoolVarP(&c.Verbose, "verbose", "v", false, "log also what the program logs")
	return cmd
}

// UsageError is a wrong command line.
type UsageError struct{ err error }

func (e *UsageError) Error() string { return e.err.Error() }

// Unwrap gives what is wrong.
func (e *UsageError) Unwrap() error { return e.err }

// check finds what is wrong with flags by themselves.
func (c *Config) check() error {
	var wrong []error
	for _, text := range c.Interfaces {
		if _, _, err := ParsePort(text); err != nil && !c.Files {
			wrong = append(wrong, err)
		}
	}
	if _, err := c.level(); err != nil {
		wrong = append(wrong, err)
	}
	if c.LogFile != "" && c.LogConsole {
		wrong = append(wrong, errors.New("--log-console and --log-file exclude each other"))
	}
	return errors.Join(wrong...)
}

// takeArgs reads the program and the target's options behind "--".
func (c *Config) takeArgs(cmd *cobra.Command, args []string) error {
	programs := args
	if dash := cmd.ArgsLenAtDash(); dash >= 0 {
		programs = args[:dash]
		target := cmd.Flags()
		if err := target.Parse(args[dash:]); err != nil {
			return fmt.Errorf("target options: %w", err)
		}
		if target.NArg() > 0 {
			return fmt.Errorf("target options: %q is not an option", target.Arg(0))
		}
	}
	c.Files = cmd.Flags().Changed("use-files")
	programs = c.takePcapDir(programs)
	switch {
	case len(programs) > 1:
		return fmt.Errorf("one program at a time, not %s", strings.Join(programs, " and "))
	case len(programs) == 1 && c.NoP4:
		return fmt.Errorf("--no-p4 goes without a program, but %s is given", programs[0])
	case len(programs) == 0 && !c.NoP4:
		return errors.New("no program: name a bmv2 JSON file, or say --no-p4 and let a controller push one")
	case len(programs) == 0 && c.P4Info != "":
		return errors.New("--p4info goes with a program")
	case len(programs) == 1:
		c.Program = programs[0]
	}
	return nil
}

// takePcapDir lets --pcap take its value with or without "=", as it does in
// simple_switch_grpc: a directory is no program.
func (c *Config) takePcapDir(args []string) []string {
	if c.PcapDir != "." {
		return args
	}
	for i, a := range args {
		if info, err := os.Stat(a); err == nil && info.IsDir() {
			c.PcapDir = a
			return slices.Delete(slices.Clone(args), i, i+1)
		}
	}
	return args
}

// Run runs a switch until ctx ends.
func Run(ctx context.Context, c Config, log io.Writer) (err error) {
	logger, closeLog, err := c.logger(log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	for _, name := range c.ignored {
		logger.Warn("flag is ignored: this switch has no such part", "flag", "--"+name)
	}
	quirks, ok := softswitch.Profile(cmp.Or(c.Profile, "strict"))
	if !ok {
		return fmt.Errorf("--profile: %q, want strict, bmv2, stratum, dpdk or pins", c.Profile)
	}
	security, err := c.TLS.options()
	if err != nil {
		return err
	}
	ports, closeAll, err := c.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	server, err := softswitch.New(softswitch.Options{
		DeviceID: c.DeviceID, CPUPort: c.CPUPort, DropPort: c.DropPort, Ports: ports, Logger: logger, GRPC: security, Quirks: quirks,
	})
	if err != nil {
		return err
	}
	if err := c.impair(server); err != nil {
		return err
	}
	if err := c.load(server); err != nil {
		return err
	}
	listener, err := Listen(c.Address)
	if err != nil {
		return err
	}
	logger.Info("softswitch runs", "device", c.DeviceID, "ports", len(ports), "grpc", listener.Addr().String())
	return server.Serve(ctx, listener)
}

// load starts the program, if one is given.
func (c *Config) load(server *softswitch.Server) error {
	if c.Program == "" {
		return nil
	}
	program, err := os.ReadFile(c.Program)
	if err != nil {
		return fmt.Errorf("program: %w", err)
	}
	if c.P4Info == "" {
		if err := server.LoadProgram(program); err != nil {
			return fmt.Errorf("program %s: %w", c.Program, err)
		}
		return nil
	}
	info, err := os.ReadFile(c.P4Info)
	if err != nil {
		return fmt.Errorf("p4info: %w", err)
	}
	if err := server.LoadText(info, program); err != nil {
		return fmt.Errorf("program %s with p4info %s: %w", c.Program, c.P4Info, err)
	}
	return nil
}

// Listen listens on HOST:PORT or unix:PATH; a stale socket at PATH is removed.
func Listen(address string) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		l, err := net.Listen("tcp", address)
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("grpc server: %s is in use, perhaps by another switch; choose another address by --grpc-server-addr", address)
		}
		if err != nil {
			return nil, fmt.Errorf("grpc server: %w", err)
		}
		return l, nil
	}
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return nil, fmt.Errorf("grpc server: %s is in use, perhaps by another switch; choose another path by --grpc-server-addr", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("grpc server: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("grpc server: %w", err)
	}
	return l, nil
}

// ParsePort splits PORT@SPEC.
func ParsePort(text string) (number uint16, spec string, err error) {
	n, spec, ok := strings.Cut(text, "@")
	v, convErr := strconv.ParseUint(n, 10, 16)
	if !ok || convErr != nil || spec == "" || spec == "tap:" || spec == "unix:" || spec == "pcap:" {
		return 0, "", fmt.Errorf("port %q: want PORT@IFACE, PORT@tap:NAME, PORT@unix:PATH or PORT@pcap:NAME with PORT from 0 to 65535", text)
	}
	return uint16(v), spec, nil
}

// open opens all ports. The second result closes what the ports don't own: captures.
func (c *Config) open() (map[uint16]port.Port, func() error, error) {
	ports := map[uint16]port.Port{}
	var files []io.Closer
	closeFiles := func() error {
		var err error
		for _, f := range files {
			err = errors.Join(err, f.Close())
		}
		return err
	}
	fail := func(err error) (map[uint16]port.Port, func() error, error) {
		for _, p := range ports {
			err = errors.Join(err, p.Close())
		}
		return nil, nil, errors.Join(err, closeFiles())
	}
	numbers := map[uint16]string{}
	for _, text := range c.Interfaces {
		number, spec, err := ParsePort(text)
		if err != nil {
			return fail(err)
		}
		if other, ok := numbers[number]; ok {
			return fail(fmt.Errorf("port %d is there twice: %s and %s", number, other, spec))
		}
		numbers[number] = spec
		p, err := c.openPort(spec)
		if err != nil {
			return fail(fmt.Errorf("port %d: %w", number, err))
		}
		ports[number] = p
		if c.PcapDir == "" {
			continue
		}
		file, err := os.Create(filepath.Join(c.PcapDir, fmt.Sprintf("port%d.pcap", number)))
		if err != nil {
			return fail(fmt.Errorf("capture: %w", err))
		}
		files = append(files, file)
		if ports[number], err = port.NewCapture(p, file, time.Now); err != nil {
			return fail(err)
		}
	}
	return ports, closeFiles, nil
}
