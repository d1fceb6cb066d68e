// Package remote is the other end of VPNs, for tests: a site with a host behind WireGuard, in memory, or behind an independent process with a device of the kernel's in a network namespace.
package remote
