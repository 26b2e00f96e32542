package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	stdmail "net/mail"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/emersion/go-smtp"
)

// postOffice is a mail server; what it takes comes on mails.
type postOffice struct {
	address string
	mails   chan mailed
}

type mailed struct{ to, id, text string }

// newPostOffice names an address; nobody is there before open.
func newPostOffice(t *testing.T) *postOffice {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	return &postOffice{free.Addr().String(), make(chan mailed, 100)}
}

func (o *postOffice) open(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", o.address)
	if err != nil {
		t.Fatal(err)
	}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return o, nil
	}))
	server.Domain = "localhost"
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); _ = listener.Close() })
}

func (*postOffice) Reset() {}

func (*postOffice) Logout() error { return nil }

func (*postOffice) Mail(string, *smtp.MailOptions) error { return nil }

func (*postOffice) Rcpt(string, *smtp.RcptOptions) error { return nil }

func (o *postOffice) Data(r io.Reader) error {
	m, err := stdmail.ReadMessage(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(m.Body)
	if err != nil {
		return err
	}
	text := strings.ReplaceAll(strings.ReplaceAll(string(body), "=\r\n", ""), "=3D", "=")
	o.mails <- mailed{m.Header.Get("To"), m.Header.Get("Message-Id"), text}
	return nil
}

// next returns a mail and the query of its link, which begins with base.
func (o *postOffice) next(t *testing.T, base string) (m mailed, query string) {
	t.Helper()
	select {
	case m = <-o.mails:
	case <-time.After(patience):
		t.Fatal("no mail came")
	}
	link := regexp.MustCompile(regexp.QuoteMeta(base) + `/confirm(\?t=[\w-]+)`).
		FindStringSubmatch(m.text)
	if link == nil {
		t.Fatalf("no link in %s", m.text)
	}
	return m, link[1]
}

const confirmConfig = browserConfig + `
forms:
  - name: contact
    double_opt_in: {expires: %s}
    trap: website
mail:
  smtp: %s
  from: Acme <news@acme.example>
  tls: none
  url: https://acme.example/e
`

const stateOfSubmission = "SELECT confirmation, coalesce(contact_id, '') FROM submissions"

// A form is sent while the mail server is away and the program is killed; then the mail comes, a
// program looks at its link, a person presses the button, and what they did before is theirs.
func TestConfirmation(t *testing.T) {
	needThorough(t)
	data, office := filepath.Join(t.TempDir(), "data"), newPostOffice(t)
	config := write(t, "crumbtrail.yaml", fmt.Sprintf(confirmConfig, "7d", office.address))
	s := up(t, data, config)
	snippet := must(t, "snippet", "--config", config, "--url", s.url, "default")
	site := website(t, snippet)
	ctx := chromium(t)
	visitPage(t, ctx, site.URL+"/pricing")
	eventually(t, patience, "an anonymous visit", func() bool {
		return number(t, data, "SELECT count(*) FROM visits") == 1
	})
	visitPage(t, ctx, site.URL+"/contact")
	run(t, ctx, chromedp.SendKeys("input[name=email]", "Ada.Lovelace@Example.com"),
		chromedp.Click("#send"), chromedp.WaitVisible("h1"))
	eventually(t, patience, "a pending submission", func() bool {
		got := rows(t, data, "SELECT outcome FROM decisions")
		return len(got) == 1 && got[0][0] == "pending"
	})
	eventually(t, patience, "word of the mail server", func() bool {
		return strings.Contains(pageAt(t, s.admin+"/readyz"), "mail server does not answer")
	})
	s.kill()
	s = up(t, data, config)
	office.open(t)
	m, query := office.next(t, "https://acme.example/e")
	if m.to != "<Ada.Lovelace@example.com>" {
		t.Errorf("to %s", m.to)
	}
	link := s.url + "/confirm" + query
	if page := pageAt(t, link); !strings.Contains(page, "<button") { // as a mail scanner does
		t.Fatalf("page %s", page)
	}
	eventually(t, patience, "the submission in the lake", func() bool {
		return len(rows(t, data, stateOfSubmission)) == 1
	})
	if got := rows(t, data, stateOfSubmission)[0]; got[0] != "pending" || got[1] != "" ||
		number(t, data, "SELECT count(*) FROM contacts") != 0 {
		t.Fatalf("before the confirmation: %q", got)
	}
	s.kill() // the link outlives it
	s = up(t, data, config)
	pressConfirm(t, ctx, s.url+"/confirm"+query)
	eventually(t, patience, "a contact", func() bool {
		return number(t, data, "SELECT count(*) FROM contacts") == 1
	})
	eventually(t, patience, "the confirmation in the lake", func() bool {
		got := rows(t, data, stateOfSubmission)
		return len(got) == 1 && got[0][0] == "confirmed" && got[0][1] != ""
	})
	eventually(t, patience, "the second visit to end", func() bool {
		return number(t, data, "SELECT count(*) FROM visits") == 2
	})
	got := rows(t, data, `SELECT c.email, v.was_anonymous, d.outcome, d.resolution FROM visits v
		JOIN contacts c USING (contact_id) JOIN decisions d USING (contact_id) ORDER BY v.started_at`)
	const want = "ada.lovelace@example.com true confirmed created"
	if len(got) != 2 || strings.Join(got[0], " ") != want {
		t.Errorf("visits under the contact: %q", got)
	}
	s.stop()
	for len(office.mails) > 0 {
		if again := <-office.mails; again.id != m.id {
			t.Errorf("another mail: %+v", again)
		}
	}
}

// pressConfirm looks at the page as people see it, and presses its button, twice.
func pressConfirm(t *testing.T, ctx context.Context, link string) {
	t.Helper()
	look(t, ctx, link, "ask")
	run(t, ctx, chromedp.Click(chromedp.CSS("button")),
		chromedp.WaitVisible(chromedp.CSS("main.done")))
	shoot(t, ctx, "done")
	for _, again := range []string{link, strings.Replace(link, "?t=", "?t=x", 1)} {
		look(t, ctx, again, map[bool]string{true: "already", false: "invalid"}[again == link])
	}
}

// look opens a page at the widths of a phone and a desktop, light and dark, and wants all of it
// within the width.
func look(t *testing.T, ctx context.Context, link, state string) {
	t.Helper()
	for _, scheme := range []string{"dark", "light"} {
		if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		}); err != nil {
			t.Fatal(err)
		}
		for name, size := range map[string][2]int64{"phone": {360, 740}, "desktop": {1280, 800}} {
			run(t, ctx, chromedp.EmulateViewport(size[0], size[1]), chromedp.Navigate(link),
				chromedp.WaitVisible(chromedp.CSS("main."+state)))
			fits, err := chromedp.Run(ctx, chromedp.Evaluate[bool](
				"document.documentElement.scrollWidth <= innerWidth && "+
					"[...document.querySelectorAll('h1,p,button')].every(e => "+
					"e.getBoundingClientRect().right <= innerWidth && e.getBoundingClientRect().left >= 0)"))
			if err != nil || !fits {
				t.Errorf("%s on a %s: fits %v, %v", state, name, fits, err)
			}
			shoot(t, ctx, state+"-"+name+"-"+scheme)
		}
	}
}

