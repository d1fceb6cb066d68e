// Package monitor tells which members of a pool answer: when to probe them, what a probe is, and what answers mean. It has no clock, store or network.
package monitor
