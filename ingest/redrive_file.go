package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"crumbtrail/schemas"

	"google.golang.org/protobuf/encoding/protojson"
)

// badLine is a bad beacon as a line of NDJSON, for people to look at and to repair.
type badLine struct {
	BadBeaconID string `json:"bad_beacon_id"`
	Site        string `json:"site"`
	ReceivedAt  string `json:"received_at"`
	Protocol    string `json:"protocol"`
	Reason      string `json:"reason,omitempty"`
	Detail      string `json:"detail,omitempty"`
	Path        string `json:"path,omitempty"`
	// Raw is the bytes as text, RawBase64 where they are no UTF-8.
	Raw       string `json:"raw,omitempty"`
	RawBase64 []byte `json:"raw_base64,omitempty"`
	Truncated bool   `json:"truncated,omitempty"`
	Source    string `json:"source,omitempty"`
	Line      int64  `json:"line,omitempty"`
	PartOf    string `json:"part_of,omitempty"`
	// Context is a schemas.BadContext in the JSON of protobuf.
	Context json.RawMessage `json:"context,omitempty"`
}

// EncodeBad writes a bad beacon as one line of NDJSON, without its end.
func EncodeBad(b *schemas.BadBeacon) ([]byte, error) {
	line := badLine{
		BadBeaconID: b.BadBeaconId, Site: b.Site,
		ReceivedAt: time.UnixMicro(b.ReceivedAtUs).UTC().Format(time.RFC3339Nano),
		Protocol:   b.Protocol, Reason: b.Reason, Detail: b.Detail, Path: b.Path,
		Truncated: b.Truncated, Source: b.Source, Line: b.Line, PartOf: b.PartOf,
	}
	if utf8.Valid(b.Raw) {
		line.Raw = string(b.Raw)
	} else {
		line.RawBase64 = b.Raw
	}
	if b.Context != nil {
		text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(b.Context)
		if err != nil {
			return nil, fmt.Errorf("encode bad beacon %s: %w", b.BadBeaconId, err)
		}
		line.Context = text
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(line); err != nil {
		return nil, fmt.Errorf("encode bad beacon %s: %w", b.BadBeaconId, err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte{'\n'}), nil
}

// DecodeBad reads a line that EncodeBad has written and somebody has edited.
func DecodeBad(text []byte) (*schemas.BadBeacon, error) {
	var line badLine
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&line); err != nil {
		return nil, fmt.Errorf("bad beacon: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("bad beacon: want nothing after the object")
	}
	us, ok := parseTime(line.ReceivedAt)
	switch {
	case line.BadBeaconID == "" || len(line.BadBeaconID) > maxEventID:
		return nil, errors.New("bad beacon: want its bad_beacon_id, by which it is driven but once")
	case !ok:
		return nil, errors.New("bad beacon: want received_at as 2026-01-01T00:00:00.000Z")
	case line.Raw != "" && len(line.RawBase64) > 0:
		return nil, errors.New("bad beacon: want raw or raw_base64, not both")
	}
	for _, text := range []string{line.BadBeaconID, line.Site} {
		if !cleanName(text) {
			return nil, errors.New("bad beacon: want no zero character in bad_beacon_id and site")
		}
	}
	b := &schemas.BadBeacon{
		BadBeaconId: line.BadBeaconID, Site: line.Site, ReceivedAtUs: us, Protocol: line.Protocol,
		Reason: line.Reason, Detail: line.Detail, Path: line.Path, Truncated: line.Truncated,
		Source: line.Source, Line: line.Line, PartOf: line.PartOf, Raw: line.RawBase64,
	}
	if line.Raw != "" {
		b.Raw = []byte(line.Raw)
	}
	if len(line.Context) > 0 && string(line.Context) != "null" {
		b.Context = &schemas.BadContext{}
		if err := protojson.Unmarshal(line.Context, b.Context); err != nil {
			return nil, fmt.Errorf("bad beacon's context: %w", err)
		}
	}
	return b, nil
}
