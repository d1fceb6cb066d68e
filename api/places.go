package api

import (
	"sync"

	"github.com/weft-sdn/weft/access"
)

// places are those of watches: so many in all, and of one tenant, or one of the provider's callers, a part of them, so that nobody takes those of the others.
type places struct {
	most, each int

	mu    sync.Mutex
	taken int
	of    map[string]int
}

// Of all places one may take a tenth, and some in any case.
const (
	watchShare = 10
	fewWatches = 10
)

func newPlaces(most int) *places {
	return &places{most: most, each: min(most, max(fewWatches, most/watchShare)), of: map[string]int{}}
}

// placeOf is as whom a caller's watches are counted.
func placeOf(id access.Identity) string {
	if id.Tenant != "" {
		return id.Tenant
	}
	return "provider/" + id.Subject // no tenant is called that
}

// take takes a place; a reason: there is none.
func (p *places) take(who string) (why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.taken >= p.most:
		return "too many watches are open"
	case p.of[who] >= p.each:
		return "too many watches of this tenant, or caller, are open"
	}
	p.taken++
	p.of[who]++
	return ""
}

func (p *places) give(who string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.of[who]--; p.of[who] == 0 {
		delete(p.of, who)
	}
}

func (p *places) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken
}
