package softswitch

import (
	"testing"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// seeded is the probe program with the entries of table fixed not const: the P4Info alone
// tells, the program is the same.
func seeded(t testing.TB) *p4v1.ForwardingPipelineConfig {
	t.Helper()
	config := proto.CloneOf(probeConfig(t))
	for _, table := range config.GetP4Info().GetTables() {
		if table.GetPreamble().GetAlias() == "fixed" {
			table.IsConstTable, table.HasInitialEntries = false, true
			return config
		}
	}
	t.Fatal("no table fixed")
	return nil
}

// TestInitialEntries: entries of the program that are not const can be read, modified and
// deleted, and others added; const ones only read.
func TestInitialEntries(t *testing.T) {
	c := newLab(t).primary()
	lldp := func(action *p4v1.TableAction) *p4v1.TableEntry { return c.entry("fixed", action, exact(1, 0x88, 0xcc)) }
	all := func() []*p4v1.Entity { return c.read(entity(c.entry("fixed", nil))) }
	nothing := direct(c.action("NoAction"))
	for _, u := range []*p4v1.Update{modify(lldp(nothing)), remove(lldp(nil)), insert(c.entry("fixed", nothing, exact(1, 1)))} {
		if got := codesOf(c.tryWrite(p4v1.WriteRequest_CONTINUE_ON_ERROR, u)); len(got) != 1 || got[0] != codes.PermissionDenied {
			t.Errorf("const: %v: %v, want PermissionDenied", u, got)
		}
	}
	if diff := differ(entities(withConst(lldp(direct(c.action("drop"))))), all()); diff != "" {
		t.Errorf("const (-want +got):\n%s", diff)
	}

	config := seeded(t)
	c.push(commitNow, config)
	if diff := differ(entities(lldp(direct(c.action("drop")))), all()); diff != "" {
		t.Errorf("initial (-want +got):\n%s", diff)
	}
	other := c.entry("fixed", nothing, exact(1, 1))
	c.write(modify(lldp(nothing)))
	if diff := differ(entities(lldp(nothing)), all()); diff != "" {
		t.Errorf("modified (-want +got):\n%s", diff)
	}
	c.write(remove(lldp(nil)), insert(other)) // the table has room for one
	c.push(reconcile, reworded(config))
	if diff := differ(entities(other), all()); diff != "" {
		t.Errorf("after reconcile (-want +got):\n%s", diff)
	}
	c.push(commitNow, config)
	if diff := differ(entities(lldp(direct(c.action("drop")))), all()); diff != "" {
		t.Errorf("pushed again (-want +got):\n%s", diff)
	}
}

func withConst(e *p4v1.TableEntry) *p4v1.TableEntry {
	e.IsConst = true
	return e
}
