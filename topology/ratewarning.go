package topology

import (
	"fmt"

	"github.com/weft-sdn/weft/flow"
)

// RateWarnings tells for which of the objects put the rate of a link may not be held to by all that passes it: a packet takes from no more than flow.MaxLinks of the links on its way, those
// with the least rates (docs/rates.md). They are valid all the same.
func (s *Set) RateWarnings(put []*Object) (warnings Errors) {
	var rated []*Object
	for _, o := range put {
		if p, is := o.Spec.(*VPortSpec); is && p.Rate != 0 && !p.IsExterior() {
			rated = append(rated, o)
		}
	}
	if len(rated) == 0 {
		return nil
	}
	of := s.joined()
	for _, o := range rated {
		rate, n := o.Spec.(*VPortSpec).Rate, 0
		device, _ := o.DeviceRef()
		for _, other := range of.links[of.root(device)] {
			p := other.Spec.(*VPortSpec)
			if other.Ref() == o.Ref() || p.Rate > rate || other.VPortRef(p.Peer) == o.Ref() {
				continue
			}
			n++
		}
		if n < flow.MaxLinks {
			continue
		}
		e := &FieldError{
			Object: o.Ref().String(), Field: "spec.rate", Value: rate.String(),
			Problem: fmt.Sprintf("is not taken from by packets that also pass %d links with no more, of which there are %d that may be on one way", flow.MaxLinks, n),
			Hint:    "let there be fewer limited links on each way (docs/rates.md, \"Several links\")",
		}
		if o.Source != nil {
			e.File, e.Line = o.Source.File, o.Source.Line("spec.rate")
		}
		warnings = append(warnings, e)
	}
	return warnings
}

// joins are devices that packets get from one to another, by links.
type joins struct {
	up    map[Ref]Ref
	links map[Ref][]*Object // by the root of their devices: ports that give their link a rate
}

// joined finds which devices are linked, over others or not.
func (s *Set) joined() *joins {
	j := &joins{map[Ref]Ref{}, map[Ref][]*Object{}}
	var rated []*Object
	for _, o := range s.All() {
		p, is := o.Spec.(*VPortSpec)
		if !is || p.IsExterior() {
			continue
		}
		far := s.Get(o.VPortRef(p.Peer))
		if far == nil {
			continue
		}
		a, _ := o.DeviceRef()
		b, _ := far.DeviceRef()
		j.up[j.root(a)] = j.root(b)
		if p.Rate != 0 {
			rated = append(rated, o)
		}
	}
	for _, o := range rated {
		d, _ := o.DeviceRef()
		j.links[j.root(d)] = append(j.links[j.root(d)], o)
	}
	return j
}

// root is the device that stands for all that are joined.
func (j *joins) root(d Ref) Ref {
	for {
		up, has := j.up[d]
		if !has || up == d {
			return d
		}
		if over, has := j.up[up]; has {
			j.up[d] = over
		}
		d = up
	}
}
