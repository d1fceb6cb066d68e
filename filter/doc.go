// Package filter finds the first of many rules that a packet meets, and tells which bits of the packet decided that.
package filter
