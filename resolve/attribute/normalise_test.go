package attribute

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nyaruka/phonenumbers"
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
		{"Ada.King@Outlook.com", Email{
			Address: "ada.king@outlook.com", Steps: []string{"lower-cased"},
		}},
		{"ada+x@hotmail.co.uk", Email{Address: "ada@hotmail.co.uk", Steps: []string{"tag dropped"}}},
		{"ada-shop@yahoo.co.uk", Email{Address: "ada@yahoo.co.uk", Steps: []string{
			"what is behind the hyphen dropped, as Yahoo does",
		}}},
		{"ada-king@yahoo-inc.com", Email{Address: "ada-king@yahoo-inc.com"}},
		{"ada@me.com", Email{
			Address: "ada@icloud.com", Steps: []string{"me.com read as icloud.com"},
		}},
		{"a.d-a@pm.me", Email{Address: "ada@proton.me", Steps: []string{
			"dots, hyphens and underscores dropped, as Proton does", "pm.me read as proton.me",
		}}},
		{"ada.king@ya.ru", Email{Address: "ada-king@yandex.ru", Steps: []string{
			"dots read as hyphens, as Yandex does", "ya.ru read as yandex.ru",
		}}},
		{"", Email{Fault: Empty}},
		{" \t", Email{Fault: Empty}},
		{"N/A", Email{Fault: Placeholder}},
		{"-", Email{Fault: Placeholder}},
		{"undefined", Email{Fault: Placeholder}},
		{"test+1@test.com", Email{Fault: Placeholder}},
		{"Test@Example.com", Email{Fault: Placeholder}},
		{"asdf@asdf.org", Email{Fault: Placeholder}},
		{"xx@xx.xx", Email{Fault: Placeholder}},
		{"ada@acme.invalid", Email{Fault: Placeholder}},
		{"Anonymous", Email{Fault: Placeholder}},
		{"[object Object]", Email{Fault: Placeholder}},
		{"ada@test.com", Email{Address: "ada@test.com"}},
		{"ada@ada.org", Email{Address: "ada@ada.org"}},
		{"no-reply@acme.example", Email{Fault: Placeholder}},
		{"No_Reply+7@acme.example", Email{Fault: Placeholder}},
		{"ada", Email{Fault: Malformed}},
		{"@acme.example", Email{Fault: Malformed}},
		{"ada@", Email{Fault: Malformed}},
		{"ada@acme", Email{Fault: Malformed}},
		{"ada@acme..example", Email{Fault: Malformed}},
		{"ada@-acme.example", Email{Fault: Malformed}},
		{"ada@10.0.0.1", Email{Fault: Malformed}},
		{".ada@acme.example", Email{Fault: Malformed}},
		{"ada@king@acme.example", Email{Fault: Malformed}},
		{"ada king@acme.example", Email{Fault: Malformed}},
		{"ada\x00@acme.example", Email{Fault: Malformed}},
		{"ada\xff@acme.example", Email{Fault: Malformed}},
		{"\"ada\"@acme.example", Email{Fault: Malformed}},
		{strings.Repeat("a", 65) + "@acme.example", Email{Fault: Malformed}},
		{"a@" + strings.Repeat("a", 64) + ".example", Email{Fault: Malformed}},
		{"a@" + strings.Repeat("abc.", 70) + "example", Email{Fault: Malformed}},
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
	for _, c := range []struct {
		raw, region string
		want        Phone
	}{
		{"+44 (0)20 7946-0958", "", Phone{
			Number: "+442079460958", Steps: []string{"written as E.164"},
		}},
		{"0044 20 7946 0958", "", Phone{
			Number: "+442079460958", Steps: []string{"written as E.164"},
		}},
		{"+442079460958", "DE", Phone{Number: "+442079460958"}},
		{"020 7946 0958", "", Phone{Number: "02079460958", Steps: []string{"digits alone"}}},
		{"020 7946 0958", "GB", Phone{Number: "+442079460958", Steps: []string{
			"read as a number of GB", "written as E.164",
		}}},
		{"020 7946 0958 ext. 12", "GB", Phone{Number: "+442079460958;ext=12", Steps: []string{
			"read as a number of GB", "written as E.164",
		}}},
		{"020 7946 0958 x12", "", Phone{
			Number: "02079460958;ext=12", Steps: []string{"digits alone"},
		}},
		{"030/123 456-78", "DE", Phone{Number: "+493012345678", Steps: []string{
			"read as a number of DE", "written as E.164",
		}}},
		{"06 698 12345", "IT", Phone{Number: "+390669812345", Steps: []string{
			"read as a number of IT", "written as E.164",
		}}},
		{"＋４４２０７９４６０９５８", "", Phone{
			Number: "+442079460958", Steps: []string{"written as E.164"},
		}},
		{"12344", "", Phone{Text: "12344", Fault: Malformed}},
		{"020 79", "GB", Phone{Text: "4402079", Fault: Malformed}},
		{"+4420794609581234", "", Phone{Text: "4420794609581234", Fault: Malformed}},
		{"call me", "GB", Phone{Fault: Malformed}},
		{"0000000000", "", Phone{Fault: Placeholder}},
		{"1234567890", "", Phone{Fault: Placeholder}},
		{"+1 987 654 3210", "", Phone{Fault: Placeholder}},
		{"+49 1111111111", "", Phone{Fault: Placeholder}},
		{"0123456789", "DE", Phone{Fault: Placeholder}},
		{"n/a", "", Phone{Fault: Placeholder}},
		{" ", "GB", Phone{Fault: Empty}},
		{strings.Repeat("1", 300), "GB", Phone{Fault: Malformed}},
	} {
		if diff := cmp.Diff(c.want, NormalisePhone(c.raw, c.region)); diff != "" {
			t.Errorf("NormalisePhone(%q, %q) (-want +got):\n%s", c.raw, c.region, diff)
		}
	}
}

