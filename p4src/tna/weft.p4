// The pipeline of a weft edge for TNA: Tofino 1. The same tables, keys, actions and ids as ../v1model/weft.p4, which says how a frame goes through them;
// what differs is said in docs/hardware.md.
#include <core.p4>
#include <tna.p4>

#include "../shared/ids.p4"
#include "../shared/sizes.p4"
#include "../shared/reasons.p4"
#include "../shared/headers.p4"
#include "metadata.p4"
#include "units.p4"
#include "parser.p4"
#include "ingress.p4"
#include "egress_parser.p4"
#include "egress.p4"
#include "deparser.p4"

Pipeline(IngressParser(), ingress(), IngressDeparser(), EgressParser(), egress(), EgressDeparser()) pipe;

Switch(pipe) main;
