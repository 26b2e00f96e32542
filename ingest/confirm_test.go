package ingest

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"crumbtrail/schemas"
)

// confirmLink makes the token of a link as whoever sends the mail does.
func (e *edge) confirmLink(t testing.TB, s *schemas.Submission, expires time.Time) string {
	t.Helper()
	payload, err := schemas.Confirmation(s).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return e.cfg.Keys.Sign(schemas.ConfirmPurpose, expires, payload)
}

func TestConfirm(t *testing.T) {
	e := newEdge(t, func(cfg *Config) {
		cfg.Forms = []Form{{Name: "news", Page: ConfirmPage{
			Lang: "de", Title: "Really?", Text: "<b>&", Button: "Sure",
			Done: "Great", DoneText: "See you",
		}}}
	}).run(t)
	of := &schemas.Submission{
		SubmissionId: "s1", Site: "acme", VisitorId: "v1", Form: "news", Email: "ann@x.example",
	}
	link := e.confirmLink(t, of, time.Now().Add(time.Hour))

	// Programs that look at mails follow links: nothing comes of that.
	for range 2 {
		w := e.send(http.MethodGet, "/confirm?t="+link, "")
		body := w.Body.String()
		if w.Code != 200 || !strings.Contains(body, `<form method="post">`) ||
			!strings.Contains(body, `<html lang="de">`) ||
			!strings.Contains(body, "Really?") || !strings.Contains(body, "&lt;b&gt;&amp;") ||
			!strings.Contains(body, "Sure") || !strings.Contains(body, `value="`+link+`"`) {
			t.Fatalf("%d %s", w.Code, body)
		}
		h := w.Header()
		if h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-store" ||
			!strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") ||
			len(w.Result().Cookies()) != 0 {
			t.Errorf("headers %v", h)
		}
	}
	if n := len(e.tape.read(t).submissions); n != 0 {
		t.Fatalf("%d submissions of a GET", n)
	}

	before := time.Now().UnixMicro()
	w := e.send(http.MethodPost, "/confirm?t="+link, "t="+link, "Content-Type", urlencoded)
	if body := w.Body.String(); w.Code != 200 || !strings.Contains(body, "Great") ||
		!strings.Contains(body, "See you") || strings.Contains(body, "<form") {
		t.Fatalf("%d %s", w.Code, body)
	}
	got := e.tape.read(t).submissions
	if len(got) != 1 || got[0].SubmissionId != schemas.ConfirmationID(of) || got[0].Confirms != "s1" ||
		got[0].Kind != schemas.SubmissionKind_SUBMISSION_KIND_CONFIRMATION || got[0].Site != "acme" ||
		got[0].Form != "news" || got[0].ReceivedAtUs < before || got[0].VisitorId+got[0].Email != "" {
		t.Fatalf("submissions %v", got)
	}

	for _, method := range []string{http.MethodPost, http.MethodGet} {
		w = e.send(method, "/confirm?t="+link, "")
		if w.Code != 200 || !strings.Contains(w.Body.String(), "Already confirmed") {
			t.Errorf("%s again: %d %s", method, w.Code, w.Body)
		}
	}
	if n := len(e.tape.read(t).submissions); n != 1 {
		t.Errorf("%d submissions after a second click", n)
	}
}

func TestLinksThatDoNotConfirm(t *testing.T) {
	e := newEdge(t, nil).run(t)
	of := &schemas.Submission{SubmissionId: "s1", Site: "acme", Email: "ann@x.example"}
	payload, _ := schemas.Confirmation(of).MarshalVT()
	good := e.confirmLink(t, of, time.Now().Add(time.Hour))
	for _, c := range []struct {
		name, link string
		status     int
	}{
		{"expired", e.confirmLink(t, of, time.Now().Add(-time.Second)), http.StatusGone},
		{"of another purpose", e.cfg.Keys.Sign("link", time.Now().Add(time.Hour), payload), 400},
		{"cut off", good[:len(good)-3], 400},
		{"none", "", 400},
		{"long", strings.Repeat("a", maxConfirmBody), 400},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			w := e.send(method, "/confirm?t="+c.link, "")
			if w.Code != c.status || strings.Contains(w.Body.String(), "<form") {
				t.Errorf("%s %s: %d %s", method, c.name, w.Code, w.Body)
			}
		}
		body := url.Values{"t": {c.link}}.Encode()
		if w := e.post("/confirm", body, "Content-Type", urlencoded); w.Code != c.status {
			t.Errorf("post %s: %d", c.name, w.Code)
		}
	}
	if n := len(e.tape.read(t).submissions); n != 0 {
		t.Errorf("%d submissions", n)
	}
}

// V1: thanks are said only once the confirmation is durable.
func TestConfirmWaitsForTheLog(t *testing.T) {
	e := newEdge(t, nil).run(t)
	of := &schemas.Submission{SubmissionId: "s1", Site: "acme", Email: "ann@x.example"}
	link := e.confirmLink(t, of, time.Now().Add(time.Hour))
	e.tape.fail(errors.New("away"))
	w := e.send(http.MethodPost, "/confirm?t="+link, "")
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" ||
		!strings.Contains(w.Body.String(), "try again") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	e.tape.fail(nil)
	if w := e.send(http.MethodPost, "/confirm?t="+link, ""); w.Code != 200 ||
		!strings.Contains(w.Body.String(), "Confirmed") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if n := len(e.tape.read(t).submissions); n != 1 {
		t.Errorf("%d submissions, want 1", n)
	}
}

func TestConfirmedAreBounded(t *testing.T) {
	c := newConfirmed(3)
	for i := range 10 {
		c.add(fmt.Sprint(i))
		c.add(fmt.Sprint(i))
	}
	if len(c.ids) != 3 || c.has("6") || !c.has("7") || !c.has("9") {
		t.Errorf("ids %v", c.ids)
	}
}
