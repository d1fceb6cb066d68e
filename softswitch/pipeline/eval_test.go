package pipeline

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"
)

// calcProgram has a 16-byte input header, fields for results, and one action
// that runs the given primitives; the input comes back on port 1.
func calcProgram(prims ...any) *asm {
	a := newAsm()
	a.header("x", false, "a8", 8, "b8", 8, "a64", 64, "b64", 64, "a128", 128, "b128", 128)
	a.header("r", false, "r1", 1, "pad", 7, "r8", 8, "r64", 64, "r128", 128, "r12", 12, "pad2", 4)
	a.header("meta", true, "s8", 8, "t8", 8)
	a.types[3].(m)["fields"].([]any)[0] = list("s8", 8, true) // signed
	a.types[3].(m)["fields"].([]any)[1] = list("t8", 8, true)
	a.state("start", list(extractHeader("x")), list(), to(nil, nil))
	prims = append(list(pr("add_header", hdr("r")), set("standard_metadata", "egress_spec", hex("0x1"))), prims...)
	a.action("run", nil, prims...)
	a.init = "t"
	a.table("t", nil, list(), "run", []string{"run"}, nil)
	return a
}

type operands struct {
	a8, b8     uint8
	a64, b64   uint64
	a128, b128 *big.Int
}

func (o *operands) frame() []byte {
	b := []byte{o.a8, o.b8}
	for _, v := range []uint64{o.a64, o.b64} {
		b = append(b, new(big.Int).SetUint64(v).FillBytes(make([]byte, 8))...)
	}
	b = append(b, o.a128.FillBytes(make([]byte, 16))...)
	return append(b, o.b128.FillBytes(make([]byte, 16))...)
}

func (o *operands) field(name string) *big.Int {
	switch name {
	case "a8":
		return big.NewInt(int64(o.a8))
	case "b8":
		return big.NewInt(int64(o.b8))
	case "a64":
		return new(big.Int).SetUint64(o.a64)
	case "b64":
		return new(big.Int).SetUint64(o.b64)
	case "a128":
		return o.a128
	}
	return o.b128
}

// model evaluates an expression over the integers, independently of the compiler.
func (o *operands) model(e any) *big.Int {
	v := e.(m)
	switch v["type"] {
	case "field":
		return o.field(v["value"].([]any)[1].(string))
	case "hexstr":
		x, _ := new(big.Int).SetString(v["value"].(string)[2:], 16)
		return x
	}
	x := v["value"].(m)
	r := o.model(x["right"])
	if x["op"] == "~" {
		return new(big.Int).Not(r)
	}
	l := o.model(x["left"])
	z := new(big.Int)
	w := uint(r.Int64() & 0xffff)
	lim := new(big.Int).Lsh(big.NewInt(1), w)
	half := new(big.Int).Rsh(lim, 1)
	switch x["op"] {
	case "+":
		return z.Add(l, r)
	case "-":
		return z.Sub(l, r)
	case "*":
		return z.Mul(l, r)
	case "&":
		return z.And(l, r)
	case "|":
		return z.Or(l, r)
	case "^":
		return z.Xor(l, r)
	case "<<":
		return z.Lsh(l, uint(r.Uint64()))
	case ">>":
		return z.Rsh(l, uint(r.Uint64()))
	case "/":
		if r.Sign() == 0 || l.Sign() < 0 || r.Sign() < 0 {
			return z
		}
		return z.Quo(l, r)
	case "two_comp_mod":
		if z.Mod(l, lim); z.Cmp(half) >= 0 {
			z.Sub(z, lim)
		}
		return z
	case "usat_cast":
		return z.Set(maxBig(big.NewInt(0), minBig(l, lim.Sub(lim, big.NewInt(1)))))
	case "sat_cast":
		return z.Set(maxBig(new(big.Int).Neg(half), minBig(l, new(big.Int).Sub(half, big.NewInt(1)))))
	}
	panic(x["op"])
}

func randomExpr(r *rand.Rand, depth int) any {
	if depth == 0 || r.IntN(5) == 0 {
		if r.IntN(3) == 0 {
			return hex(fmt.Sprintf("0x%x", r.Uint64()>>r.IntN(64)))
		}
		return fld("x", []string{"a8", "b8", "a64", "b64", "a128", "b128"}[r.IntN(6)])
	}
	sub := func() any { return randomExpr(r, depth-1) }
	switch r.IntN(14) {
	case 0:
		return ex("~", nil, sub())
	case 1:
		return ex("<<", sub(), hex(fmt.Sprintf("0x%x", r.IntN(130))))
	case 2:
		return ex(">>", sub(), hex(fmt.Sprintf("0x%x", r.IntN(130))))
	case 3:
		return ex("<<", sub(), fld("x", "a8"))
	case 4:
		return ex(">>", sub(), fld("x", "b8"))
	case 5:
		return ex("two_comp_mod", sub(), hex(fmt.Sprintf("0x%x", 1+r.IntN(130))))
	case 6:
		return ex("usat_cast", sub(), hex(fmt.Sprintf("0x%x", 1+r.IntN(130))))
	case 7:
		return ex("sat_cast", sub(), hex(fmt.Sprintf("0x%x", 1+r.IntN(130))))
	case 8:
		return ex("&", sub(), hex("0xffffffff"))
	}
	return ex([]string{"+", "-", "*", "&", "|", "^"}[r.IntN(6)], sub(), sub())
}

