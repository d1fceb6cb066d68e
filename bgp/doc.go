// Package bgp speaks BGP for router ports of an edge: packets of sessions come and go through a port, what neighbours tell goes to the database (G1, G2).
package bgp
