package ingest

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"crumbtrail/ingest/enrich"
	"crumbtrail/schemas"

	"github.com/tidwall/gjson"
)

// A beacon's JSON is checked by hand, in one pass and with few allocations, against what
// schemas/beacon.schema.json says; a test and a fuzz target hold the two together. Two choices:
// null stands for an absent member, and members that the schema does not name are kept, in
// props under "_extra", since a newer tracker's field is worth more than a refused beacon.

// Rejection says why an input was refused.
type Rejection struct {
	// Reason is a short snake_case constant, one of the Reason constants.
	Reason string
	// Detail says what was expected, for people.
	Detail string
	// Path is the JSON pointer to the offending member, or to where a missing one belongs.
	Path string
}

// Why an input is refused.
const (
	ReasonInvalidJSON    = "invalid_json"
	ReasonInvalidUTF8    = "invalid_utf8"
	ReasonInvalidUnicode = "invalid_unicode"
	ReasonTooLarge       = "too_large"
	ReasonTooDeep        = "too_deep"
	ReasonTooManyKeys    = "too_many_keys"
	ReasonTooManyBeacons = "too_many_beacons"
	ReasonDuplicateKey   = "duplicate_key"
	ReasonMissingField   = "missing_field"
	ReasonWrongType      = "wrong_type"
	ReasonInvalidValue   = "invalid_value"
	ReasonInvalidTime    = "invalid_time"
	ReasonTooLong        = "too_long"
	ReasonNotCombined    = "not_combined_format"
)

// The longest text of each member, in characters, as the schema has them.
const (
	maxEventID = 128
	maxSite    = 128
	maxVisitor = 256
	maxURL     = 8192
	maxTitle   = 2048
	maxIP      = 64
)

// maxEngaged is the most engaged time that one ping may claim, in milliseconds.
const maxEngaged = 30_000

// extraKey is the member of props that holds what the schema does not name.
const extraKey = "_extra"

// claim is what a client says: a beacon before the edge has decided who it is from, when it
// happened and what may be done with it.
type claim struct {
	// beacon holds what needs no decision. Its ip is as claimed, neither checked nor truncated.
	beacon *schemas.Beacon
	// visitor is the id in the body, empty where there is none.
	visitor string
	// consent is unspecified where the client said nothing.
	consent schemas.Consent
	// receivedAt is for a replay alone, microseconds since the epoch, 0 where absent.
	receivedAt int64
	// form is the form's name and fields its fields, a JSON object. They make a submission of
	// form_submit, and of every beacon with a kind of submission.
	form   string
	fields []byte
	// recipient is the contact that a link was made for; it is kept where there is consent to it.
	recipient string
	// rule calls the client a bot, where its user agent does not.
	rule string
	kind schemas.SubmissionKind

	// The rest is for protocols that say more than a beacon of our own does.

	// happenedAt beats the clocks of the beacon, microseconds since the epoch, 0 where absent.
	happenedAt int64
	// user names a person in the sender's own system, and may stand for a visitor.
	user string
	// server is true where it was not the visitor's own machine that sent it, so that the
	// connection says nothing of the visitor; address is what the client says instead.
	server  bool
	address string
	// props makes the properties of what a consent allows, nil where they are in the beacon.
	props func(schemas.Consent) []byte
}

// submits says whether a claim is also what somebody says of themselves.
func (c *claim) submits() bool {
	return c.beacon.Type == schemas.BeaconType_BEACON_TYPE_FORM_SUBMIT ||
		c.kind != schemas.SubmissionKind_SUBMISSION_KIND_UNSPECIFIED
}

// decodeBatch calls each with every beacon of a request's body, in order: of {"beacons":[…]}, of a
// bare array, or the body itself where it is a single beacon. The beacons are well-formed JSON
// but not checked further; they alias body. batchSentAt is the batch's sent_at, zero if absent.
func decodeBatch(
	body []byte, limits Limits, each func(raw []byte, batchSentAt time.Time),
) *Rejection {
	// Elements are held to limits.Depth one by one, so that one of them does not sink the rest.
	if bad := wellFormed(body, bounds{depth: batchDepth, keys: len(body)}); bad != nil {
		return bad
	}
	root := aliased(body)
	list, sentAt := root, time.Time{}
	switch {
	case root.IsArray():
	case !root.IsObject():
		return &Rejection{ReasonWrongType, "want an object or an array of objects", ""}
	default:
		var bad *Rejection
		if list, sentAt, bad = batchMembers(root); bad != nil {
			return bad
		}
		if !list.Exists() {
			each(body, time.Time{})
			return nil
		}
	}
	return elements(body, list, limits.BatchBeacons, func(raw []byte) { each(raw, sentAt) })
}

