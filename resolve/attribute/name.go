package attribute

import (
	"strings"
	"unicode/utf8"
)

// Folding is the step that every name and company goes through.
const Folding = "case, marks and punctuation folded"

// NormaliseName folds a given or a family name and drops titles: Dr. Ada is ada. Short forms are
// no matter of writing, see the package match.
func NormaliseName(raw string) Text {
	return normaliseWords(raw, "titles dropped", dropTitles)
}

// NormaliseFullName is NormaliseName for a name in one field: Meier, Ada is ada meier.
func NormaliseFullName(raw string) Text {
	var s steps
	turned := s.add("family name put last", raw, familyLast(raw))
	t := NormaliseName(turned)
	t.Steps = append(s, t.Steps...)
	return t
}

// NormaliseCompany folds a company's name and drops its legal form: Acme, Inc. is acme.
func NormaliseCompany(raw string) Text {
	return normaliseWords(raw, "legal form dropped", dropLegalForm)
}

// NormaliseAddress folds an address and writes its abbreviations out: 69 Giblin St. is 69 giblin
// street.
func NormaliseAddress(raw string) Text {
	return normaliseWords(raw, "abbreviations written out", writeOut)
}

// NormaliseText folds any other text.
func NormaliseText(raw string) Text { return normaliseWords(raw, "", nil) }

// normaliseWords folds a text, and then goes on with it by a rule that has a name.
func normaliseWords(raw, name string, rule func(folded string) string) Text {
	if strings.TrimFunc(raw, blank) == "" {
		return Text{Fault: Empty}
	}
	var s steps
	folded := Fold(Clean(raw))
	if folded == "" {
		return Text{Fault: Placeholder}
	}
	s.add(Folding, raw, folded)
	if rule != nil {
		folded = s.add(name, folded, rule(folded))
	}
	if noName(folded) {
		return Text{Fault: Placeholder}
	}
	return Text{Folded: folded, Steps: s}
}

func dropTitles(folded string) string {
	return replace(folded, func(words []string) []string {
		if n := len(words); n > 2 && words[n-2] == "ph" && words[n-1] == "d" {
			words = words[:n-2]
		}
		return others(words, titles)
	})
}

func dropLegalForm(folded string) string {
	return replace(folded, func(words []string) []string {
		return others(joinLetters(words, legalForms), legalForms)
	})
}

func writeOut(folded string) string {
	return replace(folded, func(words []string) []string { return others(words, abbreviations) })
}

// replace applies a rule to the words of a text until it changes nothing: what goes may leave
// others side by side. Where nothing would be left the text stays as it is.
func replace(text string, rule func(words []string) []string) string {
	for {
		next := strings.Join(rule(strings.Fields(text)), " ")
		if next == text || next == "" {
			return text
		}
		text = next
	}
}

// others puts other words in the place of some, or none.
func others(words []string, by map[string]string) []string {
	kept := words[:0]
	for _, word := range words {
		if to, ok := by[word]; ok {
			word = to
		}
		if word != "" {
			kept = append(kept, word)
		}
	}
	return kept
}

// joinLetters makes one word of letters that stand alone, where that is one of the words to find:
// s.a.r.l. is sarl.
func joinLetters(words []string, known map[string]string) []string {
	joined := words[:0]
	for i := 0; i < len(words); i++ {
		to, word := i, ""
		for to < len(words) && utf8.RuneCountInString(words[to]) == 1 {
			word += words[to]
			to++
		}
		if _, ok := known[word]; ok && to > i+1 {
			joined = append(joined, word)
			i = to - 1
			continue
		}
		joined = append(joined, words[i])
	}
	return joined
}

// squeeze takes the spaces away.
func squeeze(text string) string { return strings.ReplaceAll(text, " ", "") }

// familyLast turns a name round that has its family name first, told by its only comma. What
// follows a comma and is a title stays there: Ada Meier, PhD.
func familyLast(raw string) string {
	family, given, found := strings.Cut(raw, ",")
	if !found || strings.Contains(given, ",") {
		return raw
	}
	const name = "x " // what is behind it are titles alone, if only it is left
	if dropTitles(name+Fold(given)) == strings.TrimSpace(name) {
		return raw
	}
	return strings.TrimSpace(given) + " " + strings.TrimSpace(family)
}

// titles are words around a name that are none.
var titles = map[string]string{
	"mr": "", "mrs": "", "ms": "", "miss": "", "mx": "", "dr": "", "prof": "", "professor": "",
	"sir": "", "dame": "", "rev": "", "hon": "", "herr": "", "frau": "", "dipl": "", "jr": "",
	"sr": "", "mme": "", "mlle": "", "sra": "", "srta": "", "dott": "", "ing": "", "phd": "",
	"mba": "", "msc": "", "bsc": "", "esq": "",
}

// legalForms are words that say what kind of company it is, and the small words around them.
var legalForms = map[string]string{
	"ltd": "", "limited": "", "inc": "", "incorporated": "", "llc": "", "llp": "", "lp": "",
	"plc": "", "gmbh": "", "mbh": "", "ag": "", "kg": "", "kgaa": "", "ohg": "", "gbr": "",
	"ev": "", "se": "", "co": "", "corp": "", "corporation": "", "company": "",
	"sa": "", "sarl": "", "sas": "", "sasu": "", "eurl": "", "srl": "", "spa": "", "sl": "",
	"slu": "", "bv": "", "nv": "", "bvba": "", "oy": "", "oyj": "", "ab": "", "as": "", "asa": "",
	"aps": "", "pty": "", "pte": "", "sro": "", "kft": "", "zrt": "", "doo": "",
	"ltda": "", "the": "", "and": "", "und": "", "et": "", "y": "", "ug": "",
}

// abbreviations are short forms in an address, and what they stand for.
var abbreviations = map[string]string{
	"st": "street", "rd": "road", "ave": "avenue", "av": "avenue", "blvd": "boulevard",
	"dr": "drive", "ln": "lane", "pl": "place", "ct": "court", "cres": "crescent",
	"cct": "circuit", "hwy": "highway", "sq": "square", "str": "strasse", "apt": "unit",
	"flat": "unit", "n": "north", "s": "south", "e": "east", "w": "west", "pde": "parade",
}
