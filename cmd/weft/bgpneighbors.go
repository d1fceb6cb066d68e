package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weft-sdn/weft/agent"
	"github.com/weft-sdn/weft/bgp"
)

func newBGPNeighbors() *cobra.Command {
	var q bgpQuery
	var out output
	cmd := &cobra.Command{
		Use:     "neighbors [TENANT/NAME]...",
		Aliases: []string{"neighbours", "neighbor"},
		Short:   "Show BGP sessions in words",
		Long: `Show BGP sessions in words: both ends, what they agreed on, what is exchanged,
and why the session is not up, or was lost the last time. Without a name: all.`,
		Example: `  weft bgp neighbors isp/first
  weft bgp neighbors -o json`,
		ValidArgsFunction: q.complete,
		RunE: func(cmd *cobra.Command, names []string) error {
			for i := range names {
				names[i] = q.named(names[i])
			}
			list, err := q.collect(cmd, names)
			if err != nil {
				return err
			}
			if out.form == "json" {
				err = printJSON(cmd.OutOrStdout(), list)
			} else {
				err = printNeighbors(cmd.OutOrStdout(), list.Sessions, time.Now())
			}
			if err != nil {
				return err
			}
			return unanswered(cmd, list.Errors)
		},
	}
	out.flags(cmd, "text", "json")
	q.in.tenantFlag(cmd)
	q.flags(cmd)
	return cmd
}

