// Package waiting is what those have in common who hand things on to servers of others: how long
// they wait for one, and which records of a topic wait. It reads and writes nothing, and guarantees
// that the offsets of Most records fit the metadata of a committed offset.
package waiting

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// Most bounds how many records wait at once; the rest waits in the log.
const Most = 500

// version begins what is committed with the offset: the offsets before it of records that wait,
// each as its distance from the one before, from the committed one down.
const version = "1 "

// Encode writes ascending offsets below next. 500 of them take 3,400 bytes at most, where none is
// 2^35 below the next one.
func Encode(offsets []int64, next int64) string {
	var out []byte
	for i := len(offsets) - 1; i >= 0; i-- {
		out = binary.AppendUvarint(out, uint64(next-offsets[i]))
		next = offsets[i]
	}
	return version + base64.RawStdEncoding.EncodeToString(out)
}

// Decode is the inverse of Encode.
func Decode(text string, next int64) (offsets []int64, err error) {
	encoded, ok := strings.CutPrefix(text, version)
	if !ok {
		return nil, fmt.Errorf("metadata %q is of another release: run the release that wrote it", text)
	}
	raw, err := base64.RawStdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("metadata %q: %w", text, err)
	}
	for len(raw) > 0 {
		distance, n := binary.Uvarint(raw)
		if n <= 0 || distance == 0 || distance > uint64(next) {
			return nil, fmt.Errorf("metadata %q is no list of offsets below %d", text, next)
		}
		next -= int64(distance)
		offsets = append([]int64{next}, offsets...)
		raw = raw[n:]
	}
	return offsets, nil
}

// Pauses are the first one and the longest.
type Pauses struct{ First, Most time.Duration }

// After is the pause after so many tries: each is twice the one before.
func (p Pauses) After(tries int) time.Duration {
	pause := p.First
	for range tries - 1 {
		if pause = 2 * pause; pause >= p.Most {
			return p.Most
		}
	}
	return pause
}
