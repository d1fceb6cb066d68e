package engine

import "slices"

// fifo is a queue that keeps its memory: what is taken from its head makes room for what comes.
type fifo[T comparable] struct {
	items []T
	head  int
}

func (q *fifo[T]) len() int { return len(q.items) - q.head }

// all are what it holds, the first one first; not to be kept.
func (q *fifo[T]) all() []T { return q.items[q.head:] }

// push adds one at the end.
func (q *fifo[T]) push(x T) {
	if n := q.len(); len(q.items) == cap(q.items) && q.head > n { // most of the memory is behind the head
		copy(q.items, q.all())
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, x)
}

// pop takes the first one; there must be one.
func (q *fifo[T]) pop() T {
	var none T
	x := q.items[q.head]
	q.items[q.head] = none
	if q.head++; q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return x
}

// last takes the last one; there must be one.
func (q *fifo[T]) last() T {
	n := len(q.items) - 1
	x := q.items[n]
	clear(q.items[n:])
	q.items = q.items[:n]
	return x
}

// remove takes one out, wherever it is.
func (q *fifo[T]) remove(x T) {
	if i := slices.Index(q.all(), x); i >= 0 {
		q.items = slices.Delete(q.items, q.head+i, q.head+i+1)
	}
}
