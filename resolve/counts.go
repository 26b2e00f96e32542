package resolve

// Counts says what became of the submissions since the first one, across restarts. Submissions =
// Matched + Created + Review + Unresolved + Duplicates + Pending + Spam + Accepted + Rejected +
// Split + Withdrawn + Refused + Erased, where a confirmation counts as what it confirmed.
type Counts struct {
	// Submissions are all that could be read.
	Submissions int64
	Matched     int64
	Created     int64
	Unresolved  int64
	// Duplicates had been decided before.
	Duplicates int64
	// Pending ones had to be confirmed first. Confirmed and Expired are those of them that were, and
	// that were not in time.
	Pending, Confirmed, Expired int64
	// Spam was kept without effect.
	Spam int64
	// Linked are the edges from a visitor to a record.
	Linked int64
	// Bad records could not be used and went to bad-beacons.
	Bad int64
	// Review made a contact that may be a known one.
	Review int64
	// What people decided.
	Accepted, Rejected, Split, Withdrawn, Refused int64
	// Merged are contacts that another has taken over, Parted those that stand for themselves again.
	Merged, Parted int64
	// Erased are the requests by which somebody was forgotten.
	Erased int64
}

// Counts may be called wherever Apply may be.
func (m *Machine) Counts() Counts { return m.counts }

// Held is what a machine holds.
type Held struct {
	// Edges are pairs of which something is known, HotKeys values that too many records have for
	// them to be compared by.
	Records, Edges, HotKeys int
}

// Held may be called wherever Apply may be.
func (m *Machine) Held() Held {
	return Held{len(m.records.list), len(m.edges.byPair), m.hotKeys}
}

// all lists the counts in the order of the state.
func (c *Counts) all() []*int64 {
	return []*int64{
		&c.Submissions, &c.Matched, &c.Created, &c.Unresolved, &c.Duplicates, &c.Linked, &c.Bad,
		&c.Pending, &c.Confirmed, &c.Expired, &c.Spam, &c.Review, &c.Accepted, &c.Rejected, &c.Split,
		&c.Withdrawn, &c.Refused, &c.Merged, &c.Parted, &c.Erased,
	}
}