func TestNormaliseWords(t *testing.T) {
	for name, read := range map[string]struct {
		read func(string) Text
		want map[string]string
	}{
		"name": {NormaliseName, map[string]string{
			"Dr. Ada": "ada", "Prof. Dr. Müller": "muller", "Jean-Luc": "jean luc", "O'Brien": "obrien",
			"Ada King Ph.D.": "ada king", "J. R.": "j r", "Dr.": "dr", "Anonymous": "", "N/A": "", "Null": "null", "Guest": "guest",
			"van der Berg": "van der berg", "+++": "",
		}},
		"full name": {NormaliseFullName, map[string]string{
			"Meier, Ada": "ada meier", "MEIER , Dr. Ada": "ada meier", "Ada Meier, PhD": "ada meier",
			"Ada Meier, Ph.D.": "ada meier", "Meier, Ada, Berlin": "meier ada berlin", "Ada Meier": "ada meier",
		}},
		"company": {NormaliseCompany, map[string]string{
			"The Acme Company, Inc.": "acme", "Acme S.A.R.L.": "acme", "Acme S. p. A.": "acme",
			"Müller GmbH & Co. KG": "muller", "Company Ltd": "company ltd", "H & M": "h m",
			"S. Co. A.": "s a", "n/a": "",
		}},
		"address": {NormaliseAddress, map[string]string{
			"69 Giblin St.": "69 giblin street", "5 S. Oak Ave": "5 south oak avenue",
		}},
	} {
		for raw, want := range read.want {
			got := read.read(raw)
			if got.Folded != want || (want == "") != (got.Fault != "") {
				t.Errorf("%s %q is %+v, want %q", name, raw, got, want)
			}
			if got.Folded != raw && got.Folded != "" && len(got.Steps) == 0 {
				t.Errorf("%s %q became %q, and no step is named", name, raw, got.Folded)
			}
		}
	}
	for _, raw := range []string{"Anna-Maria", "Anna Maria", "ANNAMARIA", "Anna‐Maria"} {
		if key := NormaliseName(raw).Key(); key != "annamaria" {
			t.Errorf("%q is found by %q", raw, key)
		}
	}
}

