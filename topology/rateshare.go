package topology

import (
	"slices"
	"sort"
)

// doorAjar is the part of its rate that an edge has of a link that others use and it does not: what goes by entries that are there already is seen by that.
const doorAjar = 64

// Division is a rate divided by what those want who use it: nobody gets more than he wants while another one gets less (max-min fairness), and of what nobody wants, all have alike. All of them
// together get no more than the rate.
type Division struct {
	rate  BitRate
	wants []BitRate // of each, in order
	below []BitRate // the sum of those before
	most  BitRate   // what those get who want more than that
	extra BitRate   // what each gets beyond what he wants; 0 unless all have that
}

// Divide divides a rate by what is wanted of it. Zeros are not allowed.
func (r BitRate) Divide(wants []BitRate) Division {
	d := Division{rate: r, wants: make([]BitRate, 0, len(wants)), below: make([]BitRate, len(wants)+1), most: r}
	for _, w := range wants {
		d.wants = append(d.wants, min(w, r))
	}
	slices.Sort(d.wants)
	for i, w := range d.wants {
		d.below[i+1] = d.below[i] + w
	}
	n := len(d.wants)
	switch i := sort.Search(n, func(i int) bool { return d.ends(d.wants[i], d.below[i], n-i) }); {
	case i < n:
		d.most = (r - d.below[i]) / BitRate(n-i)
	case n > 0:
		d.extra = (r - d.below[n]) / BitRate(n)
	}
	return d
}

// ends reports whether one, when those who want less have what they want, gets no more than each of the n that are left.
func (d *Division) ends(want, below BitRate, n int) bool {
	return below >= d.rate || want >= (d.rate-below)/BitRate(n)
}

// Of returns what one gets who wants so much: one of those that it was divided by, or, 0, another one.
func (d *Division) Of(want BitRate) BitRate {
	switch {
	case len(d.wants) == 0:
		return d.rate
	case want == 0:
		return max(d.rate/doorAjar, 1)
	}
	return max(min(want, d.most)+d.extra, 1)
}

// IfAll returns what one of those that it was divided by, who wants so much, would get if he wanted all.
func (d *Division) IfAll(want BitRate) BitRate {
	own, found := slices.BinarySearch(d.wants, min(want, d.rate))
	if !found {
		return d.Of(want)
	}
	others := len(d.wants) - 1
	at := func(i int) (want, below BitRate) {
		if i < own {
			return d.wants[i], d.below[i]
		}
		return d.wants[i+1], d.below[i+1] - d.wants[own]
	}
	i := sort.Search(others, func(i int) bool {
		want, below := at(i)
		return d.ends(want, below, others+1-i)
	})
	below := d.below[len(d.wants)] - d.wants[own]
	if i < others {
		_, below = at(i)
	}
	if below >= d.rate {
		return 1
	}
	return max((d.rate-below)/BitRate(others+1-i), 1)
}

// Share is what an edge gets of a rate by what edges want.
func (r BitRate) Share(wants map[string]BitRate, edge string) BitRate {
	all := make([]BitRate, 0, len(wants))
	for _, w := range wants {
		all = append(all, w)
	}
	d := r.Divide(all)
	return d.Of(wants[edge])
}
