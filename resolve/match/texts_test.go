package match

import "testing"

func TestTexts(t *testing.T) {
	texts := NewTexts()
	for _, c := range []struct {
		kind        Kind
		a, b        string
		close, like bool
	}{
		{GivenName, "Robert", "Bob", true, true},
		{GivenName, "Katherine", "Katharine", true, true},
		{GivenName, "Ada", "A.", false, true},
		{GivenName, "Ada", "Zoe", false, false},
		{GivenName, "Ada", "", false, false},
		{FamilyName, "Lovelace", "Lovelase", true, true},
		{FamilyName, "Garcia Lopez", "Lopez", false, true},
		{FamilyName, "King", "Ross", false, false},
		{EmailKind, "ada.king@acme.example", "ada.kign@acme.example", true, true},
		{EmailKind, "ada.king@acme.example", "bob.ross@acme.example", false, false},
		{Phone, "+442079460958", "02079460958", true, true},
		{Phone, "+442079460958", "+442079460959", false, true},
		{Phone, "+442079460958", "+4930123456", false, false},
		{Company, "Acme Ltd", "ACME", true, true},
		{Company, "Acme Motor Works", "Motor Works Acme", true, true},
		{Company, "Acme Motors", "Acme Motors Export Services", false, true},
		{Company, "Acme", "Globex", false, false},
	} {
		if got := texts.Alike(c.kind, Close, c.a, c.b); got != c.close {
			t.Errorf("%s %q and %q: close is %v", c.kind, c.a, c.b, got)
		}
		if got := texts.Alike(c.kind, Alike, c.b, c.a); got != c.like {
			t.Errorf("%s %q and %q: alike is %v", c.kind, c.a, c.b, got)
		}
	}
}

// A degree has the levels down to its last, and so more of one person's records than of two
// persons', the vaguer the more of both.
func TestShares(t *testing.T) {
	m := DefaultModel()
	for kind := range degrees() {
		one, two := m.Shares(kind, Close)
		likeOne, likeTwo := m.Shares(kind, Alike)
		exact := m.levels(Column{Kind: kind})[0]
		if !(one > exact.M && likeOne > one && likeOne <= 1) ||
			!(two > exact.U && likeTwo > two && two < one/10) {
			t.Errorf("%s: close %v, %v, alike %v, %v", kind, one, two, likeOne, likeTwo)
		}
	}
}
