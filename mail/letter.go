package mail

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"html/template"
	stdmail "net/mail"
	"strings"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"
	"golang.org/x/net/idna"

	"crumbtrail/schemas"
)

// letter is a mail that is to be sent.
type letter struct {
	// offset is that of its decision.
	offset     int64
	submission *schemas.Submission
	// tries are those that a server has put off, next is when to try again.
	tries int
	next  time.Time
}

// until is when the letter's link ends to hold.
func (l *letter) until() time.Time { return time.UnixMicro(l.submission.ConfirmUntilUs) }

// writer writes letters.
type writer struct {
	cfg  Config
	from map[string]*stdmail.Address // by the text in the configuration
}

func newWriter(cfg Config) (*writer, error) {
	w := &writer{cfg: cfg, from: map[string]*stdmail.Address{}}
	texts := []string{cfg.From}
	for _, f := range cfg.Forms {
		if f.From != "" {
			texts = append(texts, f.From)
		}
	}
	for _, text := range texts {
		address, err := addressOf(text)
		if err != nil {
			return nil, err
		}
		w.from[text] = address
	}
	return w, nil
}

// errAddress is an address that no mail can be sent to.
var errAddress = errors.New("no address of mail")

// message writes a letter. Nothing that its sender typed is in it but the address that it goes to:
// a form must not be a way to write to strangers.
func (w *writer) message(l *letter) (*gomail.Msg, error) {
	to, err := recipient(l.submission.Email)
	if err != nil {
		return nil, err
	}
	form := w.cfg.formOf(l.submission.Site, l.submission.Form)
	from := w.from[cmp.Or(form.From, w.cfg.From)]
	link, err := w.link(l)
	if err != nil {
		return nil, err
	}
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	m.FromMailAddress(from)
	m.ToMailAddress(&stdmail.Address{Address: to})
	m.Subject(cmp.Or(form.Subject, defaultSubject))
	m.SetMessageIDWithValue(schemas.ConfirmationID(l.submission) + "@" + domainOf(from.Address))
	m.SetDate()
	// Nobody's absence is to be told of.
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetGenHeader(gomail.HeaderXAutoResponseSuppress, "All")
	text := textBody(form.Text, link, l.until())
	html, err := htmlBody(form, link, l.until())
	if err != nil {
		return nil, err
	}
	m.SetBodyString(gomail.TypeTextPlain, text)
	m.AddAlternativeString(gomail.TypeTextHTML, html)
	return m, nil
}

// link is where the recipient confirms.
func (w *writer) link(l *letter) (string, error) {
	payload, err := schemas.Confirmation(l.submission).MarshalVT()
	if err != nil {
		return "", fmt.Errorf("encode a confirmation: %w", err)
	}
	return strings.TrimSuffix(w.cfg.URL, "/") + "/confirm?t=" +
		w.cfg.Keys.Sign(schemas.ConfirmPurpose, l.until(), payload), nil
}

const (
	defaultSubject = "Please confirm your e-mail address"
	defaultText    = "This address was given to us in a form. Please confirm that it was you."
	defaultClosing = "If it was not you, do nothing: then nothing happens."
)

func textBody(text, link string, until time.Time) string {
	return fmt.Sprintf("%s\n\n%s\n\nThe link holds until %s. %s\n",
		cmp.Or(strings.TrimSpace(text), defaultText), link, moment(until), defaultClosing)
}

// moment is a time as people write it.
func moment(at time.Time) string { return at.UTC().Format("2 January 2006, 15:04") + " UTC" }

var htmlTemplate = template.Must(template.New("mail").Parse(
	`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>{{.Subject}}</title></head>
<body style="margin:0;padding:24px;font:16px/1.5 system-ui,'Segoe UI',Roboto,sans-serif">
<div style="max-width:480px;margin:0 auto">
<p style="margin:0 0 24px;white-space:pre-line">{{.Text}}</p>
<p style="margin:0 0 24px"><a href="{{.Link}}" style="display:inline-block;padding:12px 24px;` +
		`border-radius:8px;background:#1f5eff;color:#fff;font-weight:600;text-decoration:none">` +
		`Confirm</a></p>
<p style="margin:0;font-size:14px;color:#6b7280">The link holds until {{.Until}}. {{.Closing}}</p>
</div></body></html>
`))

func htmlBody(form Form, link string, until time.Time) (string, error) {
	var out bytes.Buffer
	err := htmlTemplate.Execute(&out, map[string]string{
		"Subject": cmp.Or(form.Subject, defaultSubject),
		"Text":    cmp.Or(strings.TrimSpace(form.Text), defaultText),
		"Link":    link, "Until": moment(until), "Closing": defaultClosing,
	})
	if err != nil {
		return "", fmt.Errorf("write a mail: %w", err)
	}
	return out.String(), nil
}

// recipient is the address that a letter goes to: as it was typed, less the space around it, its
// domain in ASCII.
func recipient(typed string) (string, error) {
	const most = 254
	text := strings.TrimFunc(typed, func(r rune) bool {
		return unicode.IsSpace(r) || r == '\u200b' || r == '\ufeff'
	})
	at := strings.LastIndexByte(text, '@')
	if at <= 0 || len(text) > most || strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsControl(r) || unicode.IsSpace(r) || strings.ContainsRune(`<>"(),;:\[]`, r)
	}) {
		return "", errAddress
	}
	domain, err := idna.Lookup.ToASCII(strings.TrimSuffix(text[at+1:], "."))
	if err != nil || domain == "" || strings.Contains(text[:at], "@") {
		return "", errAddress
	}
	return text[:at] + "@" + domain, nil
}

// isASCII says whether an address can go to every server.
func isASCII(address string) bool {
	return !strings.ContainsFunc(address, func(r rune) bool { return r > unicode.MaxASCII })
}
