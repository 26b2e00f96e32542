package main

import (
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"strings"
	"unicode"

	"crumbtrail/internal/strictyaml"
)

// Mail says how mails go out.
type Mail struct {
	// SMTP is the mail server that takes them, host:port.
	SMTP string `yaml:"smtp,required"`
	// From is who they are from: news@acme.example, or Acme <news@acme.example>.
	From     string `yaml:"from,required"`
	Username string `yaml:"username"`
	Password Secret `yaml:"password"`
	// PasswordFile holds the password, less a newline at its end; in the file relative to it.
	PasswordFile string  `yaml:"password_file"`
	TLS          MailTLS `yaml:"tls"`
	// URL is where browsers reach the collector: links in mails begin with it.
	URL string `yaml:"url,required"`
	// PerSecond is how many mails go out in a second at most.
	PerSecond int `yaml:"per_second"`
}

// SetDefaults makes a mail server of which only the required keys are missing.
func (m *Mail) SetDefaults() { m.TLS, m.PerSecond = MailTLSStart, 10 }

// MailTLS is how the way to the mail server is encrypted: starttls, tls or none.
type MailTLS string

// The ways.
const (
	MailTLSStart MailTLS = "starttls"
	MailTLSAll   MailTLS = "tls"
	MailTLSNone  MailTLS = "none"
)

// UnmarshalText refuses what is no way.
func (t *MailTLS) UnmarshalText(text []byte) error {
	*t = MailTLS(text)
	return strictyaml.OneOf(string(text),
		string(MailTLSStart), string(MailTLSAll), string(MailTLSNone))
}

func (r *configRules) mail() {
	m := r.cfg.Mail
	if m == nil {
		return
	}
	host, _, err := net.SplitHostPort(m.SMTP)
	if r.doc.Has("mail.smtp") && (checkAddress(m.SMTP) != nil || host == "") {
		r.report("mail.smtp", "write host:port, such as mail.acme.example:587",
			"%q is no host:port", m.SMTP)
	}
	if r.doc.Has("mail.from") && m.From == "" {
		r.report("mail.from", "", "name who mails are from")
	}
	r.address("mail.from", m.From)
	r.mailSignIn(err == nil && isLoopbackHost(host))
	r.count("mail.per_second", m.PerSecond, 1, 10_000)
	if !r.doc.Has("mail.url") {
		return
	}
	u, err := url.Parse(m.URL)
	switch {
	case err != nil || !isWeb(u) || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		r.report("mail.url", "write https://host, or https://host/path behind a proxy",
			"%q is no address of a collector", m.URL)
	case u.Scheme != "https" && !isLoopbackHost(u.Hostname()):
		r.report("mail.url", "write https://", "%q would send who clicks in the clear", m.URL)
	}
}

func (r *configRules) mailSignIn(loopback bool) {
	m := r.cfg.Mail
	if m.PasswordFile != "" {
		r.file("mail.password_file", m.PasswordFile)
	}
	given := m.Password != "" || m.PasswordFile != ""
	switch {
	case m.Password != "" && m.PasswordFile != "":
		r.report("mail.password_file", "", "give password or password_file, one of them")
	case given != (m.Username != ""):
		r.report("mail", "give both or neither", "username and a password go together")
	case given && m.TLS == MailTLSNone && !loopback:
		r.report("mail.tls", "use starttls or tls", "the password would be sent in the clear")
	}
}

// address reports what is no one mail address; empty is another problem or none.
func (r *configRules) address(path, text string) {
	if text == "" {
		return
	}
	r.line(path, text)
	if _, err := mail.ParseAddress(text); err != nil {
		r.report(path, "write news@acme.example, or Acme <news@acme.example>",
			"%q is no mail address", text)
	}
}

// line reports what cannot stand in one line of a mail's head.
func (r *configRules) line(path, text string) {
	const most = 200
	if strings.ContainsFunc(text, unicode.IsControl) || len(text) > most {
		r.report(path, "", "want one line of at most %d bytes", most)
	}
}

func isLoopbackHost(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
