package main

import (
	"fmt"
	"strings"

	"github.com/weft-sdn/weft/topology"
)

// convenienceCells are the values for columns of what is made into chains.
func convenienceCells(spec topology.Spec) (row, more []string) {
	switch s := spec.(type) {
	case *topology.SecurityGroupSpec:
		row = []string{ruleCount(s.Ingress, "answers alone"), ruleCount(s.Egress, "all")}
	case *topology.FloatingIPSpec:
		row, more = []string{list(s.Addresses), s.VPort, s.Router}, []string{strings.Join(s.Outside, ", "), or(s.Inside)}
	case *topology.SNATGatewaySpec:
		outside := list(s.Addresses)
		if outside == "" {
			outside = "of the port"
		}
		row, more = []string{list(s.Sources), outside, s.Router}, []string{strings.Join(s.Outside, ", ")}
	}
	return row, more
}

// list is values with commas between.
func list[T fmt.Stringer](values []T) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = v.String()
	}
	return strings.Join(words, ", ")
}

// ruleCount says how many rules a security group has for a direction, or what holds without.
func ruleCount(rules []topology.SecurityRule, none string) string {
	switch len(rules) {
	case 0:
		return none
	case 1:
		return "1 rule"
	}
	return fmt.Sprintf("%d rules", len(rules))
}
