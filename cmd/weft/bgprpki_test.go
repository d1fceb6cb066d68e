package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/rpki"
)

// TestCaches: a line for each cache, and why those are away that are.
func TestCaches(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	list := agent.RPKIList{Caches: []agent.RPKICache{
		{Edge: "border1", CacheStatus: rpki.CacheStatus{
			Address: "rpki.example.net:323", Up: true, Since: now.Add(-time.Hour), Updated: now.Add(-time.Minute), Serial: 17, V4: 5, V6: 4, Version: 1, Session: 9, Refresh: 3600, Retry: 600, Expire: 7200, TLS: true,
		}},
		{Edge: "border1", CacheStatus: rpki.CacheStatus{Address: "[2001:db8::8]:323", Since: now, Why: "connection refused", Lost: 2, Expired: 1}},
	}}
	for form, want := range map[string]string{
		"table": `EDGE     CACHE                 STATE  SINCE  SERIAL  IPV4  IPV6  UPDATED  LOST
border1  rpki.example.net:323  up     1h0m   17      5     4     1m0s     0
border1  [2001:db8::8]:323     away   0s     0       0     0     never    2

border1: [2001:db8::8]:323: connection refused
`,
		"wide": `EDGE     CACHE                 STATE  SINCE  SERIAL  IPV4  IPV6  UPDATED  LOST  TLS    VERSION  SESSION  REFRESH  RETRY  EXPIRE  EXPIRED
border1  rpki.example.net:323  up     1h0m   17      5     4     1m0s     0     true   1        9        3600 s   600 s  7200 s  0
border1  [2001:db8::8]:323     away   0s     0       0     0     never    2     false  0        0        0 s      0 s    0 s     1

border1: [2001:db8::8]:323: connection refused
`,
	} {
		var b bytes.Buffer
		if err := printCaches(&b, list, form, now); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, b.String()); d != "" {
			t.Errorf("%s (-want +got):\n%s", form, d)
		}
	}
}
