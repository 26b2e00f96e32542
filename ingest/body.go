package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
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
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil && media == "" {
		media, _, _ = strings.Cut(header.Get("Content-Type"), ";")
	}
	return strings.ToLower(strings.TrimSpace(media))
}

// readBody returns a request's body, unpacked, or as much as could be read of one that is refused.
func (c *Collector) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *Rejection, error) {
	raw, more, err := readUpTo(http.MaxBytesReader(w, r.Body, int64(c.limits.BodyBytes)),
		int(min(max(r.ContentLength, 0), int64(c.limits.BodyBytes))), c.limits.BodyBytes)
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
