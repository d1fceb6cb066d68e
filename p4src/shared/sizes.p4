// Table sizes: those that fit on one Tofino 1 pipe with this shape, so that both programs report the same capacities.
#ifndef WEFT_SIZES
#define WEFT_SIZES

const bit<32> SIZE_PORT_MAP      = 4096;
const bit<32> SIZE_PORT_TAGS     = 256;
const bit<32> SIZE_TUNNEL_TERM   = 64;
const bit<32> SIZE_PEER_LIST     = 4096;
const bit<32> SIZE_SRC_CLASS     = 65536;
const bit<32> SIZE_DST_CLASS     = 65536;
const bit<32> SIZE_PUNT_CLASS    = 512;
const bit<32> SIZE_FLOW_EXACT_V4 = 131072;
const bit<32> SIZE_FLOW_EXACT_V6 = 32768;
const bit<32> SIZE_FLOW_WILD_V4  = 4096;
const bit<32> SIZE_FLOW_WILD_V6  = 1024;
const bit<32> SIZE_FLOW_WILD_L2  = 512;
const bit<32> SIZE_LOCATION      = 65536;
const bit<32> SIZE_PEER          = 16384;
const bit<32> SIZE_L2_REWRITE    = 65536;
const bit<32> SIZE_NAT_V4        = 65536;
const bit<32> SIZE_NAT_V6        = 8192;
const bit<32> SIZE_REPLICA       = 16384;
const bit<32> SIZE_UNDERLAY      = 16384;

#endif
