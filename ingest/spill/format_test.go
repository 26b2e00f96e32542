package spill

import (
	"bytes"
	"testing"

	"crumbtrail/internal/kafka"

	"github.com/google/go-cmp/cmp"
)

func TestFrameRoundTrip(t *testing.T) {
	for _, want := range []Frame{
		{LowUs: -1, Messages: []kafka.Message{}},
		frame(7),
		{LowUs: 1 << 60, Messages: []kafka.Message{
			{Topic: "", Key: []byte{}, Value: nil, Partition: kafka.AnyPartition},
			{Topic: "t", Key: nil, Value: []byte{}, Timestamp: -5, Partition: kafka.AnyPartition},
		}},
	} {
		b := appendFrame([]byte("before"), marker{1}, 9, &want)[6:]
		size, sequence, payload := verified(b)
		if size != len(b) || sequence != 9 || int64(size) > sizeOf(&want) {
			t.Fatalf("%d of %d bytes, sequence %d", size, len(b), sequence)
		}
		got, err := decodePayload(payload)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		for at := range b[8:] {
			b[8+at] ^= 4
			if size, _, _ := verified(b); size != 0 {
				t.Fatalf("byte %d is changed and the frame verifies", 8+at)
			}
			b[8+at] ^= 4
		}
	}
}

// A frame in a client's own bytes is none of ours: it lacks the marker of the segment.
func TestFramesOfClients(t *testing.T) {
	inner := appendFrame(nil, marker{1, 2, 3}, 5, &Frame{Messages: frame(5).Messages})
	outer := Frame{Messages: []kafka.Message{{Topic: "beacons", Value: inner}}}
	data := appendHeader(nil, header{segment: 1, first: 1, marker: marker{4, 5, 6}})
	data = appendFrame(data, marker{4, 5, 6}, 1, &outer)
	data[headerBytes+9] ^= 1
	if r := readSegment(1, data); r.frames != 0 {
		t.Errorf("%d frames come out of a damaged one", r.frames)
	}
}

// FuzzSegment holds that no bytes make the reader panic, and that a frame that it takes is one that
// encodes to the very bytes that were there.
func FuzzSegment(f *testing.F) {
	whole := appendHeader(nil, header{segment: 1, first: 3, marker: marker{1, 2, 3}})
	for n := range uint64(3) {
		small := frame(n + 1)
		small.Messages[0].Value = small.Messages[0].Value[:8]
		whole = appendFrame(whole, marker{1, 2, 3}, 3+n, &small)
	}
	f.Add(whole)
	f.Add(whole[:headerBytes])
	f.Add(append(bytes.Clone(whole[:headerBytes+20]), whole[headerBytes:]...))
	f.Add(append(bytes.Clone(whole), make([]byte, 40)...))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := readSegment(1, data)
		frames := 0
		last := uint64(0)
		r.each(func(f *Frame, sequence uint64, offset int64, size int) {
			frames++
			if sequence <= last {
				t.Fatalf("sequence %d after %d", sequence, last)
			}
			last = sequence
			encoded := appendFrame(nil, r.marker, sequence, f)
			again, err := decodePayload(encoded[frameBytes:])
			if diff := cmp.Diff(*f, again); err != nil || diff != "" {
				t.Fatalf("%v %s", err, diff)
			}
			if offset < headerBytes || offset+int64(size) > int64(len(data)) {
				t.Fatalf("frame of %d bytes at %d of %d", size, offset, len(data))
			}
		})
		if frames != r.frames || r.end > int64(max(len(data), headerBytes)) {
			t.Fatalf("%d and %d frames, end %d of %d", frames, r.frames, r.end, len(data))
		}
		_, _ = decodePayload(data)
		_, _ = decodePosition(data)
	})
}
