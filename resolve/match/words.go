package match

import (
	"cmp"
	"slices"
	"strings"
)

// How many phrases a sentence has for a match, and how many against it.
const (
	mostFor     = 4
	mostAgainst = 3
)

// slight is what a phrase weighs at least to be worth a mention, telling what a value weighs that
// is called rare or common, in bits.
const (
	slight  = 0.5
	telling = 2
)

// Sentence says what an explanation comes to: how likely, and what speaks for one and for two. It
// holds no value of a record, so that it may stand where personal data may not.
func (e Explanation) Sentence() string {
	common, apart := e.phrases()
	one := e.Probability >= 0.5
	head := e.likelihood()
	switch {
	case one && len(common) == 0:
		return head + "."
	case one && len(apart) == 0:
		return head + ": " + listed(common) + "."
	case one:
		return head + ": " + listed(common) + ", but " + listed(apart) + "."
	case len(apart) == 0 && len(common) == 0:
		return head + ": they have nothing in common."
	case len(apart) == 0:
		return head + ": nothing in common but " + listed(common) + "."
	case len(common) == 0:
		return head + ": " + listed(apart) + "."
	}
	return head + ": " + listed(apart) + ", despite " + listed(common) + "."
}

// WithoutValues is the explanation without what the records say.
func (e Explanation) WithoutValues() Explanation {
	e.Lines = slices.Clone(e.Lines)
	for i := range e.Lines {
		l := &e.Lines[i]
		l.Left, l.Right, l.LeftSteps, l.RightSteps = "", "", nil, nil
	}
	return e
}

// likelihood begins a sentence.
func (e Explanation) likelihood() string {
	one, two := e.things()
	switch p := e.Probability; {
	case p >= 0.99:
		return "Almost certainly " + one
	case p >= 0.9:
		return "Very likely " + one
	case p >= 0.6:
		return "Probably " + one
	case p >= 0.4:
		return "Perhaps " + one + ", perhaps " + two
	case slices.ContainsFunc(e.Lines, func(l Line) bool {
		return l.Level == levelVeto && l.Weight <= vetoWeight // without it they would be one
	}):
		return "Almost certainly two people of one household"
	case p >= 0.1:
		return "Probably " + two
	case p >= 0.01:
		return "Very likely " + two
	}
	return "Almost certainly " + two
}

// things is what the records are of, one or two of them.
func (e Explanation) things() (one, two string) {
	has := func(kinds ...Kind) bool {
		return slices.ContainsFunc(e.Lines, func(l Line) bool {
			return slices.Contains(kinds, l.Column.Kind)
		})
	}
	switch {
	case has(GivenName, FamilyName, FullName, Date):
		return "one person", "two people"
	case has(Company):
		return "one company", "two companies"
	}
	return "one and the same", "two different ones"
}

// phrases are what the records have in common and what sets them apart, the weightiest first.
func (e Explanation) phrases() (common, apart []string) {
	lines := slices.DeleteFunc(slices.Clone(e.Lines), func(l Line) bool {
		return l.Column.Kind == "" || l.Level == levelNone || abs(l.Weight+l.Rarity) < slight
	})
	slices.SortStableFunc(lines, func(a, b Line) int {
		return cmp.Compare(abs(b.Weight+b.Rarity), abs(a.Weight+a.Rarity))
	})
	for _, l := range lines {
		phrase := l.phrase(e.noun(l.Column))
		if l.Weight+l.Rarity > 0 {
			common = append(common, phrase)
		} else {
			apart = append(apart, phrase)
		}
	}
	return common[:min(len(common), mostFor)], apart[:min(len(apart), mostAgainst)]
}

// noun is what a column is called in a sentence: what it holds where no other holds the same.
func (e Explanation) noun(c Column) string {
	words := strings.ReplaceAll(headerWords(c.Name), "_", " ")
	for _, l := range e.Lines {
		if l.Column.Kind == c.Kind && l.Column.Name != c.Name {
			return words
		}
	}
	switch c.Kind {
	case GivenName, FamilyName, Postcode, Address, Company:
		return string(c.Kind)
	case FullName:
		return "name"
	case EmailKind:
		return "e-mail address"
	case Phone:
		return "phone number"
	case Date:
		if kind, ok := kindByName(c.Name); ok && kind == Date {
			return "date of birth"
		}
	}
	return words
}

// phrase says what a line is, of a column that is called noun.
func (l Line) phrase(noun string) string {
	if l.Level == levelExact {
		switch {
		case l.Rarity >= telling:
			return "the same " + noun + " (rare)"
		case l.Rarity <= -telling:
			return "the same " + noun + " (common)"
		}
		return "the same " + noun
	}
	if text, ok := levelWords()[l.Level]; ok {
		if few := [...]string{1: "one character", 2: "two characters"}; l.Level == levelClose &&
			l.Edits > 0 && l.Edits < len(few) {
			text = "a {} that differs by " + few[l.Edits]
		}
		text = strings.ReplaceAll(text, "{}", noun)
		if rest, ok := strings.CutPrefix(text, "a "+noun); ok && vowel(noun) {
			text = "an " + noun + rest
		}
		return text
	}
	return noun + ": " + l.Level
}

func vowel(word string) bool { return word != "" && strings.IndexByte("aeio", word[0]) >= 0 }

// levelWords are the levels in words; {} stands for the column.
func levelWords() map[string]string {
	return map[string]string{
		"other":                               "a different {}",
		"swapped with the family name":        "given and family name swapped",
		"short form of it":                    "a short form of the same {}",
		levelClose:                            "nearly the same {}",
		"a part or an initial":                "a {} that is a part or the initial of the other one",
		"a part":                              "a {} that is a part of the other one",
		"alike":                               "a similar {}",
		"one edit":                            "a {} that differs by one character",
		"two edits":                           "a {} that differs by two characters",
		"day and month swapped":               "day and month of the {} swapped",
		"two of year, month and day":          "two of year, month and day of the {}",
		"same year":                           "a {} in the same year",
		"within ten years":                    "a {} within ten years of the other one",
		"the same mailbox of a function":      "the same mailbox of a function",
		"same user part":                      "the same part before the @ of the e-mail address",
		"at most two edits":                   "a {} that differs by one or two characters",
		"same user part, made of the name":    "an e-mail address made of the same name",
		"at most two edits, made of the name": "nearly the same {}, made of the name",
		"alike, made of the name":             "a similar {}, made of the name",
		"same but for the country code":       "the same {} but for the country code",
		"same area":                           "a {} of the same area",
		"the same words":                      "the same words in the {}",
		"half the words":                      "half of the words of the {}",
	}
}

// listed joins phrases as a sentence does.
func listed(phrases []string) string {
	last := len(phrases) - 1
	if last < 1 {
		return strings.Join(phrases, "")
	}
	return strings.Join(phrases[:last], ", ") + " and " + phrases[last]
}

func abs(x float64) float64 { return max(x, -x) }
