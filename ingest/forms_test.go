package ingest

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"crumbtrail/schemas"

	"github.com/tidwall/gjson"
)

const (
	urlencoded = "application/x-www-form-urlencoded"
	cardNumber = "4111 1111 1111 1111"
)

// multipartOf makes a body of fields and a file; it returns the media type with its boundary.
func multipartOf(t testing.TB, pairs ...string) (media, body string) {
	t.Helper()
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	for i := 0; i < len(pairs); i += 2 {
		if err := w.WriteField(pairs[i], pairs[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	file, err := w.CreateFormFile("upload", "cv.pdf")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write([]byte("%PDF")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), out.String()
}

func TestFormEncodings(t *testing.T) {
	media, parts := multipartOf(t, "email", "ann@example.com", "first_name", "Ann", "topic", "a",
		"topic", "b", "password", "sesame", "note", cardNumber, "_form", "contact")
	for _, c := range []struct{ name, media, body string }{
		{"urlencoded", urlencoded, "email=ann%40example.com&first_name=Ann&topic=a&topic=b&password=" +
			"sesame&note=4111+1111+1111+1111&_form=contact"},
		{"multipart", media, parts},
		{"json", "application/json; charset=utf-8", `{"email":"ann@example.com","first_name":"Ann",` +
			`"topic":["a","b"],"pass\u0077ord":"sesame","note":"` + cardNumber + `","_form":"contact"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEdge(t, nil).run(t)
			w := e.post("/v1/forms/acme", c.body, "Content-Type", c.media,
				"Referer", "https://acme.example/contact", "Origin", "https://acme.example")
			if w.Code != http.StatusNoContent {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			log := e.tape.read(t)
			b, s := log.beacons[0], log.submissions[0]
			if b.Type != schemas.BeaconType_BEACON_TYPE_FORM_SUBMIT || b.Protocol != "form" ||
				string(b.Props) != `{"form":"contact"}` || b.Url != "https://acme.example/contact" ||
				b.Consent != schemas.Consent_CONSENT_IDENTIFIED {
				t.Errorf("beacon %v", b)
			}
			if s.SubmissionId != b.EventId || s.Kind != schemas.SubmissionKind_SUBMISSION_KIND_FORM ||
				s.Site != "acme" || s.VisitorId != b.VisitorId || s.VisitorId == "" ||
				s.Consent != b.Consent || s.Form != "contact" || s.Url != b.Url ||
				s.Email != "ann@example.com" || s.FirstName != "Ann" || s.LastName != "" ||
				s.ReceivedAtUs != b.ReceivedAtUs || s.OccurredAtUs != b.OccurredAtUs {
				t.Errorf("submission %v", s)
			}
			want := `{"email":"ann@example.com","first_name":"Ann","topic":["a","b"]}`
			if string(s.Fields) != want {
				t.Errorf("fields %s, want %s", s.Fields, want)
			}
			if c := e.Counts(); c.Secrets != 2 || c.Submissions != 1 || c.Accepted != 1 {
				t.Errorf("counts %+v", c)
			}
			e.hides(t, "sesame", "4111")
		})
	}
}

// hides checks that no record of the log holds any of the texts.
func (e *edge) hides(t testing.TB, texts ...string) {
	t.Helper()
	e.tape.mu.Lock()
	defer e.tape.mu.Unlock()
	for _, msgs := range e.tape.calls {
		for _, m := range msgs {
			for _, text := range texts {
				if bytes.Contains(m.Value, []byte(text)) || bytes.Contains(m.Key, []byte(text)) {
					t.Errorf("%q on topic %s: %q", text, m.Topic, m.Value)
				}
			}
		}
	}
}

func TestFormBeacon(t *testing.T) {
	e := newEdge(t, nil).run(t)
	w := e.post("/v1/beacons", `[{"id":"f1","site":"acme","type":"form_submit","props":{"form":"demo",
		"fields":{"email":"bob@example.com","cc-number":"1","extra":{"otp":"123456","size":3}}}},
		{"id":"f2","site":"acme","type":"form_submit","props":{"form":"flat","company":"Bob & Co",
		"phone":4930123}},
		{"id":"f3","site":"acme","type":"form_submit","created_at":"never",
		 "props":{"fields":{"password":"sesame","email":"eve@example.com"}}}]`)
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	log := e.tape.read(t)
	if s := log.submissions[0]; s.SubmissionId != "f1" || s.Form != "demo" ||
		s.Email != "bob@example.com" ||
		string(s.Fields) != `{"email":"bob@example.com","extra":{"size":3}}` {
		t.Errorf("submission %v", s)
	}
	if s := log.submissions[1]; s.Company != "Bob & Co" || s.Phone != "4930123" || s.Form != "flat" {
		t.Errorf("submission %v", s)
	}
	for i, form := range []string{"demo", "flat"} {
		if got := string(log.beacons[i].Props); got != `{"form":"`+form+`"}` {
			t.Errorf("beacon %d has props %s", i, got)
		}
	}
	if len(log.bad) != 1 || !strings.Contains(string(log.bad[0].Raw), "eve@") ||
		log.bad[0].Truncated {
		t.Errorf("bad %v", log.bad)
	}
	e.hides(t, "sesame", "123456", "cc-number")
}

func TestFormAnswers(t *testing.T) {
	e := newEdge(t, nil).run(t)
	long := strings.Repeat("x", 64<<10)
	for _, c := range []struct {
		name, site, media, body, origin string
		status                          int
		location, reason                string
	}{
		{"nothing", "acme", urlencoded, "a=b", "", 204, "", ""},
		{"redirect", "acme", urlencoded, "_redirect=%2Fthanks%3Fa%3Db", "", 303, "/thanks?a=b", ""},
		{"another host", "acme", urlencoded, "_redirect=https%3A%2F%2Fevil.example", "", 204, "", ""},
		{"no scheme", "acme", urlencoded, "_redirect=%2F%2Fevil.example", "", 204, "", ""},
		{"backslash", "acme", urlencoded, "_redirect=%2F%5Cevil.example", "", 204, "", ""},
		{"control", "acme", urlencoded, "_redirect=%2F%09%2Fevil.example", "", 204, "", ""},
		{"unknown site", "nowhere", urlencoded, "a=b", "", 204, "", ReasonUnknownSite},
		{"origin", "acme", urlencoded, "a=b", "https://evil.example", 403, "", ReasonOrigin},
		{"percent", "acme", urlencoded, "a=%zz", "", 400, "", ReasonInvalidForm},
		{"boundary", "acme", "multipart/form-data", "a=b", "", 400, "", ReasonInvalidForm},
		{"parts", "acme", "multipart/form-data; boundary=x", "a=b", "", 400, "", ReasonInvalidForm},
		{"json", "acme", "application/json", `{"a":`, "", 400, "", ReasonInvalidJSON},
		{"list", "acme", "application/json", `[]`, "", 400, "", ReasonWrongType},
		{"media", "acme", "application/pdf", "a=b", "", 415, "", ReasonMediaType},
		{"no media", "acme", "", "a=b", "", 415, "", ReasonMediaType},
		{"too large", "acme", urlencoded, "a=" + long, "", 413, "", ReasonTooLarge},
		{"large json", "acme", "application/json", `{"a":"` + long + `"}`, "", 413, "", ReasonTooLarge},
		{"too many", "acme", urlencoded, strings.Repeat("a=b&", 257), "", 400, "", ReasonTooManyKeys},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := e.Counts()
			w := e.post("/v1/forms/"+c.site, c.body, "Content-Type", c.media, "Origin", c.origin)
			if w.Code != c.status || w.Header().Get("Location") != c.location {
				t.Errorf("%d to %q: %s", w.Code, w.Header().Get("Location"), w.Body)
			}
			after := e.Counts()
			if c.reason == "" {
				if after.Submissions != before.Submissions+1 {
					t.Errorf("counts %+v", after)
				}
			} else if after.RejectedByReason[c.reason] != before.RejectedByReason[c.reason]+1 {
				t.Errorf("counts %+v", after)
			}
		})
	}
}

func TestFormWithoutConsent(t *testing.T) {
	e := newEdge(t, nil).run(t)
	w := e.post("/v1/forms/ask", "email=ann%40example.com", "Content-Type", urlencoded)
	if w.Code != http.StatusNoContent || len(w.Result().Cookies()) != 0 {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if s := e.tape.read(t).submissions[0]; s.VisitorId != "" || s.Email != "ann@example.com" ||
		s.Consent != schemas.Consent_CONSENT_NONE {
		t.Errorf("submission %v", s)
	}
}

func TestFirstOfSeveral(t *testing.T) {
	e := newEdge(t, nil).run(t)
	e.post("/v1/forms/acme", "email=&email=b&phone=1&phone=2", "Content-Type", urlencoded)
	e.post("/v1/forms/acme", `{"email":["a"],"phone":[],"company":{"a":1},"first_name":null}`,
		"Content-Type", "application/json")
	s := e.tape.read(t).submissions
	if s[0].Email != "" || s[0].Phone != "1" || s[1].Email != "a" ||
		s[1].Phone+s[1].Company+s[1].FirstName != "" {
		t.Errorf("submissions %v", s)
	}
}

func TestFormMappings(t *testing.T) {
	mapped := forms{
		{Name: "demo", Site: "acme", Fields: map[string]string{"email": "mail", "phone": "password"}},
		{Name: "demo", Fields: map[string]string{"email": "work.email", "company": "firm"}},
	}
	fields := []byte(`{"email":"e","work.email":"w","work":{"email":"x"},"mail":"m","firm":"f",` +
		`"company":"c","first_name":"n","phone":"1","password":"sesame"}`)
	for _, c := range []struct{ site, form, email, company, phone string }{
		{"acme", "demo", "m", "f", ""},
		{"other", "demo", "w", "f", "1"},
		{"acme", "contact", "e", "c", "1"},
	} {
		s, secrets := mapped.submission(&schemas.Beacon{Site: c.site}, c.form, fields)
		if s.Email != c.email || s.Company != c.company || s.Phone != c.phone ||
			s.FirstName != "n" || secrets != 1 {
			t.Errorf("form %s of site %s: %v", c.form, c.site, s)
		}
	}
	e := newEdge(t, func(cfg *Config) { cfg.Forms = mapped }).run(t)
	e.post("/v1/forms/acme", "mail=ann%40example.com&_form=demo", "Content-Type", urlencoded)
	if s := e.tape.read(t).submissions[0]; s.Email != "ann@example.com" {
		t.Errorf("submission %v", s)
	}
}

func TestSecretNames(t *testing.T) {
	for _, name := range []string{
		"password", "Password2", "user[password]", "pwd", "userPwd", "new-passwd", "pass", "PIN",
		"cardNumber", "card_number", "card-cvc", "cvv2", "cc-number", "ccExp", "cc-csc", "otp",
		"otpCode", "one-time-code", "oneTimeCode", "sms_code", "securityCode", "csrf_token",
		"Passwort", "mot de passe", "contraseña", "2fa", "credit card",
	} {
		if !isSecretName(name) {
			t.Errorf("%q may hold a secret", name)
		}
	}
	for _, name := range []string{
		"email", "first_name", "last_name", "phone", "company", "footprint", "passenger",
		"pass_type", "pin_code", "postcode", "country_code", "account", "tokens_per_day", "success",
		"scorecard", "message", "discount", "",
	} {
		if isSecretName(name) {
			t.Errorf("%q holds no secret", name)
		}
	}
}

func TestCardNumbers(t *testing.T) {
	for _, text := range []string{
		"4111111111111111", " 4111-1111-1111-1111 ", "5555 5555 5555 4444", "378282246310005",
		"30569309025904", "6011111111111117",
	} {
		if !isCard(text) {
			t.Errorf("%q is a card's number", text)
		}
	}
	for _, text := range []string{
		"", "4111111111111112", "+49 30 1234567", "0049301234567", "1767225600000", "411111111111",
		"4111 1111 1111 1111 x", "00000000000000", "1234567812345670",
	} {
		if isCard(text) {
			t.Errorf("%q is no card's number", text)
		}
	}
}

func TestCleanURL(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"https://a.example/", "https://a.example/"},
		{"https://a.example/?", "https://a.example/?"},
		{"https://a.example/?q=1&utm_source=x#top", "https://a.example/?q=1&utm_source=x#top"},
		{"https://a.example/?email=a%40b.c&q=1", "https://a.example/?q=1"},
		{"https://a.example/?q=1&who=ann@b.example", "https://a.example/?q=1"},
		{"https://a.example/?q=1&who=ann%40b.example#x", "https://a.example/?q=1#x"},
		{"https://a.example/?reset_token=x", "https://a.example/"},
		{"https://a.example/#access_token=x&state=y", "https://a.example/#state=y"},
		{"https://a.example/?pass%77ord=x", "https://a.example/"},
		{"https://a.example/?to=https://b.example/@ann", "https://a.example/?to=https://b.example/@ann"},
		{"https://a.example/?n=4111111111111111", "https://a.example/"},
		{"https://a.example/?%zz=%zz", "https://a.example/?%zz=%zz"},
		{"?phone=1", ""},
	} {
		if got := cleanURL(c.in, nil); got != c.want {
			t.Errorf("cleanURL(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

// FuzzForm holds any form to what the log may contain: JSON within the limits, and no secrets.
func FuzzForm(f *testing.F) {
	media, parts := multipartOf(f, "email", "a@b.c", "password", "x")
	f.Add(urlencoded, []byte("email=a%40b.c&a=1&a=2&pin=3&_form=x&_redirect=/y"))
	f.Add(media, []byte(parts))
	f.Add("application/json", []byte(`{"email":"a@b.c","a":[1,{"otp":2}],"_url":"u"}`))
	f.Add(urlencoded, []byte("\xff=%00&%00=a"))
	f.Add(urlencoded, []byte("a=4111111111111111"))
	limits := DefaultLimits()
	f.Fuzz(func(t *testing.T, media string, body []byte) {
		form, bad := decodeForm(media, body, limits)
		if bad != nil {
			if bad.Reason == "" {
				t.Fatal("refused without a reason")
			}
			return
		}
		if len(form.fields) > limits.BeaconBytes {
			t.Fatalf("%d bytes of fields", len(form.fields))
		}
		for _, text := range []string{form.name, form.url} {
			if form.url == text && media == "application/json" {
				continue // taken as it is, cleaned by its beacon
			}
			if !cleanName(text) {
				t.Fatalf("no text: %q", text)
			}
		}
		s, _ := forms(nil).submission(&schemas.Beacon{}, form.name, form.fields)
		holdsNoSecret(t, s.Fields, limits)
	})
}

func holdsNoSecret(t *testing.T, fields []byte, limits Limits) {
	t.Helper()
	if bad := wellFormed(fields, bounds{limits.Depth, limits.Keys, true}); bad != nil {
		t.Fatalf("fields %q: %v", fields, bad)
	}
	if bad := cleanText(fields); bad != nil {
		t.Fatalf("fields %q: %v", fields, bad)
	}
	var walk func(gjson.Result)
	walk = func(v gjson.Result) {
		if !v.IsObject() && !v.IsArray() {
			return
		}
		v.ForEach(func(key, member gjson.Result) bool {
			if v.IsObject() && isSecretName(key.Str) || isCard(member.String()) {
				t.Fatalf("a secret in %s", fields)
			}
			walk(member)
			return true
		})
	}
	walk(gjson.ParseBytes(fields))
}

// FuzzPixel holds any query to what decodeBeacon reads.
func FuzzPixel(f *testing.F) {
	f.Add("site=acme&type=custom&props=%7B%22a%22%3A1%7D&x=%00", "https://acme.example/")
	f.Add("site=acme&site=b&created_at=2026-01-01T00:00:00Z", "")
	f.Add("%ff=%ff;&&=", "\xff")
	f.Add("props=[1", "")
	f.Fuzz(func(t *testing.T, query, referer string) {
		limits := DefaultLimits()
		raw, bad := decodePixel(query, referer, limits)
		if bad != nil {
			if bad.Reason == "" {
				t.Fatal("refused without a reason")
			}
			return
		}
		if bad := wellFormed(raw, bounds{depth: limits.Depth + 1, keys: len(raw)}); bad != nil {
			t.Fatalf("%q: %v", raw, bad)
		}
		if claim, bad := decodeBeacon(raw, limits); bad == nil && !cleanName(claim.beacon.Url) {
			t.Fatalf("url %q", claim.beacon.Url)
		}
	})
}

// FuzzCleanURL holds an address to losing parameters and nothing else.
func FuzzCleanURL(f *testing.F) {
	f.Add("https://a.example/?email=a%40b.c&q=1#access_token=x&y")
	f.Add("?#?#=&")
	f.Fuzz(func(t *testing.T, raw string) {
		clean := cleanURL(raw, nil)
		if len(clean) > len(raw) {
			t.Fatalf("cleanURL(%q) = %q", raw, clean)
		}
		if again := cleanURL(clean, nil); again != clean {
			t.Fatalf("cleanURL(%q) = %q, and again %q", raw, clean, again)
		}
		if at := strings.IndexAny(raw, "?#"); at >= 0 && !strings.HasPrefix(clean, raw[:at]) {
			t.Fatalf("cleanURL(%q) = %q", raw, clean)
		}
	})
}
