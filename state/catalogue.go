package state

import (
	"slices"
	"strings"

	"github.com/google/btree"

	"github.com/weft-sdn/weft/topology"
)

// Entry is an object as it is stored. Immutable once it is in a catalogue that was handed out.
type Entry struct {
	Object   *topology.Object
	Revision int64  // at which it was last changed
	JSON     []byte // as stored
	rank     uint8  // of its kind
}

// Catalogue is all stored objects as of one revision, in order of kind, tenant and name. Immutable.
type Catalogue struct {
	Set      *topology.Set
	Revision int64 // of the last change
	order    *btree.BTreeG[*Entry]
}

const catalogueDegree = 32 // children of a node of the order

func newCatalogue() *Catalogue {
	return &Catalogue{Set: new(topology.Set), order: btree.NewG(catalogueDegree, lessEntry)}
}

func lessEntry(a, b *Entry) bool {
	if a.rank != b.rank {
		return a.rank < b.rank
	}
	x, y := &a.Object.Metadata, &b.Object.Metadata
	if c := strings.Compare(tenantOf(x), tenantOf(y)); c != 0 {
		return c < 0
	}
	return x.Name < y.Name
}

func tenantOf(m *topology.Metadata) string {
	if m.Tenant == "" {
		return topology.DefaultTenant
	}
	return m.Tenant
}

func rankOf(k topology.Kind) uint8 { return uint8(slices.Index(topology.Kinds(), k)) }

func newEntry(o *topology.Object, revision int64, value []byte) *Entry {
	return &Entry{Object: o, Revision: revision, JSON: value, rank: rankOf(o.Kind)}
}

// pivot is an entry that sorts where an object would.
func pivot(r topology.Ref) *Entry {
	return &Entry{rank: rankOf(r.Kind), Object: &topology.Object{Kind: r.Kind, Metadata: topology.Metadata{Name: r.Name, Tenant: r.Tenant}}}
}

// Get returns an entry, nil if there is none.
func (c *Catalogue) Get(r topology.Ref) *Entry {
	e, _ := c.order.Get(pivot(r))
	return e
}

// Len returns the number of objects.
func (c *Catalogue) Len() int { return c.order.Len() }

// Walk calls fn with the entries of a kind, in order of tenant and name, until it returns false: those of one tenant, unless that is empty, and of these those behind a name, unless
// that is. With a name and no tenant none is behind it.
func (c *Catalogue) Walk(kind topology.Kind, tenant string, fn func(*Entry) bool) {
	from := pivot(topology.Ref{Kind: kind, Tenant: tenant})
	if tenant == "" {
		from.Object.Metadata.Tenant = "-" // before all names
	}
	rank := from.rank
	c.order.AscendGreaterOrEqual(from, func(e *Entry) bool {
		if e.rank != rank || tenant != "" && e.Object.Tenant() != tenant {
			return false
		}
		return fn(e)
	})
}

// Update is what a change did to one object.
type Update struct {
	Ref           topology.Ref
	Before, After *Entry // nil: absent
}

// Moment is what happened at one revision.
type Moment struct {
	Revision int64
	Updates  []Update
}
