// Package remote has VPNs and their other ends in tests: offices in memory, or an independent process with a device of the kernel's in a network namespace.
package remote
