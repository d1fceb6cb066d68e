// Package p4rt is the controller's hand on P4 targets: it holds a P4Runtime session that
// survives restarts on either side, and turns typed entries into Writes, Reads and packet I/O.
//
// It stands alone: it imports protobuf and gRPC, and nothing of weft.
//
//   - [Schema] is a compiled p4info; names are resolved once, errors name what is missing.
//   - [Entry] is a table entry in one canonical form; [Key] is its comparable identity.
//   - [Session] connects, competes for primary, pushes the pipeline when its cookie differs,
//     and then writes, reads and exchanges packets. It reconnects until its context ends.
//   - [Writer] commits the updates of many goroutines in groups.
//   - [Session.Reconcile] makes a target equal to what is desired, touching nothing that is right.
//   - [Profile] names the known deviations of a target from the P4Runtime specification.
//
// "Spec" in comments is the P4Runtime specification, version 1.5.
package p4rt
