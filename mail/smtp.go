package mail

import (
	"context"
	"errors"
	"fmt"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// verdict is what became of a letter.
type verdict int

const (
	// sent: the server has taken it.
	sent verdict = iota
	// putOff: it is to come again later.
	putOff
	// refused: it is not to come again.
	refused
)

// result is what became of one letter. Its err says what the server said, without the address.
type result struct {
	letter  *letter
	verdict verdict
	err     error
	// away says that it was not about the letter: the server is not there, or takes nothing of ours.
	away bool
}

// server is the mail server.
type server struct {
	host string
	opts []gomail.Option
}

func newServer(cfg Config, host string, port int) *server {
	opts := []gomail.Option{
		gomail.WithPort(port), gomail.WithTimeout(cfg.Timeout), gomail.WithoutNoop(),
	}
	switch cfg.TLS {
	case TLSAll:
		opts = append(opts, gomail.WithSSL())
	case TLSNone:
		opts = append(opts, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		opts = append(opts, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if cfg.Username != "" {
		opts = append(opts, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover),
			gomail.WithUsername(cfg.Username), gomail.WithPassword(cfg.Password))
	}
	return &server{host: host, opts: opts}
}

// deliver sends letters over one connection, one after the other, and tells of each. It ends early,
// without a word on the rest, once ctx ends or the server is away. Its error is a connection that
// did not come about.
func (s *server) deliver(
	ctx context.Context, w *writer, letters []*letter, tell func(result),
) error {
	client, err := gomail.NewClient(s.host, s.opts...)
	if err != nil {
		return fmt.Errorf("mail server: %w", err)
	}
	conn, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return fmt.Errorf("mail server: %w", err)
	}
	defer func() { _ = client.CloseWithSMTPClient(conn) }() // what was sent is sent
	for _, l := range letters {
		if ctx.Err() != nil {
			return nil
		}
		r := s.post(client, conn, w, l)
		tell(r)
		if r.away {
			return nil
		}
	}
	return nil
}

// post sends one letter.
func (s *server) post(client *gomail.Client, conn *smtp.Client, w *writer, l *letter) result {
	m, err := w.message(l)
	if err != nil {
		return result{l, refused, err, false}
	}
	if utf8, _ := conn.Extension("SMTPUTF8"); !utf8 && !isASCII(m.GetTo()[0].Address) {
		return result{l, refused, errors.New("the server takes ASCII addresses alone"), false}
	}
	err = client.SendWithSMTPClient(conn, m)
	if err == nil || m.IsDelivered() {
		return result{l, sent, nil, false}
	}
	return judge(l, err)
}

// judge says what an error means for a letter.
func judge(l *letter, err error) result {
	var failed *gomail.SendError
	if !errors.As(err, &failed) {
		return result{l, putOff, errors.New("the connection broke"), true}
	}
	code, reason := failed.ErrorCode(), failed.Reason
	said := fmt.Errorf("%d %s: %s", code, failed.EnhancedStatusCode(), reason)
	switch {
	case reason == gomail.ErrGetRcpts || reason == gomail.ErrNoUnencoded:
		return result{l, refused, said, false}
	case code == 0:
		// Cut off or timed out. A letter that does that to a server each time must not hold up others.
		return result{l, putOff, said, true}
	case reason == gomail.ErrSMTPMailFrom, code == 421, code == 530, code == 535, code == 538:
		return result{l, putOff, said, true} // about us
	case code >= 500:
		return result{l, refused, said, false}
	}
	return result{l, putOff, said, false}
}
