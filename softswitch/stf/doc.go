// Package stf runs Simple Test Framework scripts, the format of p4c's own
// tests, against a compiled program: packets in, packets expected, and the
// table entries, groups and registers in between.
//
// A packet runs through the program before the next statement does, so that a
// test has one outcome. Parse reads a script, New loads the program, and
// Runner.Run says what went wrong.
package stf