func TestRules(t *testing.T) {
	n := New(Rules{
		MailDomains: map[string]string{"Acme.co.example": "acme.example"},
		Deny: Deny{
			Emails: []string{
				"Front.Desk@hotel.example", "@kiosk.example", "shared@", "a.d.a@gmail.com", "@", "x",
			},
			Phones: []string{"+44 20 7946 0958", "none"}, Names: []string{"Test-User", "-"},
			Companies: []string{"Self employed"}, Visitors: []string{"kiosk-1"},
		},
	})
	for raw, want := range map[string]Email{
		"ada@acme.co.example": {
			Address: "ada@acme.example", Steps: []string{"acme.co.example read as acme.example"},
		},
		"FRONT.DESK@hotel.example": {Fault: Denied}, "front.desk+7@hotel.example": {Fault: Denied},
		"ada@kiosk.example": {Fault: Denied}, "ada@shop.kiosk.example": {Fault: Denied},
		"shared@acme.example": {Fault: Denied}, "ada@gmail.com": {Fault: Denied},
		"ada@mykiosk.example": {Address: "ada@mykiosk.example"}, "n/a": {Fault: Placeholder},
	} {
		if diff := cmp.Diff(want, n.Email(raw)); diff != "" {
			t.Errorf("address %q (-want +got):\n%s", raw, diff)
		}
	}
	for raw, want := range map[string]Fault{
		"020 7946 0958": Denied, "+442079460958": Denied, "020 7946 0959": "", "": Empty,
	} {
		if got := n.Phone(raw, "GB"); got.Fault != want {
			t.Errorf("number %q is %+v, want fault %q", raw, got, want)
		}
	}
	for raw, want := range map[string]Fault{
		"TestUser": Denied, "Ada": "", "": Empty, "?": Placeholder,
	} {
		if got := n.Name(raw); got.Fault != want {
			t.Errorf("name %q is %+v, want fault %q", raw, got, want)
		}
	}
	if got := n.Company("self-employed Ltd"); got.Fault != Denied {
		t.Errorf("company is %+v", got)
	}
	for id, want := range map[string]Fault{
		"kiosk-1": Denied, "kiosk-2": "", "": Empty, "Undefined": Placeholder, "0": Placeholder,
		"distinct_id": Placeholder, "00000000-0000-0000-0000-000000000000": Placeholder,
	} {
		if got := n.Visitor(id); got != want {
			t.Errorf("visitor %q has fault %q, want %q", id, got, want)
		}
	}
}

// What is read directly is read as the library does, whatever begins with a code.
func TestDirect(t *testing.T) {
	codes := slices.Sorted(maps.Keys(trunks))
	read := 0
	rapid.Check(t, func(t *rapid.T) {
		text := "+" + rapid.SampledFrom(codes).Draw(t, "code") +
			rapid.StringMatching(`[0-9]{4,13}`).Draw(t, "national")
		got := direct(text)
		if got == nil {
			return
		}
		read++
		want, err := phonenumbers.Parse(text, "")
		if err != nil || phonenumbers.Format(got, phonenumbers.E164) !=
			phonenumbers.Format(want, phonenumbers.E164) ||
			phonenumbers.IsPossibleNumberWithReason(got) != phonenumbers.IsPossibleNumberWithReason(want) {
			t.Fatalf("%s is %v, want %v, %v", text, got, want, err)
		}
	})
	if read == 0 {
		t.Error("nothing is read directly")
	}
}