// elements calls each with every element of a list in body, which it aliases.
func elements(body []byte, list gjson.Result, most int, each func(raw []byte)) *Rejection {
	all := make([][]byte, 0, 8)
	list.ForEach(func(_, v gjson.Result) bool {
		all = append(all, body[v.Index:v.Index+len(v.Raw):v.Index+len(v.Raw)])
		return len(all) <= most
	})
	if len(all) > most {
		return &Rejection{
			ReasonTooManyBeacons, fmt.Sprintf("want at most %d beacons in one request", most), "",
		}
	}
	for _, raw := range all {
		each(raw)
	}
	return nil
}

// batchDepth is as deep as a body is looked into before its beacons are taken apart: gjson
// recurses, so that something must bound it.
const batchDepth = 1000

// batchMembers returns the list of beacons of a batch, which does not exist in a single beacon.
func batchMembers(root gjson.Result) (list gjson.Result, sentAt time.Time, bad *Rejection) {
	var sent gjson.Result
	root.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "beacons":
			list = v
		case "sent_at":
			sent = v
		}
		return true
	})
	if !list.Exists() {
		return list, sentAt, nil
	}
	if !list.IsArray() {
		return list, sentAt, &Rejection{ReasonWrongType, "want an array", "/beacons"}
	}
	us, bad := instant(sent, "/sent_at")
	if bad == nil && us != 0 {
		sentAt = time.UnixMicro(us).UTC()
	}
	return list, sentAt, bad
}

// decodeBeacon reads one beacon's JSON. The claim does not alias raw.
func decodeBeacon(raw []byte, limits Limits) (*claim, *Rejection) {
	return decodeFor("", raw, limits)
}

// decodeFor is decodeBeacon for input that belongs to a site, whatever it says itself; an empty
// site leaves it to the input.
func decodeFor(site string, raw []byte, limits Limits) (*claim, *Rejection) {
	if len(raw) > limits.BeaconBytes {
		return nil, tooLarge(limits.BeaconBytes)
	}
	if bad := wellFormed(raw, bounds{limits.Depth, limits.Keys, true}); bad != nil {
		return nil, bad
	}
	return newDecoder().read(site, bytes.Clone(raw))
}

func tooLarge(most int) *Rejection {
	return &Rejection{ReasonTooLarge, fmt.Sprintf("want at most %d bytes", most), ""}
}

const protocolNative = "native"

// decoder fills a claim, member by member, until the first bad one. It can be used again.
type decoder struct {
	claim  claim
	beacon *schemas.Beacon
	// each is the method member.
	each  func(key, v gjson.Result) bool
	props gjson.Result
	// extra is the members that the schema does not name, as "name":value,….
	extra []byte
	seen  uint32
	bad   *Rejection
}

func newDecoder() *decoder {
	d := &decoder{beacon: &schemas.Beacon{Protocol: protocolNative}}
	d.claim.beacon, d.each = d.beacon, d.member
	return d
}

// next reads a beacon that is an element of a batch, and so well-formed. The claim aliases raw, and
// it is only good until the next one.
func (d *decoder) next(raw []byte, limits Limits) (*claim, *Rejection) {
	if len(raw) > limits.BeaconBytes {
		return nil, tooLarge(limits.BeaconBytes)
	}
	most := bounds{limits.Depth, limits.Keys, true}
	if bad := most.hold(raw); bad != nil {
		return nil, bad
	}
	d.beacon.Reset()
	d.beacon.Protocol = protocolNative
	d.claim = claim{beacon: d.beacon}
	d.props, d.extra, d.seen, d.bad = gjson.Result{}, d.extra[:0], 0, nil
	return d.read("", raw)
}

