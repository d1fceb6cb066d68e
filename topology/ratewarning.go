package topology

import "fmt"

// RateWarnings tells for which of the objects put the rate of a link is not held to by all that passes it: a packet takes from one of the links on its way, the one with the least rate
// (docs/rates.md). They are valid all the same.
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
		rate, least, n := o.Spec.(*VPortSpec).Rate, (*Object)(nil), 0
		device, _ := o.DeviceRef()
		for _, other := range of.links[of.root(device)] {
			p := other.Spec.(*VPortSpec)
			if other.Ref() == o.Ref() || p.Rate > rate || other.VPortRef(p.Peer) == o.Ref() {
				continue
			}
			if n++; least == nil || p.Rate < least.Spec.(*VPortSpec).Rate {
				least = other
			}
		}
		if n == 0 {
			continue
		}
		e := &FieldError{
			Object: o.Ref().String(), Field: "spec.rate", Value: rate.String(),
			Problem: fmt.Sprintf("is not taken from by packets that also pass a link with no more, such as that of %s, %s", least.Ref(), least.Spec.(*VPortSpec).Rate),
			Hint:    "what meets here over several of these links may be more together (docs/rates.md, \"Several links\")",
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
