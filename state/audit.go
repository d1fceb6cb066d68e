package state

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weft-sdn/weft/topology"
)

// AuditRecord is what one request changed, and who asked for it.
type AuditRecord struct {
	Time    time.Time     `json:"time"` // by the clock of the process that wrote it
	Subject string        `json:"subject"`
	Tenant  string        `json:"tenant,omitempty"` // of who asked; empty: of the provider. One that changes much pushes out records of its own alone
	Token   string        `json:"token,omitempty"`  // id of the token or session that was shown; none: nothing of the kind was
	Request string        `json:"request"`          // id of the request
	Verb    string        `json:"verb"`
	Changes []AuditChange `json:"changes"`

	Revision int64  `json:"-"` // of the change
	Key      string `json:"-"` // where it is, without whose it is: ListAudit goes on behind it
}

// AuditChange is what became of one object.
type AuditChange struct {
	Kind   topology.Kind   `json:"kind"`
	Tenant string          `json:"tenant"`
	Name   string          `json:"name"`
	Before json.RawMessage `json:"before,omitempty"` // none: it was not there
	After  json.RawMessage `json:"after,omitempty"`  // none: it is not there
}

const auditChunk = 100 // changes of one record, beyond which there is another

// storedRecord is an audit record in the form in which it is stored.
type storedRecord struct {
	tenant string
	value  []byte
}

// records are an audit record in the form in which it is stored.
func (n *Notes) records() ([]storedRecord, error) {
	if n.Audit == nil {
		return nil, nil
	}
	var out []storedRecord
	for part := range slices.Chunk(n.Audit.Changes, auditChunk) {
		r := *n.Audit
		r.Changes = part
		b, err := json.Marshal(&r)
		if err != nil {
			return nil, fmt.Errorf("state: audit record: %w", err)
		}
		out = append(out, storedRecord{r.Tenant, b})
	}
	return out, nil
}

// auditKey is that of the i-th record of the change of a generation: no other change is of it, and later ones are of greater ones. Behind that it has whose the record is.
func auditKey(generation int64, i int, tenant string) string {
	return fmt.Sprintf("%s%016x/%04x/%s", auditPrefix, math.MaxInt64-generation, math.MaxUint16-i, tenant)
}

// splitAuditKey returns where a record is in the log, and whose it is.
func splitAuditKey(key string) (place, tenant string) {
	generation, rest, _ := strings.Cut(strings.TrimPrefix(key, auditPrefix), "/")
	i, tenant, _ := strings.Cut(rest, "/")
	return auditPrefix + generation + "/" + i, tenant
}

// IsAuditKey reports whether a text may be AuditRecord.Key.
func IsAuditKey(key string) bool { return strings.HasPrefix(key, auditPrefix) }

// ListAudit returns up to so many records of the audit log, the newest first: those behind a key, unless that is empty. More says whether there are more.
func (s *Store) ListAudit(ctx context.Context, after string, limit int) (records []AuditRecord, more bool, err error) {
	if after != "" {
		after += "0" // which is behind /
	}
	return s.ListAuditFrom(ctx, after, limit)
}

// ListAuditFrom is ListAudit of the record of a key, and those behind it.
func (s *Store) ListAuditFrom(ctx context.Context, from string, limit int) (records []AuditRecord, more bool, err error) {
	if from == "" {
		from = auditPrefix
	}
	if !IsAuditKey(from) {
		return nil, false, fmt.Errorf("%w: key %q", ErrCodec, from)
	}
	resp, err := s.client.Get(ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(auditPrefix)), clientv3.WithLimit(int64(limit)))
	if err != nil {
		return nil, false, fmt.Errorf("state: audit log: %w", err)
	}
	for _, kv := range resp.Kvs {
		r := AuditRecord{Revision: kv.ModRevision}
		r.Key, _ = splitAuditKey(string(kv.Key))
		if err := json.Unmarshal(kv.Value, &r); err != nil {
			return nil, false, fmt.Errorf("%w: key %s: %w", ErrCodec, kv.Key, err)
		}
		records = append(records, r)
	}
	return records, resp.More, nil
}
