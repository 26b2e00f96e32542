package match

// Spread runs do for each piece of some work, from 0 on, and returns when all is done. Several may
// run at the same time, each under another number of a worker, from 0 to less than Workers.
type Spread struct {
	Workers int
	Run     func(pieces int, do func(worker, piece int))
}

// spread runs pieces of work, one after another where nothing else is said. What comes out does not
// depend on it.
func (o Options) spread(pieces int, do func(worker, piece int)) {
	if o.Spread.Run != nil {
		o.Spread.Run(pieces, do)
		return
	}
	for piece := range pieces {
		do(0, piece)
	}
}

// workers is how many may run at the same time.
func (o Options) workers() int { return max(1, o.Spread.Workers) }

// chunk is how many things a piece of work is about where each takes little.
const chunk = 1 << 15

func chunks(n int) int { return (n + chunk - 1) / chunk }

func chunkOf(at, n int) (from, to int) { return at * chunk, min(n, (at+1)*chunk) }
