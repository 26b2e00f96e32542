package mail

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
)

// waitingVersion begins what is committed with the offset: the offsets before it of mails that are
// still to be sent, each as its distance from the one before, from the committed one down.
const waitingVersion = "1 "

// encodeWaiting writes ascending offsets below next. 500 of them take 3,400 bytes at most, where
// none is 2^35 below the next one.
func encodeWaiting(offsets []int64, next int64) string {
	var out []byte
	for i := len(offsets) - 1; i >= 0; i-- {
		out = binary.AppendUvarint(out, uint64(next-offsets[i]))
		next = offsets[i]
	}
	return waitingVersion + base64.RawStdEncoding.EncodeToString(out)
}

// decodeWaiting is the inverse of encodeWaiting.
func decodeWaiting(text string, next int64) (offsets []int64, err error) {
	encoded, ok := strings.CutPrefix(text, waitingVersion)
	if !ok {
		return nil, fmt.Errorf("metadata %q of the mails is of another release: run the release that "+
			"wrote it", text)
	}
	raw, err := base64.RawStdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("metadata %q of the mails: %w", text, err)
	}
	for len(raw) > 0 {
		distance, n := binary.Uvarint(raw)
		if n <= 0 || distance == 0 || distance > uint64(next) {
			return nil, fmt.Errorf("metadata %q of the mails is no list of offsets below %d", text, next)
		}
		next -= int64(distance)
		offsets = append([]int64{next}, offsets...)
		raw = raw[n:]
	}
	return offsets, nil
}
