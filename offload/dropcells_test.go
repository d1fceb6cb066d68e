package offload

import (
	"reflect"
	"slices"
	"testing"

	"github.com/weft-sdn/weft/flow"
	"github.com/weft-sdn/weft/p4rt"
	"github.com/weft-sdn/weft/p4src"
)

// TestDropCells: every reason of a half of the pipeline has a cell of its own, within the array, and is found by it.
func TestDropCells(t *testing.T) {
	tables := tablesOf(t)
	if got := int64(1<<12) << 4; tables.ingressVPortDrops.Size != got || tables.egressVPortDrops.Size != got {
		t.Fatalf("%d and %d cells, want %d", tables.ingressVPortDrops.Size, tables.egressVPortDrops.Size, got)
	}
	if n := len(tables.DropQueries(7)); n != len(ingressDrops)+len(egressDrops) {
		t.Errorf("%d cells are asked for", n)
	}
	for _, local := range []uint16{0, 7} { // what comes in by a port that is none's is told by reason, and not as if it were over a vport's rate of floods
		cell := p4rt.CounterCells(tables.ingressVPortDrops, DropCell{local, flow.ReasonFloodRate}.index())
		asked := slices.ContainsFunc(tables.DropQueries(local), func(q p4rt.Query) bool { return reflect.DeepEqual(q, cell) })
		if asked != (local != 0) {
			t.Errorf("floods of number %d are asked for: %v", local, asked)
		}
	}
	for _, local := range []uint16{0, 1, 4095} {
		for _, r := range ingressDrops {
			want := DropCell{local, r}
			if got, egress, ok := tables.DropCellOf(&p4rt.CounterCell{Array: tables.ingressVPortDrops, Index: want.index()}); !ok || egress || got != want {
				t.Errorf("ingress %v: %v, egress %v, %v", want, got, egress, ok)
			}
		}
		for _, r := range egressDrops {
			want := DropCell{local, r}
			if got, egress, ok := tables.DropCellOf(&p4rt.CounterCell{Array: tables.egressVPortDrops, Index: want.index()}); !ok || !egress || got != want {
				t.Errorf("egress %v: %v, egress %v, %v", want, got, egress, ok)
			}
		}
	}
	if d, _, ok := tables.DropCellOf(&p4rt.CounterCell{Array: tables.ingressReasons, Index: 64}); ok {
		t.Errorf("a cell of another counter is %v", d)
	}
}

func tablesOf(t *testing.T) *Tables {
	t.Helper()
	info, err := p4src.Info()
	if err != nil {
		t.Fatal(err)
	}
	schema, err := p4rt.NewSchema(info)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := NewTables(schema)
	if err != nil {
		t.Fatal(err)
	}
	return tables
}
