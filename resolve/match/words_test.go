package match

import "testing"

func TestSentence(t *testing.T) {
	line := func(kind Kind, name, level string, weight, rarity float64, edits int) Line {
		return Line{
			Column: Column{Name: name, Kind: kind}, Level: level, Weight: weight, Rarity: rarity,
			Edits: edits, Left: "secret", Right: "secret",
		}
	}
	for _, c := range []struct {
		probability float64
		lines       []Line
		want        string
	}{
		{
			0.9999,
			[]Line{
				line(GivenName, "first_name", "close", 4, 0, 1), line(EmailKind, "email", "exact", 12, 3, 0),
				line(Phone, "tel", "exact", 12, 0, 0), line(Place, "city", "other", -3, 0, 0),
				line(Postcode, "zip", "no value", 0, 0, 0),
			},
			"Almost certainly one person: the same e-mail address (rare), the same phone number and a " +
				"given name that differs by one character, but a different city.",
		},
		{
			0.95,
			[]Line{line(Company, "org", "the same words", 8, 0, 0)},
			"Very likely one company: the same words in the company.",
		},
		{
			0.5,
			[]Line{
				line(Date, "dob", "one edit", 4, 0, 1), line(Phone, "home_phone", "exact", 3, -4, 0),
				line(Phone, "work_phone", "other", -1, 0, 0),
			},
			"Perhaps one person, perhaps two people: a date of birth that differs by one character, but " +
				"the same home phone (common) and a different work phone.",
		},
		{
			1e-6,
			[]Line{
				line(GivenName, "first_name", "other", -4, 0, 0), line(EmailKind, "email", "other", -3, 0, 0),
				line(FamilyName, "last_name", "exact", 8, 0, 0),
				{Level: levelVeto, Weight: -30},
			},
			"Almost certainly two people of one household: a different given name and a different " +
				"e-mail address, despite the same family name.",
		},
		{
			0.02,
			[]Line{line(Place, "city", "exact", 3, 0, 0), line(EmailKind, "email", "alike", 0.1, 0, 0)},
			"Very likely two different ones: nothing in common but the same city.",
		},
		{
			1e-6,
			[]Line{
				line(GivenName, "first_name", "other", -4, 0, 0),
				{Level: levelVeto, Weight: -3},
			},
			"Almost certainly two people: a different given name.",
		},
		{0.2, nil, "Probably two different ones: they have nothing in common."},
		{0.7, nil, "Probably one and the same."},
		{
			0.7,
			[]Line{line(EmailKind, "email", "alike", 2, 0, 0), line(Text, "note", "new", -1, 0, 0)},
			"Probably one and the same: a similar e-mail address, but note: new.",
		},
	} {
		e := Explanation{Probability: c.probability, Lines: c.lines}
		if got := e.Sentence(); got != c.want {
			t.Errorf("%v: %s\nwant %s", c.probability, got, c.want)
		}
	}
	e := Explanation{Lines: []Line{line(Text, "note", "exact", 1, 0, 0)}}
	if bare := e.WithoutValues(); bare.Lines[0].Left != "" || e.Lines[0].Left == "" {
		t.Errorf("without values: %+v of %+v", bare, e)
	}
}

// TestLevelWords holds that each shipped level has words of its own.
func TestLevelWords(t *testing.T) {
	for kind, levels := range defaultLevels() {
		for _, l := range levels {
			if _, ok := levelWords()[l.Name]; !ok && l.Name != levelExact {
				t.Errorf("%s: no words for %q", kind, l.Name)
			}
		}
	}
}
