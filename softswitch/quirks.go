package softswitch

// Quirks make the switch deviate from the specification as other targets do, so that
// controllers can be tested against them. The zero value is a strict target.
type Quirks struct {
	PromotesNext    bool   // when the primary leaves, the backup with the highest id takes over
	OpenWrites      bool   // a Write without election id is accepted from anyone
	IgnoresRoles    bool   // every role is the default one
	FullIsUnknown   bool   // an entry too many is UNKNOWN, not RESOURCE_EXHAUSTED
	WholeReads      bool   // a Read is answered in one message, however large
	NoReconcile     bool   // RECONCILE_AND_COMMIT is UNIMPLEMENTED
	NoAtomicBatches bool   // batches other than CONTINUE_ON_ERROR are UNIMPLEMENTED
	SilentPacketOut bool   // a malformed packet-out is dropped without a word
	MaxGroupID      uint32 // largest multicast group id; 0 means 65535
}

// BMv2 are the ways of simple_switch_grpc 1.15.
func BMv2() Quirks {
	return Quirks{PromotesNext: true, OpenWrites: true, IgnoresRoles: true, FullIsUnknown: true, WholeReads: true,
		NoReconcile: true, NoAtomicBatches: true, SilentPacketOut: true, MaxGroupID: 1<<15 - 1}
}

// Stratum are ways of Stratum on Tofino.
func Stratum() Quirks {
	return Quirks{IgnoresRoles: true, NoReconcile: true, NoAtomicBatches: true}
}
