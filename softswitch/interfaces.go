package softswitch

import (
	"fmt"

	"github.com/weft-sdn/weft/softswitch/gnmi"
	"github.com/weft-sdn/weft/softswitch/impair"
)

// interfaces are a switch's ports as gNMI serves them.
type interfaces struct{ s *Server }

// Ports implements gnmi.Switch. Ports of one name have their numbers added.
func (x interfaces) Ports() []gnmi.Port {
	var out []gnmi.Port
	for _, p := range x.s.PortStatus() {
		name := p.Name
		if x.s.portName(p.Number) == "" {
			name = fmt.Sprintf("%s-%d", p.Name, p.Number)
		}
		out = append(out, gnmi.Port{
			Number: uint32(p.Number), Name: name, Enabled: p.Enabled, Up: p.Up, LastChange: p.LastChange, Impairment: p.Impairment,
			InPackets: p.RxPackets, InBytes: p.RxBytes, InDiscards: p.RxDrops,
			OutPackets: p.TxPackets, OutBytes: p.TxBytes, OutDiscards: p.TxDrops,
		})
	}
	return out
}

// SetEnabled implements gnmi.Switch.
func (x interfaces) SetEnabled(port uint32, enabled bool) error {
	return x.s.SetEnabled(uint16(port), enabled)
}

// SetImpairment implements gnmi.Switch.
func (x interfaces) SetImpairment(port uint32, c impair.Config) error {
	return x.s.SetImpairment(uint16(port), c)
}
