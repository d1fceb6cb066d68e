package topology

// ChainSpec is a list of rules (F1). A device or vport runs it over the packets that it receives or sends, a rule by a jump.
type ChainSpec struct {
	Rules   []RuleSpec `json:"rules,omitempty"`
	Default string     `json:"default,omitempty"` // what becomes of a packet that meets no rule: return (default), accept, drop, reject
}

// RuleSpec is one rule of a chain. Rules are tried in order of priority, the smaller first, and then as they are listed; the first that is met decides.
type RuleSpec struct {
	Name     string    `json:"name,omitempty"` // stable: in logs and traces, whatever is put before it; "#3" for the third if there is none
	Priority uint32    `json:"priority,omitempty"`
	Match    MatchSpec `json:"match,omitzero"`
	Not      MatchSpec `json:"not,omitzero"`
	Action   string    `json:"action"`             // accept, drop, reject, return, jump; mark and continue go on with the next rule; snat, masquerade, dnat: see nat
	Chain    string    `json:"chain,omitempty"`    // jump: where to
	Mark     uint32    `json:"mark,omitempty"`     // mark: what later rules can ask for
	NAT      *NATSpec  `json:"nat,omitempty"`      // snat, dnat: what to; masquerade: ports only
	Then     string    `json:"then,omitempty"`     // snat, masquerade, dnat: what follows: continue (default: the next rules see what was translated), accept, return
	WhenAway string    `json:"whenAway,omitempty"` // rules that translate, or ask for states: what becomes of new connections while the database is away: hold (default: dropped), local (begun, and stored later)
	Log      bool      `json:"log,omitempty"`      // the decisions of this rule are logged, rate limited
}

// Words for RuleSpec.WhenAway.
const (
	whenAwayHold  = "hold"
	whenAwayLocal = "local"
)

// NATSpec is what a translation gives the first packet of a connection (N1); all others of the connection get the same, and those of the other direction
// the reverse.
type NATSpec struct {
	Addresses []AddrRange `json:"addresses,omitempty"` // one of them, by hash of the connection; those of the packet's family
	Pool      string      `json:"pool,omitempty"`      // dnat, in place of addresses and ports: one of its members
	From      AddrSpec    `json:"from,omitzero"`       // static, in place of all others: each address of this prefix …
	To        AddrSpec    `json:"to,omitzero"`         // … becomes the one at the same place of this, of the same length. Nothing is remembered; the other direction needs the mirrored rule
	Ports     *PortRange  `json:"ports,omitempty"`     // one of them. None given: snat takes one of a block that the edge leased; without one it keeps the port if it can, else takes one of 1024-65535; dnat keeps it
}

// AddressGroupSpec is a named set of addresses that rules share.
type AddressGroupSpec struct {
	Addresses []AddrSpec `json:"addresses,omitempty"` // prefixes and addresses, of both IP versions
}

// PortGroupSpec is a named set of vports that rules share.
type PortGroupSpec struct {
	Ports []string `json:"ports,omitempty"` // NAME of the same tenant, or TENANT/NAME
}

// FilterSpec names the chains of a device or vport.
type FilterSpec struct {
	Ingress string `json:"ingress,omitempty"` // of packets that enter the device: by this vport, or by any
	Egress  string `json:"egress,omitempty"`  // of packets that leave it
}

func (*ChainSpec) kind() Kind        { return KindChain }
func (*AddressGroupSpec) kind() Kind { return KindAddressGroup }
func (*PortGroupSpec) kind() Kind    { return KindPortGroup }

// eachReference calls f with every field of the match that refers to another object.
func (m *MatchSpec) eachReference(field string, f func(field string, kind Kind, names []string)) {
	each := func(name string, kind Kind, names []string) {
		if len(names) > 0 {
			f(field+name, kind, names)
		}
	}
	each(".inPorts", KindVPort, m.InPorts)
	each(".inPortGroups", KindPortGroup, m.InPortGroups)
	each(".outPorts", KindVPort, m.OutPorts)
	each(".outPortGroups", KindPortGroup, m.OutPortGroups)
	each(".srcGroups", KindAddressGroup, m.SrcGroups)
	each(".dstGroups", KindAddressGroup, m.DstGroups)
}

// filtersOf returns the chains that an object runs, nil if its kind runs none.
func filtersOf(s Spec) *FilterSpec {
	switch s := s.(type) {
	case *BridgeSpec:
		return &s.Filters
	case *RouterSpec:
		return &s.Filters
	case *VPortSpec:
		return &s.Filters
	}
	return nil
}

// withFilters returns a copy of what a router or vport is, with other chains.
func withFilters(s Spec, f FilterSpec) Spec {
	switch s := s.(type) {
	case *RouterSpec:
		c := *s
		c.Filters = f
		return &c
	case *VPortSpec:
		c := *s
		c.Filters = f
		return &c
	}
	return s
}

// names returns the chains that are given.
func (f *FilterSpec) names() []string {
	var n []string
	for _, c := range []string{f.Ingress, f.Egress} {
		if c != "" {
			n = append(n, c)
		}
	}
	return n
}
