package api

import (
	"cmp"
	"fmt"
	"net/http"

	"github.com/weft-sdn/weft/client"
)

// Bounds of what a body may hold, looked at before it is read: reading costs a hundred times the memory of some bodies.
const (
	mostNested  = 64        // objects and lists in each other
	mostValues  = 2_000_000 // values; a network of 10,000 objects has a tenth
	mostLines   = 500_000   // and of manifests, which take more time to read
	mostFlow    = 1000      // brackets in each other in manifests, where some may be in texts
	mostObject  = 2 << 20   // bytes of one object
	mostObjects = 100_000   // of one change
	mostErrors  = 100       // that are told of one change
)

// boundsError is why a body is not read.
type boundsError struct{ text string }

func (e *boundsError) Error() string { return e.text }

var (
	errNested = &boundsError{fmt.Sprintf("it has more than %d objects and lists in each other", mostNested)}
	errLines  = &boundsError{fmt.Sprintf("it has more than %d lines and values; make the change in parts, or in JSON", mostLines)}
	errValues = &boundsError{fmt.Sprintf("it has more than %d values; make the change in parts", mostValues)}
)

// checkJSON looks at a body before it is read: how deep and how much it is, and for fields that are there twice. What is no JSON passes: who reads it says what is wrong.
func checkJSON(data []byte) error {
	depth, values, text := 0, 1, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			if depth++; depth > mostNested {
				return errNested
			}
			values++
		case c == '}' || c == ']':
			depth--
		case c == ',':
			values++
		}
	}
	if values > mostValues {
		return errValues
	}
	if at, ok := repeatedField(data); ok {
		return &repeatedError{at}
	}
	return nil
}

// checkYAML is checkJSON of manifests: what is there twice, and how deep they are to a value, who reads them sees.
func checkYAML(data []byte) error {
	values, depth, dashes := 1, 0, 0
	for _, c := range data {
		switch c {
		case '{', '[':
			values++
			if depth++; depth > mostFlow {
				return errNested
			}
		case '}', ']':
			depth = max(0, depth-1)
		case ',', '\n':
			values++
			dashes = 0
		case '-':
			if dashes++; dashes > mostNested { // in one line: - - - …
				values++
			}
		}
	}
	if values > mostLines {
		return errLines
	}
	return nil
}

// tooLarge refuses what is too much for one object.
func tooLarge(object []byte, at string) error {
	if len(object) > mostObject {
		return refuse(http.StatusRequestEntityTooLarge, "%s: has %d bytes; %d are the most of one object", cmp.Or(at, "the body"), len(object), mostObject)
	}
	return nil
}

// tooManyObjects refuses a change of more objects than one may be of.
func tooManyObjects(put, del int) error {
	if n := put + del; n > mostObjects {
		return refuse(http.StatusRequestEntityTooLarge, "the change is of %d objects; %d are the most: make it in parts", n, mostObjects)
	}
	return nil
}

// bounded are the errors that are told: the first ones, and how many more there are.
func bounded(errs []client.FieldError) []client.FieldError {
	if len(errs) <= mostErrors {
		return errs
	}
	return append(errs[:mostErrors:mostErrors], client.FieldError{Problem: fmt.Sprintf("%d more are wrong", len(errs)-mostErrors), Hint: "mend these first"})
}
