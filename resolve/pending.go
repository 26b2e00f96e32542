package resolve

import (
	"cmp"
	"container/heap"
	"time"

	"crumbtrail/schemas"
)

const (
	// confirmGrace is how long after its end a pending submission is still held: the confirmation
	// came in time by its collector's clock, and may have waited in a spill. As far may a
	// collector's clock be ahead without harm.
	confirmGrace = int64(time.Hour / time.Microsecond)
	// maxPending bounds how many submissions wait for their confirmation. Beyond it those whose time
	// is up first are given up.
	maxPending = 200_000
	// maxMails bounds how many pending submissions have a mail sent to the same address: a form
	// must not be a way to fill a stranger's mailbox.
	maxMails = 3
)

// waiting is a submission that waits for its confirmation.
type waiting struct {
	id string // of the confirmation
	// submission is what is compared of it.
	submission *schemas.Submission
	// address is its e-mail address, normalised.
	address string
	// place is its index in ends.
	place int
}

// pending holds the submissions that wait for their confirmation.
type pending struct {
	byID map[string]*waiting
	ends ends
	// addresses counts them by address.
	addresses map[string]int
	most      int
	changed   map[string]bool // ids, since the last checkpoint
}

func newPending() pending {
	return pending{
		byID: map[string]*waiting{}, addresses: map[string]int{}, most: maxPending,
		changed: map[string]bool{},
	}
}

// add holds a submission, which is its own from then on, until its confirmation, less what nobody
// compares.
func (p *pending) add(id string, s *schemas.Submission, address string) {
	s.Fields, s.Url, s.Protocol, s.Consents = nil, "", "", nil
	p.put(&waiting{id: id, submission: s, address: address})
	p.changed[id] = true
}

func (p *pending) put(w *waiting) {
	p.byID[w.id] = w
	p.addresses[w.address]++
	heap.Push(&p.ends, w)
}

// take returns the submission that waits for a confirmation and holds it no more, nil where there
// is none.
func (p *pending) take(id string) *schemas.Submission {
	w := p.byID[id]
	if w == nil {
		return nil
	}
	heap.Remove(&p.ends, w.place)
	delete(p.byID, id)
	if p.addresses[w.address]--; p.addresses[w.address] == 0 {
		delete(p.addresses, w.address)
	}
	p.changed[id] = true
	return w.submission
}

// due takes the submission whose time is up first, if it was up before a moment or if too many are
// held; nil where there is none.
func (p *pending) due(us int64) *schemas.Submission {
	if len(p.ends) == 0 {
		return nil
	}
	first := p.ends[0]
	if first.submission.ConfirmUntilUs+confirmGrace >= us && len(p.ends) <= p.most {
		return nil
	}
	return p.take(first.id)
}

// ends is a heap, those first whose time is up first. Those of one moment are in the order of their
// ids, so that a restart changes nothing.
type ends []*waiting

// Len implements heap.Interface, as do the others.
func (e ends) Len() int { return len(e) }

// Less orders by when the time is up.
func (e ends) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(e[i].submission.ConfirmUntilUs, e[j].submission.ConfirmUntilUs),
		cmp.Compare(e[i].id, e[j].id)) < 0
}

// Swap keeps each one's place.
func (e ends) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].place, e[j].place = i, j
}

// Push is for package heap.
func (e *ends) Push(x any) {
	w := x.(*waiting)
	w.place = len(*e)
	*e = append(*e, w)
}

// Pop is for package heap.
func (e *ends) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}
