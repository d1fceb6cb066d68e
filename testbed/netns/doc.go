// Package netns is a machine made of a network namespace: the kernel's own TCP/IP stack on a TAP interface, and the ping, curl and iperf3 of the system.
package netns
