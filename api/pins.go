package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"sync"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
)

// mostPins is how many old catalogues are kept for those who read them page by page. One that is not kept is read from the database, as long as that has it.
const mostPins = 16

// mostPast is how many at once have the database read as it was: each holds all objects.
const mostPast = 2

// mostTables is how many at once read what neighbours tell: each may hold a table of the Internet.
const mostTables = 2

// pins are the catalogues that pages were read of, the last one last.
type pins struct {
	mu   sync.Mutex
	kept []*state.Catalogue
}

func (p *pins) keep(c *state.Catalogue) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = slices.DeleteFunc(p.kept, func(k *state.Catalogue) bool { return k.Revision == c.Revision })
	if p.kept = append(p.kept, c); len(p.kept) > mostPins {
		p.kept = slices.Delete(p.kept, 0, 1)
	}
}

func (p *pins) find(revision int64) *state.Catalogue {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.kept {
		if c.Revision == revision {
			return c
		}
	}
	return nil
}

// at returns what was stored at a revision.
func (s *Server) at(ctx context.Context, revision int64) (*state.Catalogue, error) {
	c, err := s.catalogue()
	if err != nil {
		return nil, err
	}
	if c.Revision == revision {
		return c, nil
	}
	if old := s.pins.find(revision); old != nil {
		return old, nil
	}
	if revision <= 0 {
		return nil, refuse(http.StatusUnprocessableEntity, "continue: is of no list")
	}
	select { // the token may be made up: anybody can have it read
	case s.past <- struct{}{}:
		defer func() { <-s.past }()
	case <-ctx.Done():
		return nil, busy("too many read what was stored earlier")
	}
	return s.store.CatalogueAt(ctx, revision)
}

// place is where a list goes on. It is what a continue token says.
type place struct {
	Revision int64      `json:"r"`
	After    client.Ref `json:"a"`
	Query    string     `json:"q"` // of which it is: a token is of no other list
}

func (p place) token() string {
	b, _ := json.Marshal(p) // of texts and a number
	return base64.RawURLEncoding.EncodeToString(b)
}

func parsePlace(token, query string) (p place, err error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	switch {
	case err != nil:
		return p, parameter("continue", token, "is not what a list gave", "use it as it was, or leave it out")
	case p.Query != query:
		return p, parameter("continue", token, "is of another list", "ask for the same objects in the same order, or leave it out")
	}
	return p, nil
}
