package attribute

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestNormaliseEmail(t *testing.T) {
	for _, c := range []struct {
		raw  string
		want Email
	}{
		{"ada@acme.example", Email{Address: "ada@acme.example"}},
		{"\u00a0Ada@Acme.Example\n", Email{
			Address: "ada@acme.example", Steps: []string{"white space trimmed", "lower-cased"},
		}},
		{"ada+a+b@acme.example", Email{Address: "ada@acme.example", Steps: []string{"tag dropped"}}},
		{"+ada@acme.example", Email{Address: "+ada@acme.example"}},
		{"a.d.a+x@googlemail.com", Email{Address: "ada@gmail.com", Steps: []string{
			"tag dropped", "dots dropped, as Gmail does", "googlemail.com read as gmail.com",
		}}},
		{"a.d.a@acme.example", Email{Address: "a.d.a@acme.example"}},
		{"ada@bücher.example", Email{
			Address: "ada@xn--bcher-kva.example", Steps: []string{"domain written in ASCII"},
		}},
		{"ada@acme.example.", Email{
			Address: "ada@acme.example", Steps: []string{"domain written in ASCII"},
		}},
		// NFC: e and its accent, or one letter.
		{"rene\u0301@acme.example", Email{
			Address: "ren\u00e9@acme.example", Steps: []string{"lower-cased"},
		}},
		{"Sales@acme.example", Email{
			Address: "sales@acme.example", Role: true, Steps: []string{"lower-cased"},
		}},
		{"contact-us@acme.example", Email{Address: "contact-us@acme.example", Role: true}},
		{"test.user@example.com", Email{Address: "test.user@example.com"}},
		{"", Email{Fault: EmailEmpty}},
		{" \t", Email{Fault: EmailEmpty}},
		{"N/A", Email{Fault: EmailPlaceholder}},
		{"-", Email{Fault: EmailPlaceholder}},
		{"undefined", Email{Fault: EmailPlaceholder}},
		{"test+1@test.com", Email{Fault: EmailPlaceholder}},
		{"no-reply@acme.example", Email{Fault: EmailPlaceholder}},
		{"No_Reply+7@acme.example", Email{Fault: EmailPlaceholder}},
		{"ada", Email{Fault: EmailMalformed}},
		{"@acme.example", Email{Fault: EmailMalformed}},
		{"ada@", Email{Fault: EmailMalformed}},
		{"ada@acme", Email{Fault: EmailMalformed}},
		{"ada@acme..example", Email{Fault: EmailMalformed}},
		{"ada@-acme.example", Email{Fault: EmailMalformed}},
		{"ada@10.0.0.1", Email{Fault: EmailMalformed}},
		{".ada@acme.example", Email{Fault: EmailMalformed}},
		{"ada@king@acme.example", Email{Fault: EmailMalformed}},
		{"ada king@acme.example", Email{Fault: EmailMalformed}},
		{"ada\x00@acme.example", Email{Fault: EmailMalformed}},
		{"ada\xff@acme.example", Email{Fault: EmailMalformed}},
		{"\"ada\"@acme.example", Email{Fault: EmailMalformed}},
		{strings.Repeat("a", 65) + "@acme.example", Email{Fault: EmailMalformed}},
		{"a@" + strings.Repeat("a", 64) + ".example", Email{Fault: EmailMalformed}},
		{"a@" + strings.Repeat("abc.", 70) + "example", Email{Fault: EmailMalformed}},
	} {
		if diff := cmp.Diff(c.want, NormaliseEmail(c.raw, false)); diff != "" {
			t.Errorf("NormaliseEmail(%q) (-want +got):\n%s", c.raw, diff)
		}
	}
	if got := NormaliseEmail("ada+x@acme.example", true); got.Address != "ada+x@acme.example" {
		t.Errorf("with tags kept: %+v", got)
	}
}

