// Package topology holds the virtual network: its objects and their validation, and the immutable snapshot that simulations read.
//
// A Snapshot is never changed: With returns the next one, which shares all that did not change, and the dependencies that did (E6).
package topology
