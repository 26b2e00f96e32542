package match

// Quality holds found pairs against the true ones.
type Quality struct {
	True, Found, Right int
}

// Precision is how many of the found pairs are true.
func (q Quality) Precision() float64 { return ratio(q.Right, q.Found) }

// Recall is how many of the true pairs were found, of all there are.
func (q Quality) Recall() float64 { return ratio(q.Right, q.True) }

// F1 is the harmonic mean of both.
func (q Quality) F1() float64 { return ratio(2*q.Right, q.True+q.Found) }

func ratio(a, b int) float64 {
	if b == 0 {
		return 1
	}
	return float64(a) / float64(b)
}

// Judgement is how a result does against the truth.
type Judgement struct {
	Default   Quality // pairs from the threshold on
	Best      Quality // pairs from the threshold on that would have been best
	Threshold float64 // that threshold
	Clusters  Quality // all pairs within clusters
	Bins      []Bin   // pairs by probability, in tenths from 0 on
}

// Bin is how many of the pairs of like probability are true. With probabilities that mean what
// they say, that is Mean.
type Bin struct {
	From, To, Mean float64
	Pairs, True    int
}

// Share is how many of the pairs are true.
func (b Bin) Share() float64 { return ratio(b.True, b.Pairs) }

// Judge holds a result against the true entity of each record; empty is unknown. Of two files, only
// pairs across count.
func (r *Result) Judge(entity []string, threshold float64) Judgement {
	var j Judgement
	same := func(p Pair) bool { return entity[p.A] == entity[p.B] && entity[p.A] != "" }
	owner, known := make([]uint64, len(entity)), map[string]uint64{"": 0}
	for at, text := range entity {
		number, ok := known[text]
		if !ok {
			number = uint64(len(known))
			known[text] = number
		}
		owner[at] = number
	}
	j.Clusters = Quality{
		True:  r.within(func(at int) uint64 { return owner[at] }),
		Found: r.within(func(at int) uint64 { return uint64(r.Cluster[at]) + 1 }),
		Right: r.within(func(at int) uint64 {
			if owner[at] == 0 {
				return 0
			}
			return uint64(r.Cluster[at])<<32 | owner[at]
		}),
	}
	q := Quality{True: j.Clusters.True}
	j.Default, j.Best, j.Threshold = q, q, 1
	for at, p := range r.Pairs {
		q.Found++
		if same(p) {
			q.Right++
		}
		if p.Probability >= threshold {
			j.Default = q
		}
		last := at+1 == len(r.Pairs) || r.Pairs[at+1].Weight < p.Weight
		if last && q.F1() > j.Best.F1() {
			j.Best, j.Threshold = q, p.Probability
		}
	}
	j.Bins = r.bins(same)
	return j
}

// bins counts the pairs that were kept; of those close to impossible there are too many.
func (r *Result) bins(same func(Pair) bool) []Bin {
	out := make([]Bin, 10)
	for i := range out {
		out[i].From, out[i].To = float64(i)/10, float64(i+1)/10
	}
	count := func(p Pair) {
		b := &out[min(9, int(p.Probability*10))]
		b.Pairs++
		b.Mean += p.Probability
		if same(p) {
			b.True++
		}
	}
	for _, e := range r.edges {
		count(Pair{
			A: int(r.weights.order[e.i]), B: int(r.weights.order[e.j]),
			Probability: probability(float64(e.weight)),
		})
	}
	if r.index != nil {
		for _, p := range r.Pairs { // it keeps no others
			count(p)
		}
	}
	for i := range out {
		out[i].Mean /= max(1, float64(out[i].Pairs))
	}
	return out
}

// within counts the pairs that have the same key; key 0 is of no pair.
func (r *Result) within(key func(at int) uint64) int {
	counts := map[uint64][2]int{}
	for at := range r.Cluster {
		if k := key(at); k != 0 {
			n := counts[k]
			n[r.weights.source[r.place[at]]]++
			counts[k] = n
		}
	}
	total := 0
	for _, n := range counts {
		if r.weights.linked {
			total += n[0] * n[1]
		} else {
			total += n[0] * (n[0] - 1) / 2
		}
	}
	return total
}
