package sessionize

// queue is a binary heap of values by the time at which they are due, in microseconds since the
// epoch. Values due at the same time come out in no particular order.
type queue[T any] []due[T]

type due[T any] struct {
	atUS  int64
	value T
}

func (q *queue[T]) push(atUS int64, value T) {
	h := append(*q, due[T]{atUS: atUS, value: value})
	at := len(h) - 1
	for at > 0 && h[(at-1)/2].atUS > h[at].atUS {
		h[at], h[(at-1)/2] = h[(at-1)/2], h[at]
		at = (at - 1) / 2
	}
	*q = h
}

// dueBefore says whether the first value is due before us.
func (q queue[T]) dueBefore(us int64) bool { return len(q) > 0 && q[0].atUS < us }

// pop takes the first value out. The queue must not be empty.
func (q *queue[T]) pop() T {
	h := *q
	first, last := h[0].value, len(h)-1
	h[0] = h[last]
	h[last] = due[T]{}
	h = h[:last]
	for at := 0; ; {
		least := at
		for child := 2*at + 1; child <= 2*at+2 && child < last; child++ {
			if h[child].atUS < h[least].atUS {
				least = child
			}
		}
		if least == at {
			break
		}
		h[at], h[least] = h[least], h[at]
		at = least
	}
	*q = h
	return first
}
