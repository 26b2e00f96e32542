package sessionize

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"crumbtrail/internal/stage"
	"crumbtrail/schemas"
)

// drawWire draws bytes that are often fields, often with long numbers, and sometimes cut short.
func drawWire(t *rapid.T) []byte {
	var message []byte
	for range rapid.IntRange(0, 4).Draw(t, "fields") {
		tag := uint64(rapid.IntRange(0, 200).Draw(t, "tag"))
		if rapid.IntRange(0, 9).Draw(t, "large tag") == 0 {
			tag = rapid.Uint64().Draw(t, "tag")
		}
		number := rapid.Uint64().Draw(t, "number") >> rapid.IntRange(0, 63).Draw(t, "shift")
		message = protowire.AppendVarint(message, tag)
		switch protowire.Type(tag & tagTypes) {
		case protowire.BytesType:
			text := rapid.SliceOfN(rapid.Byte(), 0, 150).Draw(t, "text")
			message = protowire.AppendBytes(message, text)
		default:
			message = protowire.AppendVarint(message, number)
		}
	}
	return message[:len(message)-rapid.IntRange(0, len(message)/2).Draw(t, "cut")]
}

func TestNextField(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		message := rapid.OneOf(rapid.Custom(drawWire), rapid.SliceOf(rapid.Byte())).Draw(t, "message")
		for at := 0; at < len(message); {
			tag, number, end := nextField(message, at)
			wantNumber, wire, size := protowire.ConsumeField(message[at:])
			if size < 0 {
				if end >= 0 || fieldError(tag, end) == nil {
					t.Fatalf("%x ends at %d, want %v", message[at:], end, protowire.ParseError(size))
				}
				return
			}
			if end != at+size || tag != protowire.EncodeTag(wantNumber, wire) {
				t.Fatalf("%x: tag %d to %d, want %d %d to %d", message[at:], tag, end, wantNumber, wire,
					at+size)
			}
			_, _, tagSize := protowire.ConsumeTag(message[at:])
			switch payload := message[at+tagSize:]; wire {
			case protowire.VarintType:
				if want, _ := protowire.ConsumeVarint(payload); number != want {
					t.Fatalf("%x: number %d, want %d", message[at:], number, want)
				}
			case protowire.BytesType:
				want, _ := protowire.ConsumeBytes(payload)
				if !bytes.Equal(message[end-int(number):end], want) {
					t.Fatalf("%x: %d bytes, want %x", message[at:], number, want)
				}
			}
			at = end
		}
	})
}

// TestPlain says that what is taken as it is would be written so by the schema.
func TestPlain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var message []byte
		for range rapid.IntRange(0, 3).Draw(t, "fields") {
			number := rapid.IntRange(1, campaignFields+1).Draw(t, "number")
			message = protowire.AppendTag(message, protowire.Number(number), protowire.BytesType)
			text := rapid.SampledFrom([]string{"\x00", "\x01a", "\x02ab", "\x82\x00ab"}).Draw(t, "text")
			message = append(message, text...)
		}
		var campaign schemas.Campaign
		if err := campaign.UnmarshalVT(message); err != nil {
			t.Fatal(err)
		}
		again, err := campaign.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		same := bytes.Equal(again, message) && len(campaign.ProtoReflect().GetUnknown()) == 0
		if got := plain(message, campaignFields); got != same {
			t.Fatalf("plain(%x) = %t, the schema writes %x", message, got, again)
		}
	})
}

// TestOddMessages says that embedded messages come out as the schema writes them, however they came
// in, and that one which says nothing is there nevertheless.
func TestOddMessages(t *testing.T) {
	for _, test := range []struct{ name, campaign, want string }{
		{"an empty field", "\x0a\x00", ""},
		{"out of order", "\x12\x01b\x0a\x01a", "\x0a\x01a\x12\x01b"},
		{"twice", "\x0a\x01a\x0a\x01b", "\x0a\x01b"},
		{"a long length", "\x0a\x81\x00a", "\x0a\x01a"},
		{"an unknown field", "\x3a\x01a\x0a\x01b", "\x0a\x01b\x3a\x01a"},
	} {
		b := fullBeacon()
		b.Campaign = nil
		value, err := b.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		value = protowire.AppendTag(value, 18, protowire.BytesType)
		value = protowire.AppendString(value, test.campaign)
		record := protowire.AppendTag(nil, 1, protowire.BytesType)
		record = protowire.AppendBytes(record, value)
		var out stage.Output
		m := New(DefaultConfig(), 0)
		m.Apply([]stage.Record{{Value: record}, flushAfter(t, []stage.Record{{}})}, &out)
		got := visits(t, &out)
		if len(got) != 1 || got[0].Campaign == nil {
			t.Fatalf("%s: %v", test.name, got)
		}
		campaign, err := got[0].Campaign.MarshalVT()
		if err != nil || string(campaign) != test.want {
			t.Errorf("%s: %q, %v, want %q", test.name, campaign, err, test.want)
		}
	}
}
