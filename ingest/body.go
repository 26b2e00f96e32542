package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// Why a body is refused as a whole, besides the reasons of its format.
const (
	ReasonMediaType   = "unsupported_media_type"
	ReasonEncoding    = "unsupported_encoding"
	ReasonInvalidGzip = "invalid_gzip"
)

// errGone is a client that stopped sending: nothing has come in.
var errGone = errors.New("read body: the client went away")

// mediaType returns the media type of a body, lower case, without parameters.
func mediaType(header http.Header) string {
	switch usual := header.Get("Content-Type"); usual {
	case "text/plain;charset=UTF-8", "text/plain", "application/json":
		media, _, _ := strings.Cut(usual, ";")
		return media
	}
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil && media == "" {
		media, _, _ = strings.Cut(header.Get("Content-Type"), ";")
	}
	return strings.ToLower(strings.TrimSpace(media))
}

// buffer holds the body of a request for as long as it is handled.
type buffer struct{ bytes []byte }

// bufferBytes is as much as a buffer keeps between two requests.
const bufferBytes = 64 << 10

// body returns a buffer, which the caller gives back with release.
func (c *Collector) body() *buffer {
	if pooled, ok := c.bodies.Get().(*buffer); ok {
		return pooled
	}
	return &buffer{}
}

func (c *Collector) release(b *buffer) {
	if cap(b.bytes) <= bufferBytes {
		c.bodies.Put(b)
	}
}

// readBody returns a request's body, unpacked, or as much as could be read of one that is refused.
// It may lie in the buffer.
func (c *Collector) readBody(
	w http.ResponseWriter, r *http.Request, into *buffer,
) ([]byte, *Rejection, error) {
	raw, more, err := c.readRaw(w, r, into)
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("%w: %w", errGone, err)
	case more:
		return raw, tooLarge(c.limits.BodyBytes), nil
	}
	switch coding := strings.ToLower(r.Header.Get("Content-Encoding")); coding {
	case "", "identity":
		return raw, nil, nil
	case "gzip":
		body, bad := c.unzip(raw)
		return body, bad, nil
	}
	return raw, &Rejection{ReasonEncoding, "want gzip or nothing", ""}, nil
}

// readRaw reads a body as it is on the wire, at most as much of it as is allowed.
func (c *Collector) readRaw(
	w http.ResponseWriter, r *http.Request, into *buffer,
) (raw []byte, more bool, err error) {
	most := c.limits.BodyBytes
	if size := r.ContentLength; size < 0 || size > int64(most) {
		return readUpTo(http.MaxBytesReader(w, r.Body, int64(most)), firstBytes, most)
	}
	body := into.bytes[:0]
	for size := int(r.ContentLength); len(body) < size && err == nil; {
		room := min(size, max(firstBytes, 2*len(body)))
		body = slices.Grow(body, room-len(body))
		var n int
		n, err = io.ReadFull(r.Body, body[len(body):room])
		body = body[:len(body)+n]
	}
	into.bytes = body
	return body, false, err
}

// firstBytes is how much room a body has before any of it has come; then it has as much again as
// has come. Whoever says that there is much to come, and sends nothing, holds no more.
const firstBytes = 16 << 10

// readUpTo reads at most so many bytes.
func readUpTo(from io.Reader, sizeHint, most int) (read []byte, more bool, err error) {
	// ReadFrom asks for room before it knows that it is at the end.
	buf := bytes.NewBuffer(make([]byte, 0, sizeHint+bytes.MinRead))
	_, err = buf.ReadFrom(io.LimitReader(from, int64(most)+1))
	var limit *http.MaxBytesError
	if errors.As(err, &limit) {
		return buf.Bytes(), true, nil
	}
	if buf.Len() > most {
		return buf.Bytes()[:most], true, nil
	}
	return buf.Bytes(), false, err
}

// unzip unpacks a body and stops at the limit, however little it was packed in.
func (c *Collector) unzip(packed []byte) ([]byte, *Rejection) {
	var reader *gzip.Reader
	var err error
	if pooled, ok := c.unzippers.Get().(*gzip.Reader); ok {
		reader, err = pooled, pooled.Reset(bytes.NewReader(packed))
	} else {
		reader, err = gzip.NewReader(bytes.NewReader(packed))
	}
	if reader != nil {
		defer c.unzippers.Put(reader)
	}
	if err == nil {
		var body []byte
		var more bool
		body, more, err = readUpTo(reader, min(4*len(packed), c.limits.UnpackedBytes),
			c.limits.UnpackedBytes)
		if more {
			return body, &Rejection{
				ReasonTooLarge,
				fmt.Sprintf("want at most %d bytes once unpacked", c.limits.UnpackedBytes), "",
			}
		}
		if err == nil {
			return body, nil
		}
	}
	return packed, &Rejection{ReasonInvalidGzip, "want gzip as the header says", ""}
}

// statusOf is the answer to a body that was refused as a whole.
func statusOf(reason string) int {
	switch reason {
	case ReasonTooLarge, ReasonTooManyBeacons:
		return http.StatusRequestEntityTooLarge
	case ReasonMediaType, ReasonEncoding:
		return http.StatusUnsupportedMediaType
	case ReasonOrigin:
		return http.StatusForbidden
	}
	return http.StatusBadRequest
}
