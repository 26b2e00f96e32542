package resolve

import (
	"cmp"
	"slices"

	"crumbtrail/resolve/match"
	"crumbtrail/schemas"
)

// pair is two records by their numbers, the lesser first.
type pair struct{ left, right uint32 }

func pairOf(i, j uint32) pair { return pair{min(i, j), max(i, j)} }

// edge is what is known of a pair. Nothing of it goes away when contacts become one.
type edge struct {
	// likely and exact are what the model and a strategy say, nil where they say nothing.
	likely, exact *schemas.Edge
	// rulings are what reviews say that hold, in the order of the reviews: the last one counts.
	rulings []ruling
	// put is true where the pair was put out: it has keys on topics.
	put bool
}

// ruling is what a review says of a pair; unspecified: what earlier reviews said holds no more.
type ruling struct {
	review  *review
	verdict schemas.EdgeVerdict
}

// review is a review that holds.
type review struct {
	id        string
	ordinal   int64
	by        string
	decidedUs int64
	rulings   []ruled
}

// ruled is what a review says of a pair.
type ruled struct {
	pair
	verdict schemas.EdgeVerdict
}

// pairs are those that the review is of.
func (r *review) pairs() (list []pair) {
	for _, one := range r.rulings {
		list = append(list, one.pair)
	}
	return list
}

// ruled is what the last review says, nil where none says anything.
func (e *edge) ruled() *ruling {
	n := len(e.rulings)
	if n == 0 || e.rulings[n-1].verdict == schemas.EdgeVerdict_EDGE_VERDICT_UNSPECIFIED {
		return nil
	}
	return &e.rulings[n-1]
}

// link is what the edge says to the clusters beside the model.
func (e *edge) link() match.Link {
	switch r := e.ruled(); {
	case r != nil && r.verdict == schemas.EdgeVerdict_EDGE_VERDICT_REJECTED:
		return match.Apart
	case r != nil, e.exact != nil:
		return match.Same
	}
	return match.Unset
}

// message is the edge as it is put out: what counts of it, and what the model says in any case. One
// that says nothing any more says so since a change.
func (e *edge) message(left, right string, c *change) *schemas.Edge {
	said := &schemas.Edge{DecidedAtUs: c.us, SubmissionId: c.submission}
	switch {
	case e.ruled() != nil:
		r := e.ruled()
		said = &schemas.Edge{
			Verdict: r.verdict, Evidence: r.review.by, DecidedAtUs: r.review.decidedUs,
			SubmissionId: r.review.id,
		}
	case e.exact != nil:
		said = e.exact
	case e.likely != nil:
		said = e.likely
	}
	return &schemas.Edge{
		Left: left, Right: right, Verdict: said.Verdict, Weight: e.likely.GetWeight(),
		Probability: e.likely.GetProbability(), Evidence: said.Evidence, Model: e.likely.GetModel(),
		DecidedAtUs: said.DecidedAtUs, SubmissionId: said.SubmissionId, Refused: e.likely.GetRefused(),
	}
}

// edges holds what is known of pairs, and the reviews that it comes from.
type edges struct {
	byPair         map[pair]*edge
	reviews        map[string]*review
	changed        map[pair]bool   // since the last checkpoint
	changedReviews map[string]bool // since the last checkpoint
}

func newEdges() edges {
	return edges{
		byPair: map[pair]*edge{}, reviews: map[string]*review{}, changed: map[pair]bool{},
		changedReviews: map[string]bool{},
	}
}

func (e *edges) of(p pair) *edge {
	one := e.byPair[p]
	if one == nil {
		one = &edge{}
		e.byPair[p] = one
	}
	return one
}

// hold puts the rulings of a review in.
func (e *edges) hold(r *review) {
	e.reviews[r.id] = r
	for _, one := range r.rulings {
		of := e.of(one.pair)
		of.rulings = append(of.rulings, ruling{r, one.verdict})
		slices.SortFunc(of.rulings, func(a, b ruling) int {
			return cmp.Compare(a.review.ordinal, b.review.ordinal)
		})
	}
}

// withdraw takes the rulings of a review out.
func (e *edges) withdraw(r *review) {
	delete(e.reviews, r.id)
	for _, one := range r.rulings {
		of := e.byPair[one.pair]
		of.rulings = slices.DeleteFunc(of.rulings, func(x ruling) bool { return x.review == r })
	}
}

// exactly reports whether a strategy joins the pair.
func (e *edge) exactly() bool { return e != nil && e.exact != nil }

// rejected reports whether a person said that the pair is two.
func (e *edge) rejected() bool { return e.link() == match.Apart }
