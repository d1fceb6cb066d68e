package topology

import "slices"

// doorAjar is the part of its rate that an edge has of a link that others use and it does not: what goes by entries that are there already is seen by that.
const doorAjar = 64

// Share is what an edge gets of a rate by what edges want: nobody more than he wants while another one gets less (max-min fairness), and of what nobody wants, all alike. All of them
// together get no more than the rate.
func (r BitRate) Share(wants map[string]BitRate, edge string) BitRate {
	own, uses := wants[edge]
	switch {
	case len(wants) == 0:
		return r
	case !uses:
		return max(r/doorAjar, 1)
	}
	all := make([]BitRate, 0, len(wants))
	for _, w := range wants {
		all = append(all, min(w, r))
	}
	slices.Sort(all)
	left := r
	for i, w := range all {
		fair := left / BitRate(len(all)-i)
		if w >= fair { // nor is any that wants more content
			return max(min(own, fair), 1)
		}
		left -= w
	}
	return own + left/BitRate(len(all))
}
