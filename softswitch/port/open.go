package port

import "strings"

// Open opens the port that spec describes: "tap:NAME", "unix:PATH", or the name of a
// Linux interface.
func Open(spec string) (Port, error) {
	if name, ok := strings.CutPrefix(spec, "tap:"); ok {
		return openTAP(name)
	}
	if path, ok := strings.CutPrefix(spec, "unix:"); ok {
		return openUnix(path)
	}
	return openInterface(spec)
}
