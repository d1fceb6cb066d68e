// Table sizes: those that fit on one Tofino 1 pipe with this shape, so that both programs report the same capacities.
#ifndef WEFT_SIZES
#define WEFT_SIZES

#if defined(WEFT_TEST_SIZES)

// For models and tests: as few entries as a network of some hosts takes.
const bit<32> SIZE_VPORTS        = 256;
const bit<32> SIZE_VPORT_DROPS   = 4096;     // SIZE_VPORTS * 16
const bit<32> SIZE_LINKS         = 256;
const bit<32> SIZE_PORT_MAP      = 256;
const bit<32> SIZE_PORT_TAGS     = 256;
const bit<32> SIZE_TUNNEL_TERM   = 512;
const bit<32> SIZE_PEER_LIST     = 256;
const bit<32> SIZE_SRC_CLASS     = 1024;
const bit<32> SIZE_DST_CLASS     = 1024;
const bit<32> SIZE_PUNT_CLASS    = 512;
const bit<32> SIZE_FLOW_EXACT_V4 = 2048;
const bit<32> SIZE_FLOW_EXACT_V6 = 2048;
const bit<32> SIZE_FLOW_WILD_V4  = 512;
const bit<32> SIZE_FLOW_WILD_V6  = 512;
const bit<32> SIZE_FLOW_WILD_L2  = 512;
const bit<32> SIZE_LOCATION      = 1024;
const bit<32> SIZE_PEER          = 1024;
const bit<32> SIZE_L2_REWRITE    = 1024;
const bit<32> SIZE_NAT_V4        = 1024;
const bit<32> SIZE_NAT_V6        = 1024;
const bit<32> SIZE_REPLICA       = 1024;
const bit<32> SIZE_UNDERLAY      = 1024;

#else

const bit<32> SIZE_VPORTS        = 4096;     // local numbers of vports, 0 among them: no more fit in port_map
// Two of them, ingress's and egress's: a counter of packets alone, 32 bits, four to a word of SRAM, is 16 of the 960 blocks of Tofino 1, and one spare;
// the driver adds up what wraps. The meters, which were for 65,536 vports each, gave back more than that.
const bit<32> SIZE_VPORT_DROPS   = 65536;    // SIZE_VPORTS * 16
const bit<32> SIZE_LINKS         = 4096;     // directions of links that have a rate and that flows of this edge pass

const bit<32> SIZE_PORT_MAP      = 4096;
const bit<32> SIZE_PORT_TAGS     = 256;
const bit<32> SIZE_TUNNEL_TERM   = 4096;   // own addresses by three encapsulations, and the multicast addresses of flood domains with members
const bit<32> SIZE_PEER_LIST     = 4096;
const bit<32> SIZE_SRC_CLASS     = 16384;
const bit<32> SIZE_DST_CLASS     = 16384;
const bit<32> SIZE_PUNT_CLASS    = 512;
#if defined(WEFT_RACK_SIZES) // of a rack: more flows of IPv6 for fewer of IPv4, fewer translations, which are a border's
const bit<32> SIZE_FLOW_EXACT_V4 = 98304;
const bit<32> SIZE_FLOW_EXACT_V6 = 45056;
const bit<32> SIZE_NAT_V4        = 16384;
const bit<32> SIZE_NAT_V6        = 2048;
#else                        // of a border, and of what is not hardware
const bit<32> SIZE_FLOW_EXACT_V4 = 131072;
const bit<32> SIZE_FLOW_EXACT_V6 = 32768;
const bit<32> SIZE_NAT_V4        = 65536;
const bit<32> SIZE_NAT_V6        = 8192;
#endif
const bit<32> SIZE_FLOW_WILD_V4  = 4096;
const bit<32> SIZE_FLOW_WILD_V6  = 1024;
const bit<32> SIZE_FLOW_WILD_L2  = 512;
const bit<32> SIZE_LOCATION      = 65536;
const bit<32> SIZE_PEER          = 16384;
const bit<32> SIZE_L2_REWRITE    = 65536;
const bit<32> SIZE_REPLICA       = 8192;
const bit<32> SIZE_UNDERLAY      = 2048;     // two paths to each of a thousand peers: as many as SIZE_PEER has buckets for

#endif

#endif
