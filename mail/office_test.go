package mail

import (
	"bytes"
	"errors"
	"io"
	"net"
	stdmail "net/mail"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// office is a mail server. What it takes comes on taken.
type office struct {
	t       *testing.T
	address string
	taken   chan *stdmail.Message

	mu sync.Mutex
	// rcpt says what happens to mails to an address; it is asked each time.
	rcpt map[string]func() error
	// data likewise, once all of the mail has come.
	data   map[string]func() error
	tries  map[string]int
	server *smtp.Server
	door   net.Listener
}

func newOffice(t *testing.T) *office {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &office{
		t: t, address: listener.Addr().String(), taken: make(chan *stdmail.Message, 1000),
		rcpt: map[string]func() error{}, data: map[string]func() error{}, tries: map[string]int{},
	}
	o.serve(listener)
	t.Cleanup(o.close)
	return o
}

func (o *office) serve(listener net.Listener) {
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &counter{office: o}, nil
	}))
	server.Domain, server.ErrorLog = "localhost", quiet{}
	o.mu.Lock()
	o.server, o.door = server, listener
	o.mu.Unlock()
	go func() { _ = server.Serve(listener) }()
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

func (quiet) Println(...any) {}

// close has the server go away, and what is under way break.
func (o *office) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = o.door.Close() // the server does not know it before it serves
	_ = o.server.Close()
}

// open has it come back where it was.
func (o *office) open() {
	o.t.Helper()
	listener, err := net.Listen("tcp", o.address)
	if err != nil {
		o.t.Fatal(err)
	}
	o.serve(listener)
}

// next returns a mail that was taken.
func (o *office) next() *stdmail.Message {
	o.t.Helper()
	select {
	case m := <-o.taken:
		return m
	case <-time.After(30 * time.Second):
		o.t.Fatal("no mail came")
		return nil
	}
}

// tried is how often a mail to an address was tried.
func (o *office) tried(address string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tries[address]
}

// counter is where one connection is served.
type counter struct {
	*office
	to string
}

func (c *counter) Reset() {}

func (c *counter) Logout() error { return nil }

func (c *counter) Mail(string, *smtp.MailOptions) error { return nil }

func (c *counter) Rcpt(to string, _ *smtp.RcptOptions) error {
	c.to = to
	c.mu.Lock()
	c.tries[to]++
	answer := c.rcpt[to]
	c.mu.Unlock()
	if answer != nil {
		return answer()
	}
	return nil
}

func (c *counter) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	c.mu.Lock()
	answer := c.data[c.to]
	c.mu.Unlock()
	if answer != nil {
		if err := answer(); err != nil {
			return err
		}
	}
	m, err := stdmail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		return err
	}
	c.taken <- m
	return nil
}

// always answers with the same error.
func always(code int, enhanced smtp.EnhancedCode) func() error {
	return func() error {
		return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: "<secret@x.example> no"}
	}
}

// onceAfter lets mails pass after so many errors.
func onceAfter(errs int, fail func() error) func() error {
	var mu sync.Mutex
	return func() error {
		mu.Lock()
		defer mu.Unlock()
		if errs--; errs >= 0 {
			return fail()
		}
		return nil
	}
}

var errLost = errors.New("the answer is lost")
