package ingest

import (
	"strconv"
	"strings"
	"time"

	"crumbtrail/schemas"

	"github.com/tidwall/gjson"
)

// statement is what a visitor has said about consent, when, and by what means.
type statement struct {
	choice schemas.ConsentChoice
	source schemas.ConsentSource
	// at is in seconds since the epoch, 0 where it is not known.
	at int64
	// tcSHA256 and tcfPurposes are those of a beacon.
	tcSHA256    string
	tcfPurposes uint32
}

// objects says whether the visitor has refused or withdrawn consent.
func (s *statement) objects() bool { return s.choice == refused || s.choice == withdrawn }

// unnamed is what is kept of a statement where its visitor has no id, or one for a day: the second
// in which somebody has chosen tells them from others for as long as the choice holds.
func (s statement) unnamed() statement {
	const day = 24 * 60 * 60
	s.at -= s.at % day
	s.tcSHA256 = ""
	return s
}

// cookie is the text that keeps a statement in the browser:
//
//	choice.seconds.source[.purposes.sha256]
//
// purposes and sha256 are hexadecimal. Scripts may read it: it holds no id.
func (s *statement) cookie() string {
	text := s.choice.Name() + "." + strconv.FormatInt(s.at, 10) + "." + s.source.Name()
	if s.tcSHA256 != "" || s.tcfPurposes != 0 {
		text += "." + strconv.FormatUint(uint64(s.tcfPurposes), 16) + "." + s.tcSHA256
	}
	return text
}

// parseStatement reads a cookie, which the visitor may have written: whatever is not as above
// falls away from the end on. A choice alone is what the collector stored at first. What was made
// after now, in seconds since the epoch, has no time; a consent older than consents are kept is
// none, whoever has kept it longer.
func parseStatement(text string, now int64) statement {
	choice, rest, _ := strings.Cut(text, ".")
	var s statement
	if s.choice = choiceOf(choice); s.choice == undecided {
		return statement{}
	}
	at, rest, _ := strings.Cut(rest, ".")
	if n, err := strconv.ParseInt(at, 10, 64); err == nil && n > 0 && n <= now {
		s.at = n
	}
	if s.at != 0 && !s.objects() && now-s.at > int64(choiceLifetime/time.Second) {
		return statement{}
	}
	source, rest, _ := strings.Cut(rest, ".")
	if s.source = bannerSource(source); s.source == schemas.ConsentSource_CONSENT_SOURCE_UNSPECIFIED {
		s.source = schemas.ConsentSource_CONSENT_SOURCE_API
	}
	purposes, hash, _ := strings.Cut(rest, ".")
	if n, err := strconv.ParseUint(purposes, 16, maxTCFPurpose); err == nil && purposes != "" {
		s.tcfPurposes = uint32(n)
	}
	if isSHA256(hash) {
		s.tcSHA256 = hash
	}
	return s
}

// bannerSource is the means by which a choice comes from a page, unspecified for a name that is
// none.
func bannerSource(name string) schemas.ConsentSource {
	switch name {
	case "api":
		return schemas.ConsentSource_CONSENT_SOURCE_API
	case "tcf":
		return schemas.ConsentSource_CONSENT_SOURCE_TCF
	case "gpp":
		return schemas.ConsentSource_CONSENT_SOURCE_GPP
	case "gcm":
		return schemas.ConsentSource_CONSENT_SOURCE_GCM
	}
	return schemas.ConsentSource_CONSENT_SOURCE_UNSPECIFIED
}

// maxTCFPurpose is the last purpose that a TC string has room for.
const maxTCFPurpose = 24

// isSHA256 is true for 64 hexadecimal digits in lower case.
func isSHA256(text string) bool {
	if len(text) != 64 {
		return false
	}
	for _, c := range []byte(text) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// wantStatement is what a body of POST /v1/consent that cannot be read is answered.
const wantStatement = `want {"site":…,"choice":"granted", "refused" or "withdrawn"} or ` +
	`{"site":…,"purposes":{"analytics":…,"marketing":…,"profiling":…}}, and optionally ` +
	`"source":"api", "tcf", "gpp" or "gcm", "tc_sha256":"…", "tcf_purposes":[…]`

// decodeStatement reads what wantStatement says, made at a time in seconds since the epoch. What
// it cannot read it refuses as a whole: half a consent is none.
func decodeStatement(
	body []byte, limits Limits, now int64,
) (site string, said statement, ok bool) {
	if wellFormed(body, bounds{limits.Depth, limits.Keys, true}) != nil {
		return "", statement{}, false
	}
	root := gjson.ParseBytes(body)
	said = statement{at: now, source: schemas.ConsentSource_CONSENT_SOURCE_API}
	choice, purposes := root.Get("choice"), root.Get("purposes")
	switch {
	case choice.Exists() == purposes.Exists():
	case choice.Exists():
		if said.choice = choiceOf(choice.Str); said.choice == statistical {
			said.choice = undecided // purposes say that
		}
	default:
		said.choice = choiceOfPurposes(purposes)
	}
	if source := root.Get("source"); source.Exists() {
		said.source = bannerSource(source.Str)
	}
	ok = said.choice != undecided &&
		said.source != schemas.ConsentSource_CONSENT_SOURCE_UNSPECIFIED && said.readTCF(root)
	key := root.Get("site")
	return key.Str, said, ok && key.Type == gjson.String
}

// choiceOf is the choice of a name, undecided for a name that is none.
func choiceOf(name string) schemas.ConsentChoice {
	for _, c := range [...]schemas.ConsentChoice{granted, statistical, refused, withdrawn} {
		if name == c.Name() {
			return c
		}
	}
	return undecided
}

// choiceOfPurposes is the choice that comes to what was said of each purpose: people need all
// three, visits need analytics. A purpose that is not named is not consented to.
func choiceOfPurposes(purposes gjson.Result) schemas.ConsentChoice {
	in, known := map[string]bool{}, purposes.IsObject()
	purposes.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "analytics", "marketing", "profiling":
			in[key.Str] = v.Bool()
			known = known && v.IsBool()
		default:
			known = false
		}
		return known
	})
	switch {
	case !known || len(in) == 0:
		return undecided
	case !in["analytics"]:
		return refused
	case in["marketing"] && in["profiling"]:
		return granted
	}
	return statistical
}

// readTCF reads what a choice rests on, where it comes from a TC string.
func (s *statement) readTCF(root gjson.Result) (ok bool) {
	hash, purposes := root.Get("tc_sha256"), root.Get("tcf_purposes")
	if hash.Exists() {
		if s.tcSHA256 = hash.Str; !isSHA256(s.tcSHA256) {
			return false
		}
	}
	if !purposes.Exists() {
		return true
	}
	ok = purposes.IsArray()
	purposes.ForEach(func(_, v gjson.Result) bool {
		n := v.Int()
		if ok = ok && v.Type == gjson.Number && float64(n) == v.Num && n >= 1 && n <= maxTCFPurpose; ok {
			s.tcfPurposes |= 1 << (n - 1)
		}
		return ok
	})
	return ok
}
