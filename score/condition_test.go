package score

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestConditionPrintsQuoted(t *testing.T) {
	for _, tc := range []struct{ input, printed string }{
		{"url_path = '/pricing'", `("url_path" = '/pricing')`},
		{"URL_PATH='/it''s'", `("url_path" = '/it''s')`},
		{`"url_path" != 'a'`, `("url_path" <> 'a')`},
		{
			"url_path = 'a' or url_path = 'b' AND NOT is_bot",
			`(("url_path" = 'a') OR (("url_path" = 'b') AND (NOT "is_bot")))`,
		},
		{
			"(url_path = 'a' or url_path = 'b') and title is not null",
			`((("url_path" = 'a') OR ("url_path" = 'b')) AND ("title" IS NOT NULL))`,
		},
		{"utm_source in ('a', 'b')", `("utm_source" IN ('a', 'b'))`},
		{"utm_source not in ('a')", `("utm_source" NOT IN ('a'))`},
		{"topic_offset between -007 and 2.50", `("topic_offset" BETWEEN -7 AND 2.5)`},
		{"topic_offset not between 1 and 2", `("topic_offset" NOT BETWEEN 1 AND 2)`},
		{"url not ilike '%a%'", `("url" NOT ILIKE '%a%')`},
		{"is_bot = false", `("is_bot" = FALSE)`},
		{"not not is_bot", `(NOT (NOT "is_bot"))`},
		{
			"ts >= '2026-01-31T12:00:00+02:00'",
			`("occurred_at" >= '2026-01-31 10:00:00+00')`,
		},
		{"'2026-01-31' < received_at", `('2026-01-31 00:00:00+00' < "received_at")`},
		{
			"'2026-01-31' between '2026-01-30' and received_at",
			`('2026-01-31 00:00:00+00' BETWEEN '2026-01-30 00:00:00+00' AND "received_at")`,
		},
		{"url = '--; drop table x'", `("url" = '--; drop table x')`},
		{"-0 = 0.0", `(0 = 0)`},
	} {
		c, err := parseCondition(tc.input, beaconColumns())
		if err != nil {
			t.Errorf("%s: %v", tc.input, err)
			continue
		}
		if got := c.SQL(); got != tc.printed {
			t.Errorf("%s prints as\n%s, not\n%s", tc.input, got, tc.printed)
		}
	}
}

func TestConditionErrorsSayWhere(t *testing.T) {
	for _, tc := range []struct{ input, err string }{
		{"", "character 1: expected a column or a literal, found the end"},
		{"title = 'ü' AND now() > ts", "character 17: " +
			"now(…) is a function call, and a condition has none"},
		{"url = 'a", "character 7: a quote ' is never closed"},
		{"url = 'a'; drop", `character 10: ';' has no meaning in a condition: it is made of ` +
			"comparisons, AND, OR, NOT, IN, BETWEEN, LIKE and IS NULL"},
		{"url = 5", "character 7: text cannot be compared with number"},
		{"url", "character 4: expected a comparison, found the end"},
		{"url = NULL", "character 7: nothing equals NULL: write IS NULL or IS NOT NULL"},
		{"url IN (title)", "character 9: IN takes literals, found the column title"},
		{"url IN ()", "character 9: expected a column or a literal, found )"},
		{"(url = 'a'", "character 11: expected ), found the end"},
		{"url = 'a' url", "character 11: expected AND, OR or the end, found url"},
		{"topic_offset LIKE '1'", "character 1: LIKE compares text with text"},
		{"url NOT 'a'", "character 9: expected IN, BETWEEN, LIKE or ILIKE after NOT, found 'a'"},
		{"ts > 'soon'", "character 6: 'soon' is no time: write it as '2026-01-31', " +
			"'2026-01-31 12:00:00' (UTC) or '2026-01-31T12:00:00Z'"},
		{"topic_offset = 1e5", `character 16: "1e" is not a number`},
		{"topic_offset = 1234567890123456789", "character 16: a number may have 18 digits at most"},
		{"url IN (SELECT 1)", noColumn("select", 9)},
		{`url_path = "/it's"`, `character 12: no such column: "/it's"; text stands in single ` +
			`quotes: '/it''s'`},
		{"url_pth = '/x'", noColumn("url_pth", 1) + `; did you mean "url_path"?`},
		{strings.Repeat("NOT ", 33) + "is_bot", "character 129: " +
			"a condition may be nested 32 deep at most"},
	} {
		_, err := parseCondition(tc.input, beaconColumns())
		if err == nil || err.Error() != tc.err {
			t.Errorf("%s:\n%v, not\n%s", tc.input, err, tc.err)
		}
	}
}

