package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/state"
)

func newEtcdStatus() *cobra.Command {
	var db database
	var out output
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the members of the database, and what is wrong with them",
		Long: `Show every member of the database, those not named by --etcd too, one a line.

SIZE is what the file takes, USED the part of it that is not free, QUOTA what it
may take: a database whose file reaches it takes no writes until space is freed
(weft etcd reclaim). What a member says that is wrong is below the table. Any
etcd is shown, weft's own or another. The exit status is 1 if a member is away
or has something to say.`,
		Example: `  weft etcd status
  weft etcd status -o json --etcd https://192.0.2.11:2379`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := db.client()
			if err != nil {
				return err
			}
			all, err := state.Members(cmd.Context(), cfg)
			if err != nil {
				return &databaseError{cfg.Endpoints, err}
			}
			if err := printMembers(cmd.OutOrStdout(), all, out.form); err != nil {
				return err
			}
			for i := range all {
				if len(all[i].Trouble) > 0 {
					return errReported // what is wrong
				}
			}
			return nil
		},
	}
	out.flags(cmd, "table", "json", "yaml")
	db.flags(cmd)
	return cmd
}

func printMembers(w io.Writer, all []state.MemberStatus, form string) error {
	switch form {
	case "json":
		return printJSON(w, all)
	case "yaml":
		return printYAML(w, all)
	}
	var rows [][]string
	var below []string
	for i := range all {
		m := &all[i]
		row := []string{or(m.Name), m.Endpoint, or(m.Version), role(m), "-", "-", "-"}
		if !m.Away {
			row[4], row[5] = humanize.IBytes(uint64(m.Size)), humanize.IBytes(uint64(m.InUse))
		}
		if m.Quota > 0 {
			row[6] = humanize.IBytes(uint64(m.Quota))
		}
		rows = append(rows, row)
		for _, t := range m.Trouble {
			below = append(below, m.Endpoint+": "+t)
		}
	}
	if slices.ContainsFunc(all, func(m state.MemberStatus) bool { return m.Full() }) {
		below = append(below, state.ErrFull.Error())
	}
	if err := table(w, []string{"NAME", "ENDPOINT", "VERSION", "ROLE", "SIZE", "USED", "QUOTA"}, rows); err != nil {
		return err
	}
	_, err := io.WriteString(w, strings.Join(append(below, ""), "\n"))
	return err
}

func role(m *state.MemberStatus) string {
	switch {
	case m.Away:
		return "away"
	case m.Leader:
		return "leader"
	case m.Learner:
		return "learner"
	}
	return "follower"
}

func newEtcdReclaim() *cobra.Command {
	var db database
	cmd := &cobra.Command{
		Use:   "reclaim",
		Short: "Free space in the database, and end the alarm of a full one",
		Long: `Compact the history, have each member make its file smaller, and end the alarm
that a full database raised, if there is room again. Members are done one after
another, the leader last, and it hands over before: a member answers nobody while
it is busy, for seconds per GB. Agents go on with the others.

etcd forgets history by itself but never makes its file smaller: run this now
and then, such as once a week, and when the database is full. The user must have
etcd's role root.`,
		Example: `  weft etcd reclaim
  weft etcd reclaim --etcd https://192.0.2.11:2379,https://192.0.2.12:2379,https://192.0.2.13:2379`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := db.client()
			if err != nil {
				return err
			}
			return reclaim(cmd.Context(), cmd.OutOrStdout(), cfg)
		},
	}
	db.flags(cmd)
	return cmd
}

func reclaim(ctx context.Context, w io.Writer, cfg state.ClientConfig) error {
	var failed error
	did := false
	err := state.Reclaim(ctx, cfg, func(format string, args ...any) {
		did = true
		if _, err := fmt.Fprintf(w, format+"\n", args...); err != nil {
			failed = err
		}
	})
	switch {
	case errors.Is(err, state.ErrNoAnswer) && !did: // else it is a member
		return &databaseError{cfg.Endpoints, err}
	case err != nil:
		return err
	}
	return failed
}
