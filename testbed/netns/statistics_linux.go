package netns

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// readStatistics reads the kernel's counters of the namespace, IPv4's as "TcpRetransSegs", IPv6's as "Ip6InReceives"; the caller is in do.
func readStatistics() (map[string]uint64, error) {
	all := map[string]uint64{}
	for _, file := range []struct {
		name  string
		parse func(text string, into map[string]uint64)
	}{{"snmp", parseSNMP}, {"snmp6", parseSNMP6}} {
		text, err := os.ReadFile("/proc/thread-self/net/" + file.name)
		if err != nil {
			return nil, fmt.Errorf("statistics: %w", err)
		}
		file.parse(string(text), all)
	}
	return all, nil
}

// parseSNMP reads pairs of lines "Tcp: Name …", "Tcp: Value …"; a value may be negative, such are left out.
func parseSNMP(text string, into map[string]uint64) {
	lines := strings.Split(text, "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		proto, names, ok := strings.Cut(lines[i], ":")
		_, values, ok2 := strings.Cut(lines[i+1], ":")
		if !ok || !ok2 {
			continue
		}
		fields := strings.Fields(values)
		for at, name := range strings.Fields(names) {
			if at >= len(fields) {
				break
			}
			if n, err := strconv.ParseUint(fields[at], 10, 64); err == nil {
				into[proto+name] = n
			}
		}
	}
}

// parseSNMP6 reads lines "Ip6InReceives  Value".
func parseSNMP6(text string, into map[string]uint64) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) != 2 {
			continue
		}
		if n, err := strconv.ParseUint(fields[1], 10, 64); err == nil {
			into[fields[0]] = n
		}
	}
}
