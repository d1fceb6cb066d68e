package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/client"
	"github.com/weft-sdn/weft/state"
	"github.com/weft-sdn/weft/topology"
)

// auditQuery is which changes are asked for.
type auditQuery struct {
	in         scope
	who, about string
	limit      int
	out        output
}

func newAudit() *cobra.Command {
	var at reach
	var q auditQuery
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show who changed what, newest first",
		Long: `Show the changes that were made over the API, the newest first: when, who, what
of which object. -o json and yaml have the objects before and after, and the id
of the request. What weft apply wrote to etcd itself is not in it: there nobody
is known.`,
		Example: `  # The last changes
  weft audit

  # Who changed this port, and what was it before?
  weft audit --for vport/acme/web -o json

  # What did ann do?
  weft audit --who user:ann --limit 500`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.limit < 1 {
				return usage(fmt.Errorf("--limit %d: is no number of changes; use 1 or more", q.limit))
			}
			var about topology.Ref
			if q.about != "" {
				refs, err := q.in.refs([]string{q.about})
				if err != nil {
					return usage(fmt.Errorf("--for %w", err))
				}
				about = refs[0]
			}
			rows, err := q.rows(cmd.Context(), &at, about)
			if err != nil {
				return err
			}
			return printAudit(cmd.OutOrStdout(), rows, q.out.form)
		},
	}
	f := cmd.Flags()
	q.out.flags(cmd, "table", "json", "yaml")
	f.StringVar(&q.in.tenant, "tenant", "", "of objects of this `tenant` alone")
	f.StringVar(&q.about, "for", "", "of one `object` alone: KIND/NAME with --tenant, or KIND/TENANT/NAME")
	f.StringVar(&q.who, "who", "", "by this `subject` alone, as in WHO")
	f.IntVar(&q.limit, "limit", 100, "how many at most")
	at.flags(cmd)
	return cmd
}

// mostAuditPage is the most that the API, or the database, is asked for at once.
const mostAuditPage = 1000

// rows reads the changes.
func (q *auditQuery) rows(ctx context.Context, at *reach, about topology.Ref) ([]client.AuditRecord, error) {
	c, err := at.remote()
	if err != nil {
		return nil, err
	}
	if c == nil {
		var rows []client.AuditRecord
		err := at.db.with(ctx, func(store *state.Store) (err error) {
			rows, err = q.stored(ctx, store, about)
			return err
		})
		return rows, err
	}
	defer c.Close()
	ask := url.Values{}
	for name, value := range map[string]string{"tenant": q.in.tenant, "subject": q.who} {
		if value != "" {
			ask.Set(name, value)
		}
	}
	if about.Name != "" {
		ask.Set("kind", string(about.Kind))
		ask.Set("tenant", about.Tenant)
		ask.Set("name", about.Name)
	}
	rows := []client.AuditRecord{}
	for {
		ask.Set("limit", strconv.Itoa(min(q.limit-len(rows), mostAuditPage)))
		page, err := client.View[client.AuditRecord](ctx, c, "audit", ask)
		if err != nil {
			return nil, withAdvice(err)
		}
		rows = append(rows, page.Items...)
		if page.Continue == "" || len(rows) >= q.limit {
			return rows, nil
		}
		ask.Set("continue", page.Continue)
	}
}

// stored reads the changes that the database has.
func (q *auditQuery) stored(ctx context.Context, store *state.Store, about topology.Ref) ([]client.AuditRecord, error) {
	rows := []client.AuditRecord{}
	for key, more := "", true; more; {
		var records []state.AuditRecord
		var err error
		if records, more, err = store.ListAudit(ctx, key, mostAuditPage); err != nil {
			return nil, err
		}
		for i := range records {
			r := &records[i]
			key = r.Key
			for _, c := range r.Changes {
				is := topology.Ref{Kind: c.Kind, Tenant: c.Tenant, Name: c.Name}
				if q.who != "" && r.Subject != q.who || about.Name != "" && is != about || q.in.tenant != "" && c.Tenant != q.in.tenant {
					continue
				}
				rows = append(rows, client.AuditRecord{Revision: r.Revision, Time: r.Time, Subject: r.Subject, Token: r.Token, Request: r.Request, Verb: r.Verb, Object: client.RefOf(is), Before: c.Before, After: c.After})
				if len(rows) == q.limit {
					return rows, nil
				}
			}
		}
	}
	return rows, nil
}

func printAudit(w io.Writer, all []client.AuditRecord, form string) error {
	switch form {
	case "json":
		return printItems(w, all)
	case "yaml":
		return printYAML(w, all)
	}
	now := time.Now()
	rows := make([][]string, len(all))
	for i := range all {
		r := &all[i]
		what := "changed"
		switch {
		case len(r.Before) == 0:
			what = "created"
		case len(r.After) == 0:
			what = "deleted"
		}
		rows[i] = []string{age(max(0, now.Sub(r.Time))), r.Subject, what, auditName(r.Object), fmt.Sprint(r.Revision), r.Verb}
	}
	return table(w, []string{"AGE", "WHO", "WHAT", "OBJECT", "REVISION", "BY"}, rows)
}

// auditName is refName of what a record is of: users and tokens of the provider are of no tenant.
func auditName(r client.Ref) string {
	if r.Tenant == "" {
		return strings.ToLower(string(r.Kind)) + "/" + r.Name
	}
	return refName(r.Topology())
}
