package main

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/weft-sdn/weft/packet"
	"github.com/weft-sdn/weft/softswitch/port"
)

// scriptDatabase is the script command "database": it starts an empty database that commands find by themselves, until the script ends.
func scriptDatabase(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: database")
	}
	endpoint, stop, err := startDatabase(ts.MkAbs("db"))
	ts.Check(err)
	ts.Defer(stop)
	ts.Setenv("WEFT_ETCD", endpoint)
}

// scriptStatus is the script command "status N ARGS…": it runs weft, and fails if the exit status is not N.
func scriptStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N ARGS...")
	}
	status := 0
	if err := ts.Exec("weft", args[1:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		status = exit.ExitCode()
	}
	if strconv.Itoa(status) != args[0] {
		ts.Fatalf("status %d, want %s", status, args[0])
	}
}

// scriptExpand is the script command "expand FILE…": it puts values in place of the variables in files.
func scriptExpand(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: expand FILE...")
	}
	for _, file := range args {
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(os.Expand(ts.ReadFile(file), ts.Getenv)), 0o600))
	}
}

// scriptUntil is the script command "until REGEXP ARGS…": it runs weft again and again until what it prints matches.
func scriptUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until REGEXP ARGS...")
	}
	want := regexp.MustCompile("(?m)" + args[0])
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(3 * time.Minute); ; <-tick.C {
		err := ts.Exec("weft", args[1:]...)
		if want.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("after three minutes: no match for %q (%v)", args[0], err)
		}
	}
}

// scriptTraffic is the script command "traffic CABLE SRC-MAC DST-MAC SRC DST": a host at the end of a cable that sends UDP until the script ends.
func scriptTraffic(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 5 {
		ts.Fatalf("usage: traffic CABLE SRC-MAC DST-MAC SRC DST")
	}
	frame := packet.AppendUDP(nil, &packet.UDP{
		SrcMAC: packet.MustParseMAC(args[1]), DstMAC: packet.MustParseMAC(args[2]), Src: netip.MustParseAddr(args[3]), Dst: netip.MustParseAddr(args[4]),
		SrcPort: 40000, DstPort: 53,
	})
	p, err := port.OpenUnix(ts.MkAbs(args[0]))
	ts.Check(err)
	stop, received, sent := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(received)
		frames, sizes := [][]byte{make([]byte, port.MaxFrame)}, []int{0}
		for {
			if _, err := p.Recv(frames, sizes); err != nil {
				return
			}
		}
	}()
	go func() {
		defer close(sent)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				_, _ = p.Send([][]byte{frame}) // the switch may be away
			}
		}
	}()
	ts.Defer(func() {
		close(stop)
		<-sent
		p.Close()
		<-received
	})
}
