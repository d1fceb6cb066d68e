package main

import (
	"fmt"
	"strings"

	"github.com/weft-sdn/weft/topology"
)

func bgpColumns() (head, more []string) {
	return []string{"VPORT", "LOCAL-AS", "PEER", "PEER-AS", "FAMILIES"}, []string{"HOLD", "MAX-PREFIXES", "IMPORT", "EXPORT", "ADVERTISE"}
}

// bgpCells are the values for columns of a session.
func bgpCells(s *topology.BGPSessionSpec) (row, more []string) {
	families := s.Families
	if len(families) == 0 {
		families = []string{"ipv6"}
		if s.PeerAddress.Is4() {
			families = []string{"ipv4"}
		}
	}
	hold := "90 s"
	if s.HoldTime != 0 {
		hold = fmt.Sprintf("%d s", s.HoldTime)
	}
	most := "-"
	if s.MaxPrefixes != 0 {
		most = fmt.Sprint(s.MaxPrefixes)
	}
	return []string{s.VPort, fmt.Sprint(s.LocalAS), s.PeerAddress.String(), fmt.Sprint(s.PeerAS), strings.Join(families, ", ")},
		[]string{hold, most, filterText(s.Import), filterText(s.Export), fmt.Sprint(len(s.Advertise))}
}

// filterText says how many rules an import or export list has.
func filterText(rules []topology.BGPRuleSpec) string {
	switch len(rules) {
	case 0:
		return "all"
	case 1:
		return "1 rule"
	}
	return fmt.Sprintf("%d rules", len(rules))
}