// TestConditionsAreNoSQL: what means something in SQL means nothing here, or is the content of a
// text.
func TestConditionsAreNoSQL(t *testing.T) {
	for _, input := range []string{
		"url = 'a'; DROP TABLE x", "url = 'a' -- b", "url = 'a' /* b */", "-- url\nis_bot", "url = 'a';",
		"url = 'a' UNION SELECT 1", "url = (SELECT 'a')", "EXISTS (SELECT 1)", "SELECT", "1 = 1)", "(1 = 1",
		`url = 'a\' OR 1 = 1 --'`, "url = E'a'", "url = x'61'", "url = $$a$$", "url = $1", "url = ?",
		"url = :a", "url = @a", "`url` = 'a'", "[url] = 'a'", "url[1] = 'a'", "beacons.url = 'a'",
		`"beacons"."url" = 'a'`, "url::TEXT = 'a'", "CAST(url AS TEXT) = 'a'", "url || 'a' = 'b'",
		"topic_offset + 1 = 2", "- topic_offset = 1", "topic_offset = 1 = is_bot", "url = 'a' COLLATE NOCASE",
		"url LIKE 'a' ESCAPE '!'", "url SIMILAR TO 'a'", "url ~ 'a'", "url GLOB 'a'", "url IS 'a'",
		"url IS DISTINCT FROM 'a'", "url == 'a'", "url = ANY('a')", "url IN 'a'", "url IN ('a',)",
		"CASE WHEN is_bot THEN is_bot END", "now() = ts", "random() > 0", "getenv('HOME') = 'a'",
		"read_text('/etc/passwd') = 'a'", "url IN (FROM read_text('/etc/passwd'))", "ts > now",
		"ts > INTERVAL 1 DAY", "ts > current_date", "rowid = 1", "rid = 1", "subject = 1", "* = 1",
		"url = \u2018a\u2019", "url\u00a0= 'a'", "url = 'a'\u200b", "\uff07a\uff07 = url", "url = 'a\x00'",
		"url = 'a\xff'", "\ufeffis_bot", "is_bot\u2028", "ıs_bot", "url = 'a' \u202e", "is_bot AND", "NOT",
		"is_bot is_bot", "is_bot NOT", "()", "TRUE FALSE", "topic_offset = 0x10", "topic_offset = 1_000",
		"topic_offset = 1.", "topic_offset = .5", "topic_offset = --1", "topic_offset = 1e9", "engaged_ms = NaN",
	} {
		if c, err := parseCondition(input, beaconColumns()); err == nil {
			t.Errorf("%q is the condition %s", input, c.SQL())
		} else if bad := (*conditionError)(nil); !errors.As(err, &bad) || bad.Pos < 1 {
			t.Errorf("%q: %v says not where", input, err)
		}
	}
}

func noColumn(name string, at int) string {
	return fmt.Sprintf("character %d: no such column: %q is none of %s", at, name,
		strings.Join(beaconColumns().names(), ", "))
}

// FuzzCondition: what is parsed prints as what parses to the same, and outside of quotes a print
// has only words of the language.
func FuzzCondition(f *testing.F) {
	for _, seed := range []string{
		"url_path = '/it''s' OR NOT (topic_offset BETWEEN -1 AND 2.5 AND is_bot)",
		"utm_source NOT IN ('a', 'b') AND title IS NOT NULL",
		"ts >= '2026-01-31T12:00:00.5+02:00' AND url NOT ILIKE '%--%'",
		"'2026-01-31' between '2026-01-30' and received_at",
		`"url" <> "title" and true`,
		"0001 = -0.10",
		"url = '\x00'",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, input string) {
		c, err := parseCondition(input, beaconColumns())
		if err != nil {
			return
		}
		printed := c.SQL()
		again, err := parseCondition(printed, beaconColumns())
		if err != nil {
			t.Fatalf("%q prints as %q: %v", input, printed, err)
		}
		if again.SQL() != printed {
			t.Fatalf("%q prints as %q, and that as %q", input, printed, again.SQL())
		}
		tokens, err := lex(printed)
		if err != nil {
			t.Fatal(err)
		}
		for _, token := range tokens {
			if token.class != nameToken {
				continue
			}
			if column, ok := beaconColumns()[token.value]; !ok || column.name != token.value ||
				!strings.Contains(printed, quoteName(token.value)) {
				t.Fatalf("%q prints as %q, where %q is no column", input, printed, token.value)
			}
		}
	})
}
