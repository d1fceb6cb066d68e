package port

import "strings"

// Open opens the port that spec describes: "tap:NAME", "unix:PATH", "pcap:NAME" (the
// files NAME_in.pcap and NAME_out.pcap), or the name of a Linux interface.
func Open(spec string) (Port, error) {
	if name, ok := strings.CutPrefix(spec, "tap:"); ok {
		return openTAP(name)
	}
	if path, ok := strings.CutPrefix(spec, "unix:"); ok {
		return openUnix(path)
	}
	if name, ok := strings.CutPrefix(spec, "pcap:"); ok {
		return openFiles(name)
	}
	return openInterface(spec)
}

func openFiles(name string) (Port, error) {
	p, err := OpenFiles(name, 0)
	if err != nil {
		return nil, err
	}
	return p, nil
}
