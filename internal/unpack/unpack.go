// Package unpack reads a stream that may be packed with gzip or zstd, writes nothing, and
// guarantees that a packed stream asks for a bounded memory.
package unpack

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"

	"github.com/klauspost/compress/zstd"
)

// zstdWindow bounds the memory that a packed stream can ask for.
const zstdWindow = 128 << 20

// Reader reads what is in a stream, told by its first bytes. Release it with done; what it read
// from is the caller's to close.
func Reader(packed *bufio.Reader) (plain io.Reader, done func(), err error) {
	magic, err := packed.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		unzip, err := gzip.NewReader(packed)
		return unzip, func() {}, err
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		unzip, err := zstd.NewReader(packed,
			zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, nil, err
		}
		return unzip, unzip.Close, nil
	}
	return packed, func() {}, nil
}