func printNeighbors(w io.Writer, sessions []agent.BGPSession, now time.Time) error {
	var b strings.Builder
	for i := range sessions {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "bgpsession/%s\n", sessions[i].Session)
		for _, l := range neighborLines(&sessions[i], now) {
			lead := fmt.Sprintf("  %-12s", l[0])
			for _, part := range wrapText(l[1], helpWidth-len(lead)) {
				fmt.Fprintf(&b, "%s%s\n", lead, part)
				lead = strings.Repeat(" ", len(lead))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// neighborLines are what is told of a session: a word, and text.
func neighborLines(s *agent.BGPSession, now time.Time) [][2]string {
	lines := [][2]string{{"state", stateLine(s, now)}}
	add := func(word, format string, args ...any) {
		lines = append(lines, [2]string{word, fmt.Sprintf(format, args...)})
	}
	if why := problemText(s); why != "" && (s.Flaps == 0 || why != s.LastWhy) {
		add("why", "%s", why)
	}
	if s.Flaps > 0 {
		add("last lost", "%s ago, at %s: %s", age(now.Sub(s.LastLost)), s.LastLost.UTC().Format(time.RFC3339), or(s.LastWhy))
	}
	place := "vport " + s.VPort
	if s.Edge != "" {
		place += ", edge " + s.Edge
	}
	if s.Stack != "" {
		place += ", TCP of " + map[string]string{string(bgp.Kernel): "the kernel", string(bgp.Userspace): "the agent (userspace)"}[s.Stack]
	}
	add("through", "%s", place)
	local := "no address of the neighbour's IP version"
	if s.Local.IsValid() {
		local = s.Local.String()
	}
	add("local", "%s, AS %d, identifier %s", local, s.LocalAS, s.LocalID)
	add("neighbour", "%s", neighborText(s))
	if way := wayText(s); way != "" {
		add("connection", "%s", way)
	}
	add("families", "%s", familiesText(s))
	if s.State == bgp.Established {
		add("timers", "hold time %d s, keepalive %d s, as agreed on; connect retry %d s", s.Hold, s.Keepalive, s.ConnectRetry)
	} else {
		add("timers", "hold time %d s, keepalive %d s, connect retry %d s", s.Hold, s.Keepalive, s.ConnectRetry)
	}
	add("restart", "%s", restartText(s))
	if s.BFD != nil {
		for _, text := range bfdLines(s.BFD, now) {
			add("bfd", "%s", text)
		}
	}
	add("received", "%s", receivedText(s))
	if s.Withheld > 0 {
		add("told", "%d prefixes; %d withheld (weft bgp routes %s --sent --rejected)", s.Advertised, s.Withheld, s.Session)
	} else {
		add("told", "%d prefixes", s.Advertised)
	}
	return lines
}

func stateLine(s *agent.BGPSession, now time.Time) string {
	if s.Problem != "" {
		return "it is not carried out"
	}
	text := string(s.State)
	if !s.Since.IsZero() {
		text += fmt.Sprintf(" for %s, since %s", age(now.Sub(s.Since)), s.Since.UTC().Format(time.RFC3339))
	}
	switch s.Flaps {
	case 0:
		return text + "; never lost"
	case 1:
		return text + "; lost once"
	}
	return fmt.Sprintf("%s; lost %d times", text, s.Flaps)
}

func neighborText(s *agent.BGPSession) string {
	text := fmt.Sprintf("%s, AS %d", s.Peer, s.PeerAS)
	if s.PeerID.IsValid() && !s.PeerID.IsUnspecified() {
		text += ", identifier " + s.PeerID.String()
	}
	if s.PeerAS == s.LocalAS {
		return text + ", internal"
	}
	return text + ", external"
}

// wayText is what is special about the connection.
func wayText(s *agent.BGPSession) string {
	var words []string
	if s.Passive {
		words = append(words, "the neighbour begins")
	}
	if s.Multihop > 0 {
		words = append(words, fmt.Sprintf("%d hops at most", s.Multihop))
	}
	if s.Secret != "" {
		words = append(words, "signed (MD5) with secret "+s.Secret)
	}
	return strings.Join(words, ", ")
}

// familiesText says which families are exchanged.
func familiesText(s *agent.BGPSession) string {
	text := strings.Join(s.Families, ", ")
	if s.State != bgp.Established {
		return text
	}
	var lacks []string
	for _, f := range s.Families {
		if !slices.Contains(s.PeerFamilies, f) {
			lacks = append(lacks, f)
		}
	}
	if len(lacks) > 0 {
		text += "; the neighbour does not have " + strings.Join(lacks, ", ")
	}
	return text
}

// restartText says what becomes of routes when the session is lost.
func restartText(s *agent.BGPSession) string {
	switch {
	case s.PeerID.IsValid() && s.Restart > 0:
		return fmt.Sprintf("graceful: its routes stay while it restarts, %d s at most", s.Restart)
	case s.PeerID.IsValid():
		return "not graceful: its routes go with the session"
	}
	return "not known: the session was never up"
}

// bfdLines say how the way to the neighbour is watched: how it is, what was agreed on, and why it was lost.
func bfdLines(b *bgp.BFD, now time.Time) []string {
	text := b.State
	if !b.Since.IsZero() {
		text += " for " + age(now.Sub(b.Since))
	}
	if b.Diagnostic != "" {
		text += " (" + b.Diagnostic + ")"
	}
	if b.RemoteState != b.State {
		text += ", the neighbour " + b.RemoteState
	}
	if b.Remote == 0 {
		text += "; nothing comes from the neighbour"
	} else {
		text += fmt.Sprintf("; discriminator %d, the neighbour's %d", b.Local, b.Remote)
	}
	if b.Multihop {
		text += "; several hops"
	}
	if b.Strict {
		text += "; strict: the session waits for it"
	}
	lines := []string{text, fmt.Sprintf("asks for %d ms to send, %d ms to receive, multiplier %d", b.MinTx, b.MinRx, b.Multiplier)}
	if b.Remote != 0 {
		lines = append(lines, fmt.Sprintf("sends every %g ms, receives every %g ms, lost after %g ms without, as agreed on", b.Tx, b.Rx, b.Detection))
	}
	if b.Losses > 0 {
		lines = append(lines, fmt.Sprintf("lost %s, the last time %s ago, at %s: %s", times(b.Losses), age(now.Sub(b.LastLost)), b.LastLost.UTC().Format(time.RFC3339), b.LastWhy))
	}
	if b.Refused > 0 {
		lines = append(lines, fmt.Sprintf("%d packets for BFD that came by the port were refused: of no session, wrong, or from too far", b.Refused))
	}
	return lines
}

// times says how often.
func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func receivedText(s *agent.BGPSession) string {
	text := fmt.Sprintf("%d prefixes, %d are routes", s.Received, s.Routes)
	if s.Pending > 0 {
		text += fmt.Sprintf(", %d not in the database yet", s.Pending)
	}
	switch {
	case s.MaxPrefixes == 0:
		return text + "; no limit"
	case s.WarnOnMax:
		return text + fmt.Sprintf("; more than %d a family are warned of", s.MaxPrefixes)
	}
	text += fmt.Sprintf("; more than %d a family stop it", s.MaxPrefixes)
	if s.RestartAfter > 0 {
		text += fmt.Sprintf(", for %d s", s.RestartAfter)
	}
	return text
}
