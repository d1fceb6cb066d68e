package topology

import "testing"

// TestCommunity: what is read is written the same, and nothing else is read.
func TestCommunity(t *testing.T) {
	for text, want := range map[BGPCommunity]Community{
		"64500:100":            {Of: 64500, Value: [2]uint32{100}},
		"4200000000:1:2":       {Large: true, Of: 4200000000, Value: [2]uint32{1, 2}},
		"0:0:0":                {Large: true},
		"no-export":            {Of: 0xffff, Value: [2]uint32{0xff01}},
		"blackhole":            {Of: 0xffff, Value: [2]uint32{0x29a}},
		"65535:1":              {Of: 65535, Value: [2]uint32{1}},
		"4294967295:0:4294967": {Large: true, Of: 4294967295, Value: [2]uint32{0, 4294967}},
	} {
		c, err := text.Parse()
		if err != nil || c != want || c.String() != string(text) {
			t.Errorf("%s: %+v (%s), %v", text, c, c, err)
		}
		if !c.Large && StandardCommunity(c.Standard()) != c {
			t.Errorf("%s is %d, which is %v", text, c.Standard(), StandardCommunity(c.Standard()))
		}
	}
	for _, text := range []BGPCommunity{"1", "1:", ":1", "65536:1", "1:65536", "01:1", "1:2:3:4", "-1:1", "none", "0:0", "4294967296:1:1"} {
		if c, err := text.Parse(); err == nil {
			t.Errorf("%s is read as %v", text, c)
		}
	}
	if c, err := BGPCommunity("").Parse(); err != nil || c != (Community{}) {
		t.Errorf("none: %v, %v", c, err)
	}
}
