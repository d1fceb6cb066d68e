// Numbers that the control plane and both programs share.
#ifndef WEFT_IDS
#define WEFT_IDS

typedef bit<9>  port_t;
typedef bit<16> vport_t;     // local to an edge, below SIZE_VPORTS, 0 = unset
typedef bit<16> scope_t;     // (vport, destination MAC class), local to an edge, 0 = unset
typedef bit<24> dest_t;      // global id of a vport or group; it is also the tunnel key (E9)
typedef bit<16> peer_t;
typedef bit<16> path_t;      // one way to a peer: addresses, MACs, encapsulation; 0 = none
typedef bit<16> l2_rewrite_t;// 0 = leave MACs alone
typedef bit<16> nat_t;       // translation, 0 = none
typedef bit<16> link_t;      // one direction of a link that has a rate, below SIZE_LINKS, 0 = none

// Port roles are known to the parser. v1model has no port metadata ahead of its parser, so they are ranges there; TNA uses port metadata.
const port_t PORT_CPU          = 510;
const port_t PORT_DROP         = 511;
const port_t PORT_UNDERLAY     = 0x100;   // 256–509 are underlay ports, 0–255 access ports
const port_t PORT_UNDERLAY_BIT = 0x100;

// Packet-out modes.
const bit<8> OUT_PORT = 0;                // raw, through egress_port
const bit<8> OUT_DEST = 1;                // to dest through location, peer and underlay, as a flow's packet would go

// Tunnel kinds.
const bit<2> TUNNEL_NONE   = 0;
const bit<2> TUNNEL_VXLAN  = 1;           // RFC 7348
const bit<2> TUNNEL_GRE    = 2;           // RFC 2784, key by RFC 2890, Ethernet payload
const bit<2> TUNNEL_GENEVE = 3;           // RFC 8926

// Tunnel flags: the 8 reserved bits behind a VNI; in GRE the top 8 bits of the key.
const bit<8> TUNNEL_MOVED = 0x01;         // forwarded once by the vport's former edge; never leaves by a tunnel again

// Where a frame came from: the upper two bits of an index of ingress.reasons.
const bit<2> SIDE_ACCESS   = 0;
const bit<2> SIDE_UNDERLAY = 1;
const bit<2> SIDE_CPU      = 2;

const bit<32> COPY_SESSION = 1;           // clone session of copies to the CPU; the control plane writes it

const bit<2> COLOR_RED = 2;               // of meters, RFC 2698

const bit<2> FRAG_NONE  = 0;
const bit<2> FRAG_FIRST = 1;
const bit<2> FRAG_LATER = 2;

const bit<8> TCP_FIN = 0x01;
const bit<8> TCP_SYN = 0x02;
const bit<8> TCP_RST = 0x04;

const bit<16> ETHERTYPE_IPV4 = 0x0800;
const bit<16> ETHERTYPE_VLAN = 0x8100;
const bit<16> ETHERTYPE_QINQ = 0x88a8;
const bit<16> ETHERTYPE_IPV6 = 0x86dd;
const bit<16> ETHERTYPE_TEB  = 0x6558;    // Ethernet in GRE or Geneve

const bit<8> PROTO_ICMP   = 1;
const bit<8> PROTO_TCP    = 6;
const bit<8> PROTO_UDP    = 17;
const bit<8> PROTO_GRE    = 47;
const bit<8> PROTO_FRAG   = 44;
const bit<8> PROTO_ICMPV6 = 58;
const bit<8> PROTO_SCTP   = 132;

const bit<16> UDP_VXLAN  = 4789;
const bit<16> UDP_GENEVE = 6081;

#endif
