package edge

import (
	"bytes"
	"errors"
	"io"
	"strconv"
)

// answer is what a request got.
type answer struct {
	status int
	// header is all before the body; it is overwritten with the next answer.
	header []byte
	// retryAfter is in seconds, 0 where the answer does not ask for it.
	retryAfter int
}

// answers reads one answer after the other from a connection.
type answers struct {
	from io.Reader
	buf  []byte
	// read is how much of buf holds what was read.
	read int
}

const mostAnswerBytes = 64 << 10

var errAnswer = errors.New("not an answer of HTTP/1.1 with a Content-Length")

// next reads an answer, with its body, of which nothing is kept. Nothing may come behind it.
func (a *answers) next() (answer, error) {
	a.read = 0
	header := 0
	for header == 0 {
		if err := a.more(); err != nil {
			return answer{}, err
		}
		if at := bytes.Index(a.buf[:a.read], []byte("\r\n\r\n")); at >= 0 {
			header = at + 4
		}
	}
	out := answer{header: a.buf[:header]}
	status, ok := bytes.CutPrefix(out.header, []byte("HTTP/1.1 "))
	if !ok || len(status) < 3 {
		return out, errAnswer
	}
	var err error
	if out.status, err = strconv.Atoi(string(status[:3])); err != nil {
		return out, errAnswer
	}
	out.retryAfter, _ = number(out.header, "\r\nRetry-After: ")
	body, ok := number(out.header, "\r\nContent-Length: ")
	if !ok && out.status != 204 {
		return out, errAnswer
	}
	for a.read < header+body {
		if err := a.more(); err != nil {
			return out, err
		}
	}
	out.header = a.buf[:header]
	if a.read > header+body {
		return out, errAnswer
	}
	return out, nil
}

func (a *answers) more() error {
	if a.read == len(a.buf) {
		if len(a.buf) >= mostAnswerBytes {
			return errAnswer
		}
		a.buf = append(a.buf, make([]byte, max(4096, len(a.buf)))...)
	}
	n, err := a.from.Read(a.buf[a.read:])
	a.read += n
	if n > 0 {
		return nil
	}
	return err
}

// number returns the value of a header that is a number.
func number(header []byte, name string) (n int, ok bool) {
	at := bytes.Index(header, []byte(name))
	if at < 0 {
		return 0, false
	}
	value := header[at+len(name):]
	end := bytes.IndexByte(value, '\r')
	if end < 0 {
		return 0, false
	}
	n, err := strconv.Atoi(string(value[:end]))
	return n, err == nil && n >= 0
}
