package state

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/weft-sdn/weft/topology"
)

// RuleTally is how many packets met a rule. It never decreases.
type RuleTally struct {
	Tally
	Live Tally `json:"live"` // of it, what was read from counters that the target had when it was written
}

// RuleHits are the packets that came in at an edge and met rules of a chain (O2).
type RuleHits struct {
	Edge  string               `json:"-"`
	Chain topology.DeviceID    `json:"-"`
	Rules map[string]RuleTally `json:"rules"` // by name; empty: the chain's default
	To    time.Time            `json:"to"`    // by the clock of the edge's agent: until when
	Run   int64                `json:"run"`   // process that wrote it, and how often
	Seq   uint64               `json:"seq"`

	Revision int64        `json:"-"` // at which it was stored
	Object   topology.Ref `json:"-"` // to be stored: the chain's name
}

func ruleHitsOf(chain topology.DeviceID) string {
	return ruleHitsPrefix + strconv.FormatUint(uint64(chain), 10) + "/"
}

// SaveRuleHits stores what an edge has counted of some chains, as SaveUsage does usage. Of a chain that there is not any more nothing is stored.
func (s *Store) SaveRuleHits(ctx context.Context, all []RuleHits, done func(i int, stored RuleHits, err error)) {
	for i, h := range all {
		key := ruleHitsOf(h.Chain) + url.PathEscape(h.Edge)
		value, err := json.Marshal(h)
		if err == nil {
			err = s.writer.Submit(Op{Key: key, Value: value, Expect: h.Revision, Guard: confKey(h.Object), fence: fenceOf(ctx)}, func(r OpResult, err error) {
				stored := h
				stored.Revision = r.Revision
				if err == nil && !r.Applied {
					stored = RuleHits{}
					if r.ModRevision != 0 {
						stored, err = parseRuleHits(key, r.Value, r.ModRevision)
					}
				}
				done(i, stored, err)
			})
		}
		if err != nil {
			done(i, RuleHits{}, err)
		}
	}
}

// RuleHits reads what edges have counted; chain 0: of all chains.
func (s *Store) RuleHits(ctx context.Context, chain topology.DeviceID) ([]RuleHits, error) {
	prefix := ruleHitsPrefix
	if chain != 0 {
		prefix = ruleHitsOf(chain)
	}
	return readAll(ctx, s, prefix, "rule hits", parseRuleHits)
}

func parseRuleHits(key string, value []byte, revision int64) (h RuleHits, err error) {
	id, name, ok := strings.Cut(strings.TrimPrefix(key, ruleHitsPrefix), "/")
	edge, err := url.PathUnescape(name)
	n, bad := strconv.ParseUint(id, 10, 24)
	if err != nil || !ok || bad != nil {
		return h, fmt.Errorf("%w: key %q", ErrCodec, key)
	}
	if err := json.Unmarshal(value, &h); err != nil {
		return h, fmt.Errorf("%w: %s: %w", ErrCodec, key, err)
	}
	h.Edge, h.Chain, h.Revision = edge, topology.DeviceID(n), revision
	return h, nil
}
