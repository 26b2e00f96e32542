package ingest

import (
	"cmp"
	"strings"
	"time"
	"unicode/utf8"

	"crumbtrail/ingest/enrich"
	"crumbtrail/schemas"

	"github.com/tidwall/gjson"
)

// segmentMessage is one event of a library.
type segmentMessage struct {
	// call is what happened: track, identify, page, screen, group or alias.
	call string
	// body is the message, batch what surrounds it.
	body  gjson.Result
	batch segmentBatch
	// anonymous is who sends, where the message does not say it.
	anonymous string
}

// parseSegment reads one event; call is empty where it says itself what it is. It returns what it
// could read of an event that it refuses, too.
func parseSegment(
	call string, raw []byte, batch segmentBatch, anonymous string, limits Limits,
) (*segmentMessage, *Rejection) {
	m := &segmentMessage{call: call, batch: batch, anonymous: anonymous}
	if len(raw) > limits.BeaconBytes {
		return m, tooLarge(limits.BeaconBytes)
	}
	if batch.bad != nil {
		return m, batch.bad
	}
	if bad := wellFormed(raw, bounds{limits.Depth, limits.Keys, true}); bad != nil {
		return m, bad
	}
	if bad := cleanText(raw); bad != nil {
		return m, bad
	}
	m.body = gjson.ParseBytes(raw)
	if !m.body.IsObject() {
		return m, &Rejection{ReasonWrongType, "want an object", ""}
	}
	if call == "" {
		m.call = m.text("type")
	}
	return m, m.check()
}

// check looks whether the event can be used.
func (m *segmentMessage) check() (bad *Rejection) {
	seen := map[string]bool{}
	m.body.ForEach(func(key, _ gjson.Result) bool {
		if seen[key.Str] {
			bad = &Rejection{ReasonDuplicateKey, "want the member once", pointer(key.Str)}
		}
		seen[key.Str] = true
		return bad == nil
	})
	if bad != nil {
		return bad
	}
	switch m.call {
	case "identify", "page", "screen", "group":
	case "track":
		if m.text("event") == "" {
			return &Rejection{ReasonMissingField, "want the name of the event", "/event"}
		}
	case "alias":
		if m.text("previousId") == "" {
			return &Rejection{ReasonMissingField, "want the id from before", "/previousId"}
		}
	case "":
		return &Rejection{ReasonMissingField, "want what happened", "/type"}
	default:
		return &Rejection{
			ReasonInvalidValue,
			"want track, identify, page, screen, group or alias", "/type",
		}
	}
	if m.text("userId") == "" && m.anonymousID() == "" {
		return &Rejection{ReasonMissingField, "want a userId or an anonymousId", "/userId"}
	}
	if utf8.RuneCountInString(m.text("messageId")) > maxEventID {
		return &Rejection{ReasonTooLong, "want at most 128 characters", "/messageId"}
	}
	return nil
}

// text is a member's text; a number is its digits.
func (m *segmentMessage) text(name string) string {
	return segmentText(m.body.Get(name))
}

func segmentText(v gjson.Result) string {
	switch v.Type {
	case gjson.String:
		return strings.ReplaceAll(v.Str, "\x00", "")
	case gjson.Number:
		return v.Raw
	}
	return ""
}

func (m *segmentMessage) anonymousID() string {
	return cmp.Or(m.text("anonymousId"), m.anonymous)
}

// context is a member of the context, the event's own or else the batch's.
func (m *segmentMessage) context(path string) gjson.Result {
	if own := m.body.Get("context." + path); own.Exists() {
		return own
	}
	return m.batch.context.Get(path)
}

// page is what is said of the page: by the call page, or by the library of every page.
func (m *segmentMessage) page(name string) string {
	if m.call == "page" {
		if own := segmentText(m.body.Get("properties." + name)); own != "" {
			return own
		}
	}
	return segmentText(m.context("page." + name))
}

// claim makes a claim of the event for a site.
func (m *segmentMessage) claim(site string) *claim {
	b := &schemas.Beacon{
		EventId: m.text("messageId"), Site: site, Type: m.kind(),
		Url:       plain(m.page("url"), maxURL),
		Referrer:  plain(cmp.Or(m.page("referrer"), segmentText(m.context("referrer.url"))), maxURL),
		Title:     plain(m.page("title"), maxTitle),
		UserAgent: plain(segmentText(m.context("userAgent")), enrich.MaxUserAgent),
		Campaign:  m.campaign(),
		SentAtUs:  cmp.Or(lenientTime(m.body.Get("sentAt")), m.batch.sentAt),
	}
	b.CreatedAtUs = cmp.Or(lenientTime(m.body.Get("originalTimestamp")),
		lenientTime(m.body.Get("timestamp")))
	if language := enrich.FirstLanguage(segmentText(m.context("locale"))); language != "" {
		b.Agent = &schemas.Agent{Language: language}
	}
	c := &claim{
		beacon: b, props: m.props,
		visitor: clientID(m.anonymousID()), user: personID(site, m.text("userId")),
		consent: consentOf(m.context("consent.categoryPreferences")),
		address: segmentText(m.context("ip")), server: !m.fromDevice(),
	}
	if m.call == "alias" && c.visitor == "" {
		c.visitor = clientID(m.text("previousId")) // the browser that it was until then
	}
	traits := m.body.Get("traits")
	if !traits.IsObject() {
		traits = m.body.Get("context.traits") // where RudderStack's libraries put them
	}
	if m.call == "identify" && traits.IsObject() && !emptyObject(traits.Raw) {
		c.kind, c.form = schemas.SubmissionKind_SUBMISSION_KIND_API, m.call
		c.fields = contactFields(traits)
	}
	return c
}