// A number that has been read is read the same after it was forgotten.
func TestPhoneCache(t *testing.T) {
	c := newPhoneCache()
	for i := range 3 * phonesKept {
		raw := fmt.Sprintf("020 79%06d", i%(2*phonesKept+1))
		if got, want := c.phone(raw, "GB"), NormalisePhone(raw, "GB"); got.Number != want.Number {
			t.Fatalf("%q is %+v, want %+v", raw, got, want)
		}
		if len(c.newer)+len(c.older) > 2*phonesKept {
			t.Fatalf("%d numbers are remembered", len(c.newer)+len(c.older))
		}
	}
	if c.phone("020 7946 0958", "").Number == c.phone("020 7946 0958", "GB").Number {
		t.Error("a number is remembered without its region")
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
	})
}

// FuzzNormalisePhone holds that normalising is idempotent, gives a number or a fault and never
// both.
func FuzzNormalisePhone(f *testing.F) {
	f.Add("+44 (0)20 7946-0958 ext. 12", "GB")
	f.Add("020 7946 0958;ext=12", "")
	f.Add("1-800-FLOWERS", "US")
	f.Add("tel:7042;phone-context=example.com", "US")
	f.Fuzz(func(t *testing.T, raw, region string) {
		if !IsRegion(region) {
			region = ""
		}
		p := NormalisePhone(raw, region)
		if (p.Number == "") != (p.Fault != "") || p.Fault != "" && p.Steps != nil ||
			strings.ContainsAny(p.Number+p.Text, "\x00 \t\n") {
			t.Fatalf("NormalisePhone(%q, %q) = %+v", raw, region, p)
		}
		if p.Fault != "" {
			return
		}
		if again := NormalisePhone(p.Number, region); again.Number != p.Number || len(again.Steps) > 0 {
			t.Fatalf("NormalisePhone(%q, %q) = %+v, again %+v", raw, region, p, again)
		}
	})
}

// FuzzWords holds that names, companies and addresses are read twice as once.
func FuzzWords(f *testing.F) {
	f.Add("Meier, Dr. Ada")
	f.Add("S. Co. A. & Co.")
	f.Add("+")
	f.Fuzz(func(t *testing.T, raw string) {
		for name, read := range map[string]func(string) Text{
			"name": NormaliseName, "full name": NormaliseFullName, "company": NormaliseCompany,
			"address": NormaliseAddress, "text": NormaliseText,
		} {
			got := read(raw)
			if (got.Folded == "") != (got.Fault != "") || strings.ContainsRune(got.Folded, 0) {
				t.Fatalf("%s %q is %+v", name, raw, got)
			}
			if got.Fault != "" {
				continue
			}
			if again := read(got.Folded); again.Folded != got.Folded || len(again.Steps) > 0 {
				t.Fatalf("%s %q is %+v, again %+v", name, raw, got, again)
			}
		}
	})
}

// BenchmarkNormaliser reads what a submission says: new numbers, and numbers that came before.
func BenchmarkNormaliser(b *testing.B) {
	n := New(Rules{})
	for name, phone := range map[string]func(i int) string{
		"E.164": func(i int) string { return fmt.Sprintf("+4420%08d", i%90_000_000+10_000_000) },
		"new":   func(i int) string { return fmt.Sprintf("020 %08d", i%90_000_000+10_000_000) },
		"known": func(int) string { return "020 7946 0958" },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				n.Email("Ada.King@acme.example")
				n.Phone(phone(i), "GB")
				n.Name("Ada")
				n.Name("King")
				n.Company("Acme Ltd")
			}
		})
	}
}

// Text of ASCII alone, which is read faster, is read as it would be beside other letters.
func TestPlainTextIsReadAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.StringMatching("[ -~]{0,30}").Draw(t, "raw")
		want := strings.TrimSpace(strings.TrimSuffix(Fold(raw+" é"), "e"))
		if got := Fold(raw); got != want {
			t.Fatalf("Fold(%q) = %q, want %q", raw, got, want)
		}
		want = strings.TrimSpace(strings.TrimSuffix(Clean(raw+" é"), "é"))
		if got := Clean(raw); got != want && got != "" {
			t.Fatalf("Clean(%q) = %q, want %q", raw, got, want)
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
