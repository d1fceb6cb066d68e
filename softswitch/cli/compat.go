package cli

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/pflag"

	"github.com/weft-sdn/weft/softswitch"
	"github.com/weft-sdn/weft/softswitch/port"
)

// ignoredFlag is a flag of simple_switch_grpc for something that this switch
// does not have. It remembers that it was used.
type ignoredFlag struct {
	name string
	used *[]string
}

func (f ignoredFlag) String() string { return "" }
func (f ignoredFlag) Type() string   { return "string" }

func (f ignoredFlag) Set(string) error {
	*f.used = append(*f.used, f.name)
	return nil
}

// bmv2Flags accepts what has no job here, so that scripts written for
// simple_switch_grpc run.
func (c *Config) bmv2Flags(flags *pflag.FlagSet) {
	add := func(takesValue bool, names ...string) {
		for _, name := range names {
			flags.Var(ignoredFlag{name: name, used: &c.ignored}, name, "ignored")
			f := flags.Lookup(name)
			f.Hidden = true
			if !takesValue {
				f.NoOptDefVal = "true"
			}
		}
	}
	add(true, "thrift-port", "nanolog", "notifications-addr", "debugger-addr", "log-file-max-size", "log-file-max-files",
		"dump-packet-data", "max-port-count")
	add(false, "debugger", "log-flush", "disable-swap", "enable-swap")
}

// level is that from which on to log.
func (c *Config) level() (slog.Level, error) {
	levels := map[string]slog.Level{"trace": softswitch.LevelTrace, "debug": slog.LevelDebug, "info": slog.LevelInfo,
		"": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError, "off": slog.LevelError + 1}
	level, ok := levels[c.LogLevel]
	if !ok {
		return 0, fmt.Errorf("--log-level: %q, want trace, debug, info, warn, error or off", c.LogLevel)
	}
	return level, nil
}

// logger makes the logger that the flags ask for.
func (c *Config) logger(standard io.Writer) (*slog.Logger, func() error, error) {
	level, err := c.level()
	if err != nil {
		return nil, nil, err
	}
	if c.Verbose {
		level = min(level, slog.LevelDebug)
	}
	closeLog := func() error { return nil }
	switch {
	case c.LogConsole:
		standard = os.Stdout
	case c.LogFile != "":
		f, err := os.Create(c.LogFile)
		if err != nil {
			return nil, nil, fmt.Errorf("--log-file: %w", err)
		}
		standard, closeLog = f, f.Close
	}
	return slog.New(slog.NewTextHandler(standard, &slog.HandlerOptions{Level: level, ReplaceAttr: nameTrace})), closeLog, nil
}

// nameTrace writes the level trace, which slog does not know, by its name.
func nameTrace(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.LevelKey && a.Value.Any() == softswitch.LevelTrace {
		a.Value = slog.StringValue("TRACE")
	}
	return a
}

// openPort opens a port; with --use-files it is a pair of pcap files.
func (c *Config) openPort(spec string) (port.Port, error) {
	if !c.Files {
		return port.Open(spec)
	}
	p, err := port.OpenFiles(spec, time.Duration(c.FilesWait)*time.Second)
	if err != nil {
		return nil, err
	}
	return p, nil
}
