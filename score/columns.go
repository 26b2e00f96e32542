package score

import (
	"slices"
	"strings"
)

// kind is what a column or literal of a condition holds. Only equal kinds are compared, so that
// no condition depends on a cast and none can fail while a score runs.
type kind uint8

const (
	text kind = iota
	number
	boolean
	instant
)

func (k kind) String() string {
	return [...]string{"text", "number", "boolean", "time"}[k]
}

// columns is a closed list: what a condition may name, by name.
type columns map[string]column

type column struct {
	// name is the column of the view; the key of the list may be another word for it.
	name string
	kind kind
}

// beaconColumns lists what `where` may name: columns of the view beacons.
func beaconColumns() columns {
	c := columns{"ts": {"occurred_at", instant}}
	c.add(text, "event_id", "site", "visitor_id", "contact_id", "type", "url", "url_host",
		"url_path", "url_query", "referrer", "title", "utm_source", "utm_medium", "utm_campaign",
		"utm_term", "utm_content", "channel", "device", "browser", "os", "country", "language",
		"bot_rule", "user_agent", "ip", "protocol", "collector", "link", "recipient", "props",
		"consent", "consent_choice", "consent_source", "tc_sha256", "tcf_purposes",
		"referring_visitor_id", "identified_by")
	c.add(instant, "occurred_at", "received_at", "created_at", "sent_at", "consent_at",
		"referring_visitor_at")
	c.add(boolean, "is_bot", "clamped", "gpc", "was_anonymous")
	c.add(number, "engaged_ms", "topic_partition", "topic_offset")
	return c
}

// contactColumns lists what `when` may name: columns of the view contact_versions.
func contactColumns() columns {
	c := columns{}
	c.add(text, "contact_id", "email", "first_name", "last_name", "phone", "company",
		"submission_id")
	c.add(instant, "created_at", "updated_at")
	c.add(number, "submissions", "records", "version")
	return c
}

func (c columns) add(k kind, names ...string) {
	for _, name := range names {
		c[name] = column{name, k}
	}
}

// names returns the listed words in alphabetical order.
func (c columns) names() []string {
	names := make([]string, 0, len(c))
	for name := range c {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// quoteText writes s as a SQL string literal.
func quoteText(s string) string {
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// quoteName writes a column's name as a SQL identifier.
func quoteName(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}