// read reads well-formed JSON, which the claim aliases.
func (d *decoder) read(site string, raw []byte) (*claim, *Rejection) {
	if bad := cleanText(raw); bad != nil {
		return nil, bad
	}
	root := aliased(raw)
	if !root.IsObject() {
		return nil, &Rejection{ReasonWrongType, "want an object", ""}
	}
	root.ForEach(d.each)
	if site != "" {
		d.beacon.Site = site
	}
	if d.bad == nil {
		d.finish()
	}
	if d.bad != nil {
		return nil, d.bad
	}
	return &d.claim, nil
}

// member takes one member of the object; it returns false to stop.
func (d *decoder) member(key, v gjson.Result) bool {
	b := d.beacon
	switch key.Str {
	case "id":
		b.EventId = d.text(v, 0, "/id", maxEventID)
	case "site":
		b.Site = d.text(v, 1, "/site", maxSite)
	case "visitor":
		d.claim.visitor = d.text(v, 2, "/visitor", maxVisitor)
	case "type":
		d.kind(v)
	case "created_at":
		b.CreatedAtUs = d.time(v, 4, "/created_at")
	case "sent_at":
		b.SentAtUs = d.time(v, 5, "/sent_at")
	case "received_at":
		d.claim.receivedAt = d.time(v, 6, "/received_at")
	case "url":
		b.Url = d.text(v, 7, "/url", maxURL)
	case "referrer":
		b.Referrer = d.text(v, 8, "/referrer", maxURL)
	case "title":
		b.Title = d.text(v, 9, "/title", maxTitle)
	case "user_agent":
		b.UserAgent = d.text(v, 10, "/user_agent", enrich.MaxUserAgent)
	case "ip":
		b.Ip = d.text(v, 11, "/ip", maxIP)
	case "consent":
		d.consent(v)
	case "props":
		d.once(13, "/props")
		if v.Type != gjson.Null && !v.IsObject() {
			d.refuse(ReasonWrongType, "want an object", "/props")
		}
		d.props = v
	default:
		d.extra = append(append(append(d.extra, key.Raw...), ':'), v.Raw...)
		d.extra = append(d.extra, ',')
	}
	return d.bad == nil
}

// finish checks what is missing and parts the properties from the fields of a form.
func (d *decoder) finish() {
	b := d.beacon
	switch {
	case b.Site == "":
		d.refuse(ReasonMissingField, "want the key of a site", "/site")
		return
	case b.Type == schemas.BeaconType_BEACON_TYPE_UNSPECIFIED:
		d.refuse(ReasonMissingField, "want what happened", "/type")
		return
	case b.Type == schemas.BeaconType_BEACON_TYPE_FORM_SUBMIT:
		d.form()
		return
	case b.Type == schemas.BeaconType_BEACON_TYPE_PING:
		b.EngagedMs = engaged(d.props.Get("engaged_ms"))
	}
	b.Props = withExtra(d.props, "", d.extra)
}

// form parts a form's fields, personal data, from its beacon: they are the object props.fields,
// or all of props but the form's name. What the schema does not name is taken for a field.
func (d *decoder) form() {
	if name := d.props.Get("form"); name.Type == gjson.String {
		d.claim.form = name.Str
	}
	fields := d.props.Get("fields")
	if fields.IsObject() {
		d.beacon.Props = withExtra(d.props, "fields", nil)
		d.claim.fields = withExtra(fields, "", d.extra)
		return
	}
	d.claim.fields = withExtra(d.props, "form", d.extra)
	if d.claim.form != "" {
		d.beacon.Props = []byte(`{"form":` + d.props.Get("form").Raw + `}`)
	}
}

func (d *decoder) refuse(reason, detail, path string) {
	if d.bad == nil {
		d.bad = &Rejection{reason, detail, path}
	}
}

// once refuses a second member of the same name: which of the two was meant cannot be known.
func (d *decoder) once(bit uint, path string) {
	if d.seen&(1<<bit) != 0 {
		d.refuse(ReasonDuplicateKey, "want the member once", path)
	}
	d.seen |= 1 << bit
}

