// Package conntrack has what a network remembers of a connection: its keys, what was translated on its way, and the state of its protocol.
package conntrack