func TestFold(t *testing.T) {
	for raw, want := range map[string]string{
		"O'Brien": "obrien", "O’BRIEN": "obrien", "Łódź": "lodz", "Søren  Ærø": "soren aero",
		"STRAßE": "strasse", "Jean-Luc": "jean luc", "İpek": "ipek", "Ｆｕｌｌ": "full",
		"e\u0301": "e", "李 小龙": "李 小龙",
		"Acme, Inc.": "acme inc", "---": "",
	} {
		if got := Fold(raw); got != want {
			t.Errorf("Fold(%q) = %q, want %q", raw, got, want)
		}
	}
}

func TestClean(t *testing.T) {
	for raw, want := range map[string]string{
		" Ada\t King\n": "Ada King", "n/a": "", "N.A.": "", "-": "", "undefined": "", "Null": "Null",
		"Test": "Test", "a\x00b": "a b", "a\u00adb": "ab", "\xffAda": "Ada",
		strings.Repeat("é", 300): strings.Repeat("é", 200),
	} {
		if got := Clean(raw); got != want {
			t.Errorf("Clean(%q) = %q, want %q", raw, got, want)
		}
	}
}

func TestNormalisePhone(t *testing.T) {
	for raw, want := range map[string]string{
		"+44 (0)20 7946-0958": "+442079460958", "0044 20 7946 0958": "+442079460958",
		"020 7946 0958": "02079460958", "020 7946 0958 ext. 12": "02079460958",
		"＋４４２０７９４６０９５８": "+442079460958",
		"12345": "", "0000000000": "", "1234567890": "",
		"+1234567890123456": "", "n/a": "", "": "", "call me": "",
	} {
		if got := NormalisePhone(raw); got != want {
			t.Errorf("NormalisePhone(%q) = %q, want %q", raw, got, want)
		}
	}
}

// What is kept of a text is what it is compared by after a restart: both are idempotent.
func TestTextIsIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.String().Draw(t, "raw")
		kept := Clean(raw)
		if again := Clean(kept); again != kept {
			t.Fatalf("Clean(%q) = %q, again %q", raw, kept, again)
		}
		folded := Fold(kept)
		if again := Fold(folded); again != folded {
			t.Fatalf("Fold(%q) = %q, again %q", kept, folded, again)
		}
		phone := NormalisePhone(raw)
		if again := NormalisePhone(phone); again != phone {
			t.Fatalf("NormalisePhone(%q) = %q, again %q", raw, phone, again)
		}
	})
}

// FuzzNormaliseEmail holds that normalising is idempotent, gives an address or a fault and never
// both, and that every address has one @ and none of the bytes that keys are made with.
func FuzzNormaliseEmail(f *testing.F) {
	for _, seed := range []string{
		"ada@acme.example", "A.D.A+x@GoogleMail.com", "ren\u00e9@b\u00fccher.example", "n/a",
		"\u0130@x.de",
		"test+1@test.com", "a+@gmail.com", ".+x@gmail.com", "no.reply@acme.example",
	} {
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, raw string, keepTags bool) {
		e := NormaliseEmail(raw, keepTags)
		if (e.Address == "") != (e.Fault != "") || e.Fault != "" && (e.Role || e.Steps != nil) {
			t.Fatalf("NormaliseEmail(%q) = %+v", raw, e)
		}
		if e.Fault != "" {
			return
		}
		if strings.Count(e.Address, "@") != 1 || len(e.Address) > maxEmailBytes ||
			strings.ContainsAny(e.Address, "\x00 \t\n") {
			t.Fatalf("NormaliseEmail(%q) = %+v", raw, e)
		}
		// Whether tags are kept or not: a contact's address is read again after a restart.
		for _, keep := range []bool{keepTags, true} {
			again := NormaliseEmail(e.Address, keep)
			if again.Address != e.Address || again.Role != e.Role || len(again.Steps) > 0 {
				t.Fatalf("NormaliseEmail(%q) = %+v, again %+v", raw, e, again)
			}
		}
	})
}
