package ingest

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"sync"
	"time"

	"crumbtrail/internal/token"
	"crumbtrail/schemas"
)

// A link in a mail leads to a page with a button, and the button confirms a submission: programs
// that look at mails follow links, but press no buttons.

const protocolConfirm = "confirm"

// ConfirmPage is what the page says. A text that is empty is the default's.
type ConfirmPage struct {
	// Lang is the language of the texts, empty for English.
	Lang string
	// Title, Text and Button ask, Done and DoneText thank.
	Title, Text, Button, Done, DoneText string
}

//go:embed confirm.html
var confirmHTML string

//go:embed confirm.css
var confirmCSS string

// confirmTemplate is parsed once; the files are part of this program.
var confirmTemplate = template.Must(template.New("confirm").Parse(confirmHTML))

// confirmPolicy lets the page have its own style, and post to where it came from.
var confirmPolicy = func() string {
	sum := sha256.Sum256([]byte(confirmCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}()

// confirmView is what is shown.
type confirmView struct {
	// State is ask, done, already, expired, invalid or later.
	State                     string
	Lang, Title, Text, Button string
	// Token is set where there is something to confirm.
	Token string
	Style template.CSS
	// Good is true where there is nothing more to do.
	Good bool
}

// getConfirm asks whether a submission is to count.
func (c *Collector) getConfirm(w http.ResponseWriter, r *http.Request) {
	text := r.URL.Query().Get("t")
	confirmation, err := c.openConfirmation(text, time.Now())
	switch {
	case err != nil:
		refuseConfirmation(w, err)
	case c.confirmed.has(confirmation.SubmissionId):
		c.answerConfirmed(w, confirmation, true)
	default:
		page := forms(c.cfg.Forms).of(confirmation.Site, confirmation.Form).Page
		showConfirm(w, http.StatusOK, confirmView{
			State: "ask", Token: text, Lang: page.Lang, Title: cmp.Or(page.Title, "Please confirm"),
			Text: cmp.Or(page.Text, "Your e-mail address was given to us in a form. Press the button if "+
				"that was you. If not, close this page, and nothing happens."),
			Button: cmp.Or(page.Button, "Yes, it was me"),
		})
	}
}

// maxConfirmBody is more than a token takes, in bytes.
const maxConfirmBody = 2 * token.MaxLength

// postConfirm makes a confirmation durable and says thank you.
func (c *Collector) postConfirm(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxConfirmBody)
	in := c.intake(w, r, protocolConfirm, 0)
	defer in.end()
	confirmation, err := c.openConfirmation(r.FormValue("t"), time.UnixMicro(in.us))
	if err != nil {
		refuseConfirmation(w, err)
		return
	}
	id := confirmation.SubmissionId
	if c.confirmed.has(id) {
		c.answerConfirmed(w, confirmation, true)
		return
	}
	confirmation.ReceivedAtUs, confirmation.OccurredAtUs = in.us, in.us
	confirmation.Protocol = protocolConfirm
	in.parcel.submission(confirmation, in.us)
	if err := in.commit(); err != nil {
		retryLater(w)
		showConfirm(w, http.StatusServiceUnavailable, confirmView{
			State: "later", Title: "Please try again in a minute",
			Text: "It could not be taken just now. The link still works.",
		})
		return
	}
	c.confirmed.add(id)
	c.answerConfirmed(w, confirmation, false)
}

func (c *Collector) openConfirmation(text string, now time.Time) (*schemas.Submission, error) {
	payload, err := c.cfg.Keys.Open(schemas.ConfirmPurpose, text, now)
	if err != nil {
		return nil, err
	}
	s := &schemas.Submission{}
	return s, s.UnmarshalVT(payload)
}

func (c *Collector) answerConfirmed(w http.ResponseWriter, s *schemas.Submission, already bool) {
	page := forms(c.cfg.Forms).of(s.Site, s.Form).Page
	view := confirmView{
		State: "done", Good: true, Lang: page.Lang, Title: cmp.Or(page.Done, "Confirmed"),
		Text: cmp.Or(page.DoneText, "Thank you. You can close this page."),
	}
	if already {
		view.State, view.Lang, view.Title = "already", "", "Already confirmed"
		view.Text = "There is nothing more to do. You can close this page."
	}
	showConfirm(w, http.StatusOK, view)
}

func refuseConfirmation(w http.ResponseWriter, err error) {
	if errors.Is(err, token.ErrExpired) {
		showConfirm(w, http.StatusGone, confirmView{
			State: "expired", Title: "This link has expired",
			Text: "It held for a while only. Please send the form again.",
		})
		return
	}
	showConfirm(w, http.StatusBadRequest, confirmView{
		State: "invalid", Title: "This link does not work",
		Text: "Part of it may be missing. Copy all of it from the mail, or send the form again.",
	})
}

func showConfirm(w http.ResponseWriter, status int, view confirmView) {
	view.Style, view.Lang = template.CSS(confirmCSS), cmp.Or(view.Lang, "en")
	var page bytes.Buffer
	if err := confirmTemplate.Execute(&page, view); err != nil {
		panic("confirmation page: " + err.Error())
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", confirmPolicy)
	h.Set("Referrer-Policy", "no-referrer") // the address is the token
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Robots-Tag", "noindex")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes()) // a client that went away needs no answer
}

// maxConfirmed bounds how many confirmations a collector knows to have taken. One that it has
// forgotten, or that another one took, is taken again without effect.
const maxConfirmed = 16_384

// confirmed are the last confirmations that were taken. Its methods are for concurrent use.
type confirmed struct {
	mu   sync.Mutex
	ids  map[string]bool
	ring []string
	next int
}

func newConfirmed(most int) *confirmed {
	return &confirmed{ids: map[string]bool{}, ring: make([]string, most)}
}

func (c *confirmed) has(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ids[id]
}

func (c *confirmed) add(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ids[id] {
		return
	}
	delete(c.ids, c.ring[c.next])
	c.ids[id], c.ring[c.next] = true, id
	c.next = (c.next + 1) % len(c.ring)
}
