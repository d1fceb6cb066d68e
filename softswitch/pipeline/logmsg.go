package pipeline

import (
	"encoding/json"
	"math/big"
	"strings"
)

// logMessage compiles log_msg: every {} of the format is replaced by the next
// argument, in decimal; \{ and \} stand for themselves.
func (l *loader) logMessage(j *jPrimitive) op {
	format := l.object(j.Parameters[0], "string")
	if j.Parameters[1].Type != "parameters_vector" {
		l.fail("arguments of type %q", j.Parameters[1].Type)
	}
	var args []jValue
	var empty struct{} // p4c writes an empty list as {}
	if v := j.Parameters[1].Value; len(v) == 0 || v[0] != '{' || json.Unmarshal(v, &empty) != nil {
		l.decode(v, &args)
	}
	var evals []evalBig
	for _, a := range args {
		evals = append(evals, l.big(l.data(a)))
	}
	return func(c *ctx) {
		if c.m.o.Log != nil {
			c.m.o.Log(formatLog(format, len(evals), func(i int) *big.Int { return evals[i](c) }))
		}
	}
}

func formatLog(format string, n int, arg func(int) *big.Int) string {
	var b strings.Builder
	next := 0
	for i := 0; i < len(format); i++ {
		switch ch := format[i]; {
		case ch == '\\' && i+1 < len(format) && (format[i+1] == '{' || format[i+1] == '}'):
			i++
			b.WriteByte(format[i])
		case ch == '{' && strings.IndexByte(format[i:], '}') >= 0 && next < n:
			b.WriteString(arg(next).String())
			next++
			i += strings.IndexByte(format[i:], '}')
		default:
			b.WriteByte(ch)
		}
	}
	return b.String()
}