// shoot keeps a picture of the page among the test's artifacts.
func shoot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(t.ArtifactDir(), name+".png"), picture, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// pageAt returns the body of a page, whatever its status.
func pageAt(t *testing.T, address string) string {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// What nobody confirms expires, and a bot gets the same answer as people, and no mail.
func TestUnconfirmed(t *testing.T) {
	data, office := filepath.Join(t.TempDir(), "data"), newPostOffice(t)
	office.open(t)
	config := write(t, "crumbtrail.yaml", fmt.Sprintf(confirmConfig, "3s", office.address))
	s := up(t, data, config)
	send := func(fields string) {
		t.Helper()
		resp, err := http.Post(s.url+"/v1/forms/default", "application/x-www-form-urlencoded",
			bytes.NewBufferString("_form=contact&"+fields))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNoContent {
			t.Fatalf("form: %s", resp.Status)
		}
	}
	send("email=bot@acme.example&website=https://spam.example")
	send("email=ada@acme.example&website=")
	m, query := office.next(t, "https://acme.example/e")
	if m.to != "<ada@acme.example>" {
		t.Errorf("a mail to %s", m.to)
	}
	const state = `SELECT email, coalesce(confirmation, ''), is_spam, coalesce(spam_rule, '')
		FROM submissions ORDER BY email`
	eventually(t, patience, "it to expire", func() bool {
		got := rows(t, data, state)
		return len(got) == 2 && got[0][1] == "expired"
	})
	got := rows(t, data, state)
	if strings.Join(got[1], " ") != "bot@acme.example  true trap" || got[0][2] != "false" {
		t.Errorf("submissions %q", got)
	}
	for _, ask := range []func() (*http.Response, error){
		func() (*http.Response, error) { return http.Get(s.url + "/confirm" + query) },
		func() (*http.Response, error) { return http.PostForm(s.url+"/confirm"+query, url.Values{}) },
	} {
		resp, err := ask()
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusGone {
			t.Errorf("a link that has expired: %s", resp.Status)
		}
	}
	eventually(t, patience, "decisions", func() bool {
		return number(t, data, "SELECT count(*) FROM decisions WHERE outcome IN ('pending', 'spam')") == 2
	})
	if number(t, data, "SELECT count(*) FROM contacts") != 0 || len(office.mails) != 0 {
		t.Error("a contact, or one more mail")
	}
	s.stop()
}
