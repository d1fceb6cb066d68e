package stf

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/weft-sdn/weft/softswitch/pipeline"
)

// digits splits a number into its base and digits: 0x, 0b, 0o or decimal.
func digits(text string) (base int, body string) {
	if len(text) > 2 && text[0] == '0' {
		switch text[1] {
		case 'x', 'X':
			return 16, text[2:]
		case 'b', 'B':
			return 2, text[2:]
		case 'o', 'O':
			return 8, text[2:]
		}
	}
	return 10, text
}

// bitsPerDigit is 0 for decimal numbers.
func bitsPerDigit(base int) int { return map[int]int{16: 4, 8: 3, 2: 1}[base] }

func number(text string) (*big.Int, error) {
	base, body := digits(text)
	v, ok := new(big.Int).SetString(body, base)
	if !ok || v.Sign() < 0 {
		return nil, fmt.Errorf("%q is not a number", text)
	}
	return v, nil
}

// integer parses a number that must fit the given bits.
func integer(text string, bits int) (uint64, error) {
	v, err := number(text)
	if err != nil {
		return 0, err
	}
	if v.BitLen() > bits {
		return 0, fmt.Errorf("%s is out of range, at most %d", text, uint64(1)<<bits-1)
	}
	return v.Uint64(), nil
}

// value encodes a number as at least one byte; what does not fit is for the
// table to refuse.
func value(v *big.Int) []byte {
	if v.Sign() == 0 {
		return []byte{0}
	}
	return v.Bytes()
}

// match makes the match on a key field from what a script says; an empty text
// means that it says nothing.
func match(k pipeline.KeyInfo, text string) (pipeline.FieldMatch, error) {
	switch k.Kind {
	case pipeline.LPM:
		return lpm(k, text)
	case pipeline.Ternary:
		return ternary(k, text)
	case pipeline.Range:
		return interval(text)
	case pipeline.Optional:
		if text == "" || strings.Trim(text, "*") == "" {
			return pipeline.FieldMatch{Any: true}, nil
		}
	}
	if text == "" {
		text = "0"
	}
	v, err := number(text)
	return pipeline.FieldMatch{Value: valueOf(v)}, err
}

func valueOf(v *big.Int) []byte {
	if v == nil {
		return nil
	}
	return value(v)
}

// lpm accepts VALUE/LENGTH, or a number whose digits tell the length.
func lpm(k pipeline.KeyInfo, text string) (pipeline.FieldMatch, error) {
	if text == "" {
		return pipeline.FieldMatch{Any: true}, nil
	}
	head, length, explicit := strings.Cut(text, "/")
	base, body := digits(head)
	v, err := number(strings.ReplaceAll(head, "*", "0"))
	if err != nil {
		return pipeline.FieldMatch{}, err
	}
	n := k.Width
	if explicit {
		if n, err = strconv.Atoi(length); err != nil {
			return pipeline.FieldMatch{}, fmt.Errorf("prefix length %q", length)
		}
	} else if per := bitsPerDigit(base); per > 0 {
		n = min(k.Width, per*len(strings.TrimRight(body, "*")))
	}
	return pipeline.FieldMatch{Value: value(v), PrefixLen: n, Any: n == 0}, nil
}

// ternary accepts VALUE&&&MASK, or digits of which * matches anything; what is
// left of the digits is not matched.
func ternary(k pipeline.KeyInfo, text string) (pipeline.FieldMatch, error) {
	if text == "" {
		return pipeline.FieldMatch{Any: true}, nil
	}
	if v, m, ok := strings.Cut(text, "&&&"); ok {
		x, err := number(v)
		if err != nil {
			return pipeline.FieldMatch{}, err
		}
		mask, err := number(m)
		if err != nil {
			return pipeline.FieldMatch{}, err
		}
		return pipeline.FieldMatch{Value: value(x), Mask: value(mask), Any: mask.Sign() == 0}, nil
	}
	base, body := digits(text)
	per := bitsPerDigit(base)
	v, err := number(strings.ReplaceAll(text, "*", "0"))
	if err != nil {
		return pipeline.FieldMatch{}, err
	}
	mask := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(k.Width)), big.NewInt(1))
	if per > 0 {
		all := int64(1)<<per - 1
		mask = new(big.Int)
		for _, c := range body {
			mask.Lsh(mask, uint(per))
			if c != '*' {
				mask.Or(mask, big.NewInt(all))
			}
		}
		// a leading digit may have more bits than are left of the field
		full := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(k.Width)), big.NewInt(1))
		mask.And(mask, full)
	}
	return pipeline.FieldMatch{Value: value(v), Mask: value(mask), Any: mask.Sign() == 0}, nil
}

// interval accepts LOW->HIGH, LOW..HIGH and a single value.
func interval(text string) (pipeline.FieldMatch, error) {
	if text == "" || text == "*" {
		return pipeline.FieldMatch{Any: true}, nil
	}
	low, high, ok := strings.Cut(text, "->")
	if !ok {
		low, high, ok = strings.Cut(text, "..")
	}
	if !ok {
		high = low
	}
	a, err := number(low)
	if err != nil {
		return pipeline.FieldMatch{}, err
	}
	b, err := number(high)
	if err != nil {
		return pipeline.FieldMatch{}, err
	}
	return pipeline.FieldMatch{Value: value(a), High: value(b)}, nil
}