func (d *decoder) text(v gjson.Result, bit uint, path string, most int) string {
	d.once(bit, path)
	switch {
	case v.Type == gjson.Null && bit != 1:
		return ""
	case v.Type != gjson.String:
		d.refuse(ReasonWrongType, "want a string", path)
	case len(v.Str) > most && utf8.RuneCountInString(v.Str) > most:
		d.refuse(ReasonTooLong, "want at most "+strconv.Itoa(most)+" characters", path)
	case strings.IndexByte(v.Str, 0) >= 0:
		d.refuse(ReasonInvalidValue, "want no zero character", path)
	case v.Str == "" && bit <= 1:
		d.refuse(ReasonInvalidValue, "want at least one character", path)
	}
	return v.Str
}

func (d *decoder) kind(v gjson.Result) {
	d.once(3, "/type")
	t, ok := schemas.ParseBeaconType(v.Str)
	switch {
	case v.Type != gjson.String:
		d.refuse(ReasonWrongType, "want a string", "/type")
	case !ok:
		d.refuse(ReasonInvalidValue,
			"want page_view, ping, link_click, form_submit, custom or request", "/type")
	}
	d.beacon.Type = t
}

func (d *decoder) consent(v gjson.Result) {
	d.once(12, "/consent")
	c, ok := schemas.ParseConsent(v.Str)
	switch {
	case v.Type == gjson.Null:
	case v.Type != gjson.String:
		d.refuse(ReasonWrongType, "want a string", "/consent")
	case !ok:
		d.refuse(ReasonInvalidValue, "want none, statistical or identified", "/consent")
	}
	d.claim.consent = c
}

func (d *decoder) time(v gjson.Result, bit uint, path string) int64 {
	d.once(bit, path)
	us, bad := instant(v, path)
	if bad != nil && d.bad == nil {
		d.bad = bad
	}
	return us
}

// instant reads an RFC 3339 time; 0 where the value is absent or null.
func instant(v gjson.Result, path string) (int64, *Rejection) {
	if v.Type == gjson.Null {
		return 0, nil
	}
	if v.Type != gjson.String {
		return 0, &Rejection{ReasonWrongType, "want a string", path}
	}
	us, ok := parseTime(v.Str)
	if !ok {
		return 0, &Rejection{ReasonInvalidTime, "want RFC 3339: 2026-01-01T00:00:00.000Z", path}
	}
	return us, nil
}

// engaged bounds the engaged time of a ping; what is no number counts for nothing.
func engaged(v gjson.Result) int32 {
	if v.Type != gjson.Number || !(v.Num > 0) {
		return 0
	}
	return int32(min(v.Num, maxEngaged))
}

// withExtra copies the JSON object props without its members named drop, and with the members
// extra under "_extra", beside those that are there. It returns nil for an empty object.
func withExtra(props gjson.Result, drop string, extra []byte) []byte {
	extra = bytes.TrimSuffix(extra, []byte{','})
	if drop == "" && len(extra) == 0 {
		if raw := props.Raw; props.IsObject() && !emptyObject(raw) {
			return []byte(raw)
		}
		return nil
	}
	out := append(make([]byte, 0, len(props.Raw)+len(extra)+len(extraKey)+8), '{')
	foreign := false
	props.ForEach(func(key, v gjson.Result) bool {
		switch {
		case key.Str == drop && drop != "":
			return true
		case key.Str == extraKey && len(extra) > 0 && v.IsObject():
			if !emptyObject(v.Raw) {
				inner := strings.TrimSpace(v.Raw)
				extra = append(append([]byte(inner[1:len(inner)-1]), ','), extra...)
			}
			return true
		case key.Str == extraKey:
			foreign = true
		}
		out = append(append(append(out, key.Raw...), ':'), v.Raw...)
		out = append(out, ',')
		return true
	})
	if len(extra) > 0 && !foreign {
		out = append(append(append(out, `"`+extraKey+`":{`...), extra...), "},"...)
	}
	if len(out) == 1 {
		return nil
	}
	out[len(out)-1] = '}'
	return out
}

func emptyObject(raw string) bool {
	return strings.TrimSpace(strings.Trim(strings.TrimSpace(raw), "{}")) == ""
}
