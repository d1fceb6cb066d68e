package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/view"
)

// TestUsageRows (O4): a vport's usage is the sum over edges, by id where one of them does not know its name; a tenant's is that of its exterior vports; links are apart; and an earlier
// reading is taken away.
func TestUsageRows(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0).UTC() }
	n := func(packets uint64) state.Tally { return state.Tally{Packets: packets, Bytes: 100 * packets} }
	all := []state.Usage{
		{Edge: "e1", ID: 1, Tenant: "red", Name: "vm1", UsageTotals: state.UsageTotals{In: n(5), Out: n(1)}, From: at(20), To: at(90)},
		{Edge: "e2", ID: 1, UsageTotals: state.UsageTotals{Out: n(3)}, From: at(10), To: at(80)},
		{Edge: "e2", ID: 2, Tenant: "red", Name: "vm2", UsageTotals: state.UsageTotals{In: n(3), Out: n(5)}, From: at(30), To: at(95)},
		{Edge: "e2", ID: 3, Tenant: "red", Name: "gw-lan", Link: "red/lan-gw", UsageTotals: state.UsageTotals{Crossed: n(8)}, From: at(30), To: at(95)},
		{Edge: "e2", ID: 4, Tenant: "blue", Name: "vm", UsageTotals: state.UsageTotals{In: n(7)}, From: at(30), To: at(95)},
	}
	show := func(q usageQuery, form string, before []view.UsageRow) string {
		t.Helper()
		var b strings.Builder
		list := usageList{q.by(), view.Usage(all, view.UsageQuery{Tenant: q.tenant, VPort: q.vport, Link: q.link, Tenants: q.tenants})}
		view.AddRates(list.Items, []client.Rate{{VPort: "red/vm1", Rate: 20e6}, {VPort: "red/gw-lan", Rate: 50e6}})
		subtractUsage(list.Items, before)
		if err := printUsage(&b, list, form); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for want, got := range map[string]string{
		`TENANT  VPORT    SENT  BYTES  RECEIVED  BYTES  FROM                  TO                    RATE
blue    blue/vm  7     700    0         0      1970-01-01T00:00:30Z  1970-01-01T00:01:35Z  -
red     red/vm1  5     500    4         400    1970-01-01T00:00:10Z  1970-01-01T00:01:30Z  20M
red     red/vm2  3     300    5         500    1970-01-01T00:00:30Z  1970-01-01T00:01:35Z  -
`: show(usageQuery{}, "table", nil),
		`tenant,sent,sent_bytes,received,received_bytes,from,to
blue,7,700,0,0,1970-01-01T00:00:30Z,1970-01-01T00:01:35Z
red,6,600,9,900,1970-01-01T00:00:50Z,1970-01-01T00:01:35Z
`: show(usageQuery{tenants: true}, "csv", []view.UsageRow{{Tenant: "red", In: n(2), To: at(50)}}),
		`TENANT  VPORT       FROM PORT   PACKETS  BYTES  FROM                  TO                    RATE
red     red/gw-lan  red/lan-gw  8        800    1970-01-01T00:00:30Z  1970-01-01T00:01:35Z  50M
`: show(usageQuery{link: true, tenant: "red"}, "table", nil),
		`tenant,vport,from_port,packets,bytes,from,to,rate
red,red/gw-lan,red/lan-gw,8,800,1970-01-01T00:00:30Z,1970-01-01T00:01:35Z,50000000
`: show(usageQuery{link: true, tenant: "red"}, "csv", nil),
	} {
		if got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
	file := filepath.Join(t.TempDir(), "june.json")
	if err := os.WriteFile(file, []byte(show(usageQuery{tenants: true}, "json", nil)), 0o600); err != nil {
		t.Fatal(err)
	}
	if list, err := readUsage(file, "tenant"); err != nil || len(list.Items) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := readUsage(file, "link"); err == nil || !strings.Contains(err.Error(), "use the same flags") {
		t.Errorf("a reading by tenant is taken for one by link: %v", err)
	}
}
