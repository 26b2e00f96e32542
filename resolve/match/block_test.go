package match

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestSortKeyed holds the sort by bits against the library's, on keys that are all over and on keys
// that are nearly the same.
func TestSortKeyed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOf(rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 3),
			rapid.Uint64Range(1<<63, 1<<63+5))).Draw(t, "keys")
		var got []keyed
		for i, key := range keys {
			got = append(got, keyed{key, uint32(i)})
		}
		want := slices.Clone(got)
		slices.SortStableFunc(want, func(a, b keyed) int { return cmp.Compare(a.key, b.key) })
		if sortKeyed(got); !slices.Equal(got, want) {
			t.Fatalf("sorted to %v, want %v", got, want)
		}
	})
}

// TestEachPairOnce holds that the stretches together have every pair of a block once.
func TestEachPairOnce(t *testing.T) {
	p := newPeople(12, 3000)
	r, err := p.set(inOrder(3000)).normalise(defaults())
	if err != nil {
		t.Fatal(err)
	}
	b := newBlocks(r, defaults())
	got := map[[2]uint32]int{}
	for _, s := range r.stretches(b) {
		r.eachPair(b, s, func(i, j uint32) { got[[2]uint32{i, j}]++ })
	}
	r.everyPair(func(i, j uint32) {
		_, together := b.together(i, j)
		if n := got[[2]uint32{i, j}]; n != 1 && together || n != 0 && !together {
			t.Fatalf("the pair %d, %d comes %d times", i, j, n)
		}
	})
	if r.most(b) < uint64(len(got)) || len(got) == 0 {
		t.Errorf("%d pairs, at most %d", len(got), r.most(b))
	}
}

func TestTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "keys")
		var ids table
		known := []byte{0}
		for _, key := range keys {
			hash := func(id uint32) uint64 { return uint64(known[id]) * 31 }
			slot := ids.slot(uint64(key)*31, func(id uint32) bool { return known[id] == key })
			if *slot == 0 {
				*slot = uint32(len(known))
				known = append(known, key)
				ids.added(hash)
			} else if known[*slot] != key {
				t.Fatalf("%d is taken for %d", key, known[*slot])
			}
		}
		distinct := slices.Clone(known[1:])
		slices.Sort(distinct)
		if len(slices.Compact(distinct)) != len(known)-1 {
			t.Fatal("a key has two ids")
		}
	})
}