// TestArithmetic compares random expressions with arithmetic on big integers.
func TestArithmetic(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 600 {
		e := randomExpr(r, 1+r.IntN(4))
		h := run(t, calcProgram(set("r", "r8", e), set("r", "r64", e), set("r", "r128", e), set("r", "r12", e),
			set("r", "r1", ex("b2d", nil, ex("==", e, fld("r", "r64"))))), Options{})
		for range 4 {
			o := operands{a8: uint8(r.Uint32()), b8: uint8(r.Uint32()), a64: r.Uint64(), b64: r.Uint64() >> r.IntN(64),
				a128: new(big.Int).Lsh(new(big.Int).SetUint64(r.Uint64()), uint(r.IntN(65))),
				b128: new(big.Int).SetUint64(r.Uint64())}
			in := o.frame()
			out := h.send(3, in)
			if len(out) != 1 {
				t.Fatalf("%d frames out", len(out))
			}
			v := o.model(e)
			mod := func(w int) *big.Int { return new(big.Int).Mod(v, pow2(w)) }
			same := int64(0)
			if v.Cmp(mod(64)) == 0 {
				same = 1
			}
			want := append([]byte{byte(same << 7)}, mod(8).FillBytes(make([]byte, 1))...)
			want = append(want, mod(64).FillBytes(make([]byte, 8))...)
			want = append(want, mod(128).FillBytes(make([]byte, 16))...)
			want = append(want, new(big.Int).Lsh(mod(12), 4).FillBytes(make([]byte, 2))...)
			if got := out[0].Frame[len(in):]; got != string(want) {
				t.Fatalf("case %d: %v\n with %+v\n have %x\n want %x", i, e, o, got, want)
			}
		}
	}
}

// TestComparisons compares every relation on wide, narrow and negative operands.
func TestComparisons(t *testing.T) {
	values := []any{fld("x", "a8"), fld("x", "a64"), fld("x", "b64"), fld("x", "a128"), hex("0x80"),
		ex("-", fld("x", "a8"), fld("x", "b8")), ex("-", fld("x", "a64"), fld("x", "b64")), ex("-", fld("x", "a128"), fld("x", "b128"))}
	ops := map[string]func(int) bool{"==": func(c int) bool { return c == 0 }, "!=": func(c int) bool { return c != 0 },
		"<": func(c int) bool { return c < 0 }, "<=": func(c int) bool { return c <= 0 },
		">": func(c int) bool { return c > 0 }, ">=": func(c int) bool { return c >= 0 }}
	r := rand.New(rand.NewPCG(3, 4))
	for op, holds := range ops {
		for _, x := range values {
			for _, y := range values {
				h := run(t, calcProgram(set("r", "r1", ex("b2d", nil, ex(op, x, y)))), Options{})
				for i := range 6 {
					o := operands{a8: uint8(r.Uint32()), b8: uint8(r.Uint32()), a64: r.Uint64() >> (8 * i), b64: r.Uint64() >> (8 * i),
						a128: new(big.Int).SetUint64(r.Uint64()), b128: new(big.Int).SetUint64(r.Uint64())}
					if i == 5 {
						o = operands{a8: 128, b8: 128, a64: 128, b64: 128, a128: big.NewInt(128), b128: big.NewInt(128)}
					}
					out := h.send(0, o.frame())
					want := byte(b2u(holds(o.model(x).Cmp(o.model(y)))) << 7)
					if got := out[0].Frame[len(o.frame())]; got != want {
						t.Errorf("%v %s %v with %+v: %x, want %x", x, op, y, o, got, want)
					}
				}
			}
		}
	}
}

// TestSignedFields: fields hold two's complement and are sign-extended when read.
func TestSignedFields(t *testing.T) {
	h := run(t, calcProgram(
		set("meta", "s8", fld("x", "a8")), set("meta", "t8", ex("two_comp_mod", ex("+", fld("meta", "s8"), hex("-0x1")), hex("0x8"))),
		set("r", "r8", fld("meta", "t8")),
		set("r", "r64", fld("meta", "s8")),
		set("r", "r128", fld("meta", "s8")),
		set("r", "r1", ex("b2d", nil, ex("<", fld("meta", "s8"), hex("0x0")))),
		set("r", "r12", ex(">>", fld("meta", "s8"), hex("0x1")))), Options{})
	o := operands{a8: 0x80, a128: new(big.Int), b128: new(big.Int)}
	got := fmt.Sprintf("%x", h.send(0, o.frame())[0].Frame[len(o.frame()):])
	want := "80" + "7f" + "ffffffffffffff80" + "ffffffffffffffffffffffffffffff80" + "fc00"
	if got != want {
		t.Errorf("have %s\nwant %s", got, want)
	}
}
