package mail

import "testing"

func TestRecipients(t *testing.T) {
	for typed, want := range map[string]string{
		" Ann.B+x@X.example\u200b": "Ann.B+x@x.example",
		"ann@bücher.example.":      "ann@xn--bcher-kva.example",
		"ü@x.example":              "ü@x.example",
		"":                         "",
		"ann":                      "",
		"@x.example":               "",
		"ann@":                     "",
		"a@b@x.example":            "",
		"a b@x.example":            "",
		"a@x.example\r\nBcc: b@c":  "",
		"Ann <ann@x.example>":      "",
		"a@x.example,b@x.example":  "",
		"\"a\"@x.example":          "",
	} {
		if got, err := recipient(typed); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", typed, got, err, want)
		}
	}
}
