package match

import "slices"

// Stream puts the records one by one, in their order, into an Index that goes by o.Model as it is,
// and returns what became of them in the end.
func (s *Set) Stream(o Options) (*Result, error) {
	names := make([]string, len(s.columns))
	for k, c := range s.columns {
		names[k] = c.name
	}
	columns := o.Model.ColumnsOf(names)
	for k, c := range columns {
		if slices.Contains(o.Skip, c.Name) {
			columns[k].Kind = Ignored
		}
	}
	x, err := NewIndex(columns, o)
	if err != nil {
		return nil, err
	}
	x.compareAll()
	texts := make([]string, len(names))
	for at := range s.Len() {
		for k := range texts {
			texts[k] = s.Text(at, k)
		}
		x.Add(texts)
		if at%told == 0 && o.Progress != nil {
			o.Progress(uint64(at), uint64(s.Len()))
		}
	}
	for _, l := range o.Links {
		x.Link(uint32(l.A), uint32(l.B), l.Link)
	}
	return x.result(s, columns), nil
}

// result says what the records of a set are now.
func (x *Index) result(s *Set, columns []Column) *Result {
	r := &Result{
		set: s, options: x.options, weights: x.weights, comparer: x.comparer, index: x,
		Prior: x.weights.prior, Compared: x.compared, Dropped: mostDropped(x.Hot()),
		Probability: make([]float64, s.Len()),
	}
	for i, least := range x.groups.least {
		r.Cluster = append(r.Cluster, int(least))
		r.place = append(r.place, uint32(i))
	}
	x.order, x.source = r.place, s.source
	for k, c := range x.columns {
		c.finish(x.pools[k])
		r.Columns = append(r.Columns, c.Column)
	}
	for k, c := range columns {
		if x.fields[k].column < 0 && x.fields[k].family < 0 {
			r.Ignored = append(r.Ignored, c)
		}
	}
	r.Dropped = slices.DeleteFunc(r.Dropped, func(d DroppedBlock) bool { return d.Rule == anyPair })
	done := make([]bool, s.Len())
	for i := range uint32(s.Len()) {
		if x.graph.head[i] == 0 || done[i] {
			continue
		}
		component, refused := x.refusals(i)
		for _, member := range component {
			done[member] = true
			r.addPairs(member, refused)
		}
	}
	r.settle()
	return r
}

// addPairs adds the edges of a record with later ones.
func (r *Result) addPairs(i uint32, refused map[[2]uint32]string) {
	for _, e := range r.index.graph.of(i) {
		if e.kind == Unset && e.to > i {
			p := probability(float64(e.weight))
			r.Pairs = append(r.Pairs, Pair{
				int(i), int(e.to), float64(e.weight), p, refused[[2]uint32{i, e.to}],
			})
			r.likely(int(i), int(e.to), p)
		}
	}
}
