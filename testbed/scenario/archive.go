package scenario

import (
	"bytes"
	"strings"
)

// archive is a txtar file with the lines on which its parts begin.
type archive struct {
	comment []byte // from line 1
	files   []archiveFile
}

type archiveFile struct {
	name string
	line int // of the first line of data
	data []byte
}

// parseArchive cuts a txtar file at its marker lines "-- NAME --". Every file is a valid one.
func parseArchive(data []byte) archive {
	var a archive
	line, begin, rest := 0, 0, data
	end := func(at int) {
		if n := len(a.files); n > 0 {
			a.files[n-1].data = data[begin:at]
		} else {
			a.comment = data[begin:at]
		}
	}
	for len(rest) > 0 {
		line++
		at := len(data) - len(rest)
		text, after, _ := bytes.Cut(rest, []byte("\n"))
		rest = after
		if name, ok := marker(string(text)); ok {
			end(at)
			a.files = append(a.files, archiveFile{name: name, line: line + 1})
			begin = len(data) - len(rest)
		}
	}
	end(len(data))
	return a
}

// marker returns the name in a marker line.
func marker(line string) (string, bool) {
	line = strings.TrimSuffix(line, "\r")
	name, ok := strings.CutPrefix(line, "-- ")
	if !ok {
		return "", false
	}
	name, ok = strings.CutSuffix(name, " --")
	name = strings.TrimSpace(name)
	return name, ok && name != ""
}
