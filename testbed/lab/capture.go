package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// captured is what can be captured: cables and links of the fabric.
type captured interface {
	Capture(w io.Writer) error
	CaptureErr() error
}

// capture begins to write each underlay link and each cable to hosts to a file of its own. stop ends it, and tells what could not be written.
func (l *Lab) capture() (stop func() error, err error) {
	var stops []func() error
	stop = func() (err error) {
		for _, s := range stops {
			err = errors.Join(err, s())
		}
		return err
	}
	if l.cfg.Pcap == "" {
		return stop, nil
	}
	if err := os.MkdirAll(l.cfg.Pcap, 0o755); err != nil {
		return nil, fmt.Errorf("captures: %w", err)
	}
	begin := func(name string, from captured) error {
		file, err := os.Create(filepath.Join(l.cfg.Pcap, fileName(name)))
		if err != nil {
			return fmt.Errorf("captures: %w", err)
		}
		stops = append(stops, func() error {
			failed := from.CaptureErr()
			return errors.Join(from.Capture(nil), failed, file.Close())
		})
		return from.Capture(file)
	}
	for _, e := range l.edges {
		var err error
		for i, u := range e.uplinks {
			name := "underlay-" + e.plan.name
			if len(e.uplinks) > 1 {
				name += fmt.Sprintf("-%d", i+1)
			}
			err = errors.Join(err, begin(name, u))
		}
		for name, n := range e.plan.interfaces {
			err = errors.Join(err, begin("access-"+e.plan.name+"-"+name, e.cable(n)))
		}
		if err != nil {
			return nil, errors.Join(err, stop())
		}
	}
	return stop, nil
}

// fileName makes the name of a capture file of a name that users chose.
func fileName(name string) string {
	safe := strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r == ':' || r <= ' ' {
			return '_'
		}
		return r
	}, name)
	return safe + ".pcap"
}
