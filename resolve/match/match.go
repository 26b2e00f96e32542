// Package match reads records of people or companies, writes which of them are the same and how
// likely, and guarantees that the order of the records makes no difference, that an empty value is
// neither for nor against, and that every weight can be explained.
//
// It is the model of Fellegi and Sunter: a pair of records gets a level in each column
// (compare.go), a level a weight, the logarithm to base 2 of how much more often pairs of one
// person are on it than pairs of two (train.go, from the records themselves), and the sum of the
// weights is the odds that they are one (weigh.go). Which pairs are looked at is in block.go, how
// pairs become clusters in cluster.go.
package match

// Options are what a run goes by.
type Options struct {
	Model Model
	// Skip names columns that take no part, such as the true answers.
	Skip []string
	// Threshold is the probability from which a pair is a match.
	Threshold float64
	// Review is the probability from which a pair below Threshold is worth a look.
	Review float64
	// Links are what is known of pairs whatever they say; of several of a pair the last holds.
	Links []Linked
	// Progress is told now and then how many pairs have been compared, of how many at most. Nil is
	// told nothing.
	Progress func(done, most uint64)
	// Spread lets several work at the same time; without it, one does.
	Spread Spread
}

// The thresholds that hold unless others are given.
const (
	DefaultThreshold = 0.5
	DefaultReview    = 0.1
)
