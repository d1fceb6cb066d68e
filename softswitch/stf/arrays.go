package stf

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/weft-sdn/weft/softswitch/pipeline"
)

// array carries out the statements on counters, registers and meters.
func (r *Runner) array(st *statement) error {
	name := st.args[0]
	index := uint64(0)
	if len(st.args) > 1 && !strings.Contains(st.args[1], ":") {
		var err error
		if index, err = integer(st.args[1], 31); err != nil {
			return fmt.Errorf("index: %w", err)
		}
	}
	kind, _, _ := strings.Cut(st.op, "_")
	switch kind {
	case "counter":
		return r.counter(st, name, int(index))
	case "register":
		return r.register(st, name, int(index))
	}
	return r.meter(st, name, int(index))
}

func (r *Runner) counter(st *statement, name string, index int) error {
	c, err := lookUp(r, "counter", name, r.machine.CounterNames(), r.machine.Counter)
	if err != nil {
		return err
	}
	if st.op == "counter_read" {
		v, err := c.Read(index)
		fmt.Fprintf(r.log, "counter %s[%d]: %d packets, %d bytes\n", c.Name(), index, v.Packets, v.Bytes)
		return err
	}
	packets, err := integer(st.args[2], 63)
	if err != nil {
		return err
	}
	bytes, err := integer(st.args[3], 63)
	if err != nil {
		return err
	}
	return c.Write(index, pipeline.Count{Packets: packets, Bytes: bytes})
}

func (r *Runner) register(st *statement, name string, index int) error {
	x, err := lookUp(r, "register", name, r.machine.RegisterNames(), r.machine.Register)
	if err != nil {
		return err
	}
	switch st.op {
	case "register_read":
		v, err := x.Read(index)
		fmt.Fprintf(r.log, "register %s[%d]: %d\n", x.Name(), index, new(big.Int).SetBytes(v))
		return err
	case "register_write":
		v, err := number(st.args[2])
		if err != nil {
			return err
		}
		return x.Write(index, value(v))
	}
	for i := range x.Len() {
		if err := x.Write(i, []byte{0}); err != nil {
			return err
		}
	}
	return nil
}

func (r *Runner) meter(st *statement, name string, index int) error {
	x, err := lookUp(r, "meter", name, r.machine.MeterNames(), r.machine.Meter)
	if err != nil {
		return err
	}
	switch st.op {
	case "meter_get_rates":
		c, err := x.Read(index)
		fmt.Fprintf(r.log, "meter %s[%d]: %d/s burst %d, peak %d/s burst %d\n", x.Name(), index, c.CIR, c.CBurst, c.PIR, c.PBurst)
		return err
	case "meter_set_rates":
		c, err := rates(st.args[2:])
		if err != nil {
			return err
		}
		return x.Write(index, c)
	}
	c, err := rates(st.args[1:])
	if err != nil {
		return err
	}
	for i := range x.Len() {
		if err := x.Write(i, c); err != nil {
			return err
		}
	}
	return nil
}

// rates reads RATE:BURST, committed and peak, in units per microsecond and units.
func rates(words []string) (pipeline.MeterConfig, error) {
	var rate, burst [2]uint64
	if len(words) != 2 {
		return pipeline.MeterConfig{}, fmt.Errorf("%d rates, want two RATE:BURST", len(words))
	}
	for i, w := range words {
		a, b, ok := strings.Cut(w, ":")
		perMicrosecond, err := strconv.ParseFloat(a, 64)
		if err != nil || !ok || perMicrosecond < 0 || perMicrosecond > 1e12 {
			return pipeline.MeterConfig{}, fmt.Errorf("%q: want RATE:BURST, rate in units per microsecond", w)
		}
		rate[i] = uint64(math.Round(perMicrosecond * 1e6))
		if burst[i], err = integer(b, 63); err != nil {
			return pipeline.MeterConfig{}, err
		}
	}
	return pipeline.MeterConfig{CIR: rate[0], CBurst: burst[0], PIR: rate[1], PBurst: burst[1]}, nil
}

func lookUp[T any](r *Runner, what, name string, all []string, get func(string) (T, bool)) (T, error) {
	full, err := r.names.resolve(what, name, all)
	x, _ := get(full)
	return x, err
}

// checkCounter checks NAME(INDEX or entry) packets|bytes OP NUMBER. Without a
// condition it only reads.
func (r *Runner) checkCounter(st *statement) error {
	name, where, ok := strings.Cut(strings.TrimSuffix(st.args[0], ")"), "(")
	if !ok || len(st.args) != 1 && len(st.args) != 4 {
		return fmt.Errorf("want NAME(INDEX or entry) packets|bytes OP NUMBER")
	}
	v, err := r.count(name, where)
	if err != nil || len(st.args) == 1 {
		return err
	}
	have := v.Packets
	switch st.args[1] {
	case "bytes":
		have = v.Bytes
	case "packets":
	default:
		return fmt.Errorf("%q: want packets or bytes", st.args[1])
	}
	want, err := integer(st.args[3], 63)
	if err != nil {
		return err
	}
	holds := map[string]bool{"==": have == want, "!=": have != want, "<": have < want, "<=": have <= want, ">": have > want, ">=": have >= want}
	if !holds[st.args[2]] {
		return fmt.Errorf("%w: the counter is %d %s, want %s %d", ErrFailed, have, st.args[1], st.args[2], want)
	}
	return nil
}

// count reads the cell of a counter array, or the direct counter of an entry.
func (r *Runner) count(name, where string) (pipeline.Count, error) {
	if e, ok := r.entries[strings.TrimPrefix(where, "$")]; ok {
		s, _ := e.table.Read(e.match, e.priority)
		if !e.table.HasCounter() {
			return s.Count, fmt.Errorf("table %s has no direct counter", e.table.Name())
		}
		return s.Count, nil
	}
	index, err := integer(where, 31)
	if err != nil {
		return pipeline.Count{}, fmt.Errorf("%q is neither the name of an entry nor an index", where)
	}
	c, err := lookUp(r, "counter", name, r.machine.CounterNames(), r.machine.Counter)
	if err != nil {
		return pipeline.Count{}, err
	}
	return c.Read(int(index))
}