// fromDevice says whether the visitor's own device sent the event, as far as it says so itself.
func (m *segmentMessage) fromDevice() bool {
	switch m.text("channel") {
	case "browser", "client", "mobile", "web":
		return true
	}
	return m.context("direct").Bool() || m.context("device").IsObject()
}

func (m *segmentMessage) kind() schemas.BeaconType {
	if m.call == "page" {
		return schemas.BeaconType_BEACON_TYPE_PAGE_VIEW
	}
	return schemas.BeaconType_BEACON_TYPE_CUSTOM
}

func (m *segmentMessage) campaign() *schemas.Campaign {
	of := func(name string) string {
		return plain(segmentText(m.context("campaign."+name)), maxTitle)
	}
	c := &schemas.Campaign{
		Source: of("source"), Medium: of("medium"), Name: of("name"), Term: of("term"),
		Content: of("content"),
	}
	if c.SizeVT() == 0 {
		return nil
	}
	return c
}

// props are the event's properties: its name and what the caller gave, and under "_raw" all of the
// message that has no column, as it came, as far as the consent goes. What is said of a person is
// in the submission alone.
func (m *segmentMessage) props(consent schemas.Consent) []byte {
	var out []byte
	switch m.call {
	case "track":
		out = member(out, "name", quote(m.text("event")))
	case "page":
		out = memberIf(out, "name", m.text("name"))
	default:
		out = member(out, "name", quote(m.call))
		if m.call == "screen" {
			out = memberIf(out, "screen", m.text("name"))
		}
		if m.call == "group" && consent == schemas.Consent_CONSENT_IDENTIFIED {
			out = memberIf(out, "group", m.text("groupId"))
			out = memberObject(out, "traits", m.body.Get("traits"))
		}
	}
	if m.call == "page" || m.call == "screen" {
		out = memberIf(out, "category", m.text("category"))
	}
	properties := m.body.Get("properties")
	if m.call == "page" {
		properties = without(properties, "url", "referrer", "title", "path", "search")
	}
	out = memberObject(out, "properties", properties)
	return object(member(out, rawKey, m.rest(consent)))
}

// memberObject appends an object, unless it is empty.
func memberObject(members []byte, name string, v gjson.Result) []byte {
	if !v.IsObject() || emptyObject(v.Raw) {
		return members
	}
	return member(members, name, v.Raw)
}

// rest is a JSON object of the members that are in no column.
func (m *segmentMessage) rest(consent schemas.Consent) string {
	var out []byte
	m.body.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "messageId", "writeKey", "timestamp", "originalTimestamp", "sentAt", "receivedAt",
			"event", "name", "category", "properties", "traits", "context":
			return true
		case "userId", "previousId", "groupId":
			if consent < schemas.Consent_CONSENT_IDENTIFIED {
				return true
			}
		case "anonymousId":
			if consent < schemas.Consent_CONSENT_STATISTICAL {
				return true
			}
		}
		if !isTelling(key.Str, segmentText(v)) {
			out = member(out, key.Str, v.Raw)
		}
		return true
	})
	return string(object(member(out, "context", m.surroundings(consent))))
}

// surroundings is the context, less what has a column and what says more of a person or a device
// than the consent allows.
func (m *segmentMessage) surroundings(consent schemas.Consent) string {
	var out []byte
	seen := map[string]bool{}
	for _, context := range []gjson.Result{m.body.Get("context"), m.batch.context} {
		context.ForEach(func(key, v gjson.Result) bool {
			if seen[key.Str] || !context.IsObject() {
				return true
			}
			seen[key.Str] = true
			if keepsContext(key.Str, consent) && !isTelling(key.Str, segmentText(v)) {
				out = member(out, key.Str, v.Raw)
			}
			return true
		})
	}
	return string(object(out))
}

func keepsContext(name string, consent schemas.Consent) bool {
	switch name {
	case "page", "campaign", "userAgent", "ip", "locale", "traits":
		return false
	case "active", "app", "consent", "library", "os", "screen", "timezone", "userAgentData":
		return true
	}
	return consent == schemas.Consent_CONSENT_IDENTIFIED
}

// contactFields are the fields of a submission that traits make: all of them, and under the names
// that attributes have by default, what is known of the contact.
func contactFields(traits gjson.Result) []byte {
	out := []byte{'{'}
	seen := map[string]bool{}
	traits.ForEach(func(key, v gjson.Result) bool {
		seen[key.Str] = true
		if key.Str == "company" && v.IsObject() {
			v = v.Get("name")
		}
		if v.Exists() {
			out = appendMember(out, key.Raw, v.Raw)
		}
		return true
	})
	add := func(name, value string) {
		if value != "" && !seen[name] {
			out = appendMember(out, quote(name), quote(value))
		}
	}
	first, last := segmentText(traits.Get("firstName")), segmentText(traits.Get("lastName"))
	if name := segmentText(traits.Get("name")); first == "" && last == "" {
		first, last, _ = strings.Cut(strings.TrimSpace(name), " ")
	}
	add("first_name", strings.TrimSpace(first))
	add("last_name", strings.TrimSpace(last))
	return append(out, '}')
}

// lenientTime reads ISO 8601 as clients of many languages write it, with or without a zone, or
// milliseconds since 1970; 0 where it is none of these.
func lenientTime(v gjson.Result) int64 {
	if v.Type == gjson.Number {
		const most = 1 << 50 // beyond the year 37000
		if v.Num > 0 && v.Num < most {
			return int64(v.Num) * 1000
		}
		return 0
	}
	if us, ok := parseTime(v.Str); ok {
		return us
	}
	for _, layout := range []string{
		"2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00",
		"2006-01-02 15:04:05", "2006-01-02",
	} {
		if t, err := time.Parse(layout, v.Str); err == nil {
			return t.UnixMicro()
		}
	}
	return 0
}
