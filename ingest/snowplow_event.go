package ingest

import (
	"cmp"
	"strings"
	"unicode/utf8"

	"crumbtrail/ingest/enrich"
	"crumbtrail/schemas"

	"github.com/tidwall/gjson"
)

// snowplowVendor is the vendor of the schemas of the trackers themselves.
const snowplowVendor = "com.snowplowanalytics.snowplow"

// snowplowEvent is an event of a tracker, taken apart.
type snowplowEvent struct {
	params *params
	// name is what happened; vendor and schema are those of a self-describing event, data is it.
	name, vendor, schema string
	data                 gjson.Result
	// entities is the list of what surrounds the event.
	entities gjson.Result
}

// decodeSnowplow makes a claim of an event's parameters.
func decodeSnowplow(p *params, limits Limits) (*claim, *Rejection) {
	b := &schemas.Beacon{
		EventId: p.get("eid"), Site: p.site(),
		Url: plain(p.get("url"), maxURL), Referrer: plain(p.get("refr"), maxURL),
		Title: plain(p.get("page"), maxTitle), UserAgent: plain(p.get("ua"), enrich.MaxUserAgent),
	}
	if language := enrich.FirstLanguage(p.get("lang")); language != "" {
		b.Agent = &schemas.Agent{Language: language}
	}
	switch {
	case p.get("aid") == "":
		return nil, &Rejection{ReasonMissingField, "want the key of a site", "/aid"}
	case b.Site == "":
		return nil, &Rejection{ReasonTooLong, "want the key of a site", "/aid"}
	case utf8.RuneCountInString(b.EventId) > maxEventID:
		return nil, &Rejection{ReasonTooLong, "want at most 128 characters", "/eid"}
	}
	c := &claim{
		beacon: b, address: p.get("ip"), server: p.get("p") == "srv",
		visitor: cmp.Or(clientID(p.get("nuid")), clientID(p.get("tnuid")), clientID(p.get("duid"))),
		user:    personID(b.Site, p.get("uid")),
	}
	for _, at := range []struct {
		name string
		to   *int64
	}{{"dtm", &b.CreatedAtUs}, {"stm", &b.SentAtUs}, {"ttm", &c.happenedAt}} {
		var bad *Rejection
		if *at.to, bad = p.time(at.name); bad != nil {
			return nil, bad
		}
	}
	e := &snowplowEvent{params: p}
	if bad := e.read(limits); bad != nil {
		return nil, bad
	}
	b.Type = e.kind()
	if b.Type == schemas.BeaconType_BEACON_TYPE_FORM_SUBMIT {
		bad := e.form(c, limits)
		return c, bad
	}
	c.props = e.props
	return c, nil
}

// read takes apart what is packed in parameters, and looks whether all is there.
func (e *snowplowEvent) read(limits Limits) (bad *Rejection) {
	p := e.params
	if e.entities, bad = p.packed("co", "cx", limits); bad != nil {
		return bad
	}
	if e.entities.Exists() && !e.entities.IsArray() {
		return &Rejection{ReasonWrongType, "want an array of entities", "/co"}
	}
	switch p.get("e") {
	case "":
		return &Rejection{ReasonMissingField, "want what happened", "/e"}
	case "pv", "pp":
	case "tr":
		e.name = "transaction"
	case "ti":
		e.name = "transaction_item"
	case "se":
		if e.name = p.get("se_ac"); e.name == "" || p.get("se_ca") == "" {
			return &Rejection{ReasonMissingField, "want a category and an action", "/se_ca"}
		}
	case "ue":
		return e.selfDescribing(limits)
	default:
		return &Rejection{ReasonInvalidValue, "want pv, pp, se, ue, tr or ti", "/e"}
	}
	return nil
}

func (e *snowplowEvent) selfDescribing(limits Limits) *Rejection {
	inner, bad := e.params.packed("ue_pr", "ue_px", limits)
	if bad != nil {
		return bad
	}
	e.schema, e.data = inner.Get("schema").String(), inner.Get("data")
	var ok bool
	if e.vendor, e.name, ok = parseSchema(e.schema); !ok {
		return &Rejection{
			ReasonInvalidValue, "want the schema iglu:vendor/name/jsonschema/1-0-0",
			"/ue_pr",
		}
	}
	return nil
}

// parseSchema reads iglu:vendor/name/format/version.
func parseSchema(uri string) (vendor, name string, ok bool) {
	rest, ok := strings.CutPrefix(uri, "iglu:")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 4 || parts[0] == "" || parts[1] == "" {
		return "", "", false
	}
	return parts[0], parts[1], true
}

// is says whether the event is one of the trackers' own.
func (e *snowplowEvent) is(name string) bool {
	return e.vendor == snowplowVendor && e.name == name
}

func (e *snowplowEvent) kind() schemas.BeaconType {
	switch e.params.get("e") {
	case "pv":
		return schemas.BeaconType_BEACON_TYPE_PAGE_VIEW
	case "pp":
		return schemas.BeaconType_BEACON_TYPE_PING
	}
	switch {
	case e.is("link_click"), e.is("uri_redirect"):
		return schemas.BeaconType_BEACON_TYPE_LINK_CLICK
	case e.is("submit_form"):
		return schemas.BeaconType_BEACON_TYPE_FORM_SUBMIT
	}
	return schemas.BeaconType_BEACON_TYPE_CUSTOM
}

// form parts what was typed into a form from its beacon.
func (e *snowplowEvent) form(c *claim, limits Limits) (bad *Rejection) {
	c.form = plain(e.data.Get("formId").String(), maxTitle)
	var list fields
	e.data.Get("elements").ForEach(func(_, v gjson.Result) bool {
		if value := v.Get("value"); value.Type != gjson.Null && v.Get("type").Str != "password" {
			bad = list.add(v.Get("name").String(), value.String(), limits)
		}
		return bad == nil
	})
	var f form
	f.take(&list)
	c.fields = f.fields
	c.props = func(consent schemas.Consent) []byte {
		var out []byte
		if c.form != "" {
			out = member(out, "form", quote(c.form))
		}
		return object(member(out, rawKey, e.rest(consent)))
	}
	return bad
}

// props are the event's properties: its name and data, and under "_raw" every parameter that has
// no column, as it came, as far as the consent goes.
func (e *snowplowEvent) props(consent schemas.Consent) []byte {
	var out []byte
	data := e.data
	switch {
	case e.kind() == schemas.BeaconType_BEACON_TYPE_LINK_CLICK:
		href := cmp.Or(data.Get("targetUrl").String(), data.Get("uri").String())
		out = member(out, "href", quote(href))
		out = memberIf(out, "text", data.Get("elementContent").String())
		out = memberIf(out, "target", data.Get("elementTarget").String())
		data = without(data, "targetUrl", "uri", "elementContent", "elementTarget")
	case e.is("change_form"), e.is("focus_form"):
		out = member(out, "name", quote(e.name))
		data = without(data, "value") // what was typed, perhaps not to be sent
	case e.name != "":
		out = member(out, "name", quote(e.name))
	}
	for _, at := range [][2]string{
		{"category", "se_ca"},
		{"action", "se_ac"},
		{"label", "se_la"},
		{"property", "se_pr"},
		{"value", "se_va"},
	} {
		out = memberIf(out, at[0], e.params.get(at[1]))
	}
	out = memberIf(out, "schema", e.schema)
	if data.Exists() && !(data.IsObject() && emptyObject(data.Raw)) {
		out = member(out, "data", data.Raw)
	}
	return object(member(out, rawKey, e.rest(consent)))
}

// rawKey is the member of props that holds what of the original has no column.
const rawKey = "_raw"

// rest is a JSON object of the parameters that are in no column, and of the entities.
func (e *snowplowEvent) rest(consent schemas.Consent) string {
	var out []byte
	for _, name := range e.params.names {
		value := e.params.get(name)
		switch name {
		case "aid", "eid", "dtm", "stm", "ip", "url", "refr", "page", "ua", "u",
			"co", "cx", "ue_pr", "ue_px", "se_ca", "se_ac", "se_la", "se_pr", "se_va":
			continue
		case "uid":
			if consent < schemas.Consent_CONSENT_IDENTIFIED {
				continue
			}
		case "duid", "nuid", "tnuid", "sid", "vid", "fp", "mac":
			if consent < schemas.Consent_CONSENT_STATISTICAL {
				continue
			}
		}
		if !isTelling(name, value) {
			out = member(out, name, quote(value))
		}
	}
	if entities := e.surroundings(consent); len(entities) > 0 {
		out = member(out, "co", "["+strings.Join(entities, ",")+"]")
	}
	return string(object(out))
}

// surroundings are the entities, less those that name a browser where the consent does not go that
// far, and with the target of a redirect that came with an event of its own.
func (e *snowplowEvent) surroundings(consent schemas.Consent) (list []string) {
	e.entities.ForEach(func(_, v gjson.Result) bool {
		_, name, _ := parseSchema(v.Get("schema").String())
		if consent > schemas.Consent_CONSENT_NONE || !namesBrowser(name) {
			list = append(list, v.Raw)
		}
		return true
	})
	if target := e.params.get("u"); target != "" && !e.is("uri_redirect") {
		list = append(list, `{"schema":`+quote(uriRedirect)+`,"data":{"uri":`+
			quote(target)+`}}`)
	}
	return list
}

// namesBrowser says whether an entity of the trackers' own tells a browser, a device or its place:
// the session, cookies of the page (those of Google Analytics, too), advertising ids, coordinates.
func namesBrowser(entity string) bool {
	switch entity {
	case "client_session", "cookies", "http_cookie", "mobile_context", "geolocation_context":
		return true
	}
	return false
}

// uriRedirect is the schema of a redirect's target.
const uriRedirect = "iglu:" + snowplowVendor + "/uri_redirect/jsonschema/1-0-0"

// personID stands for the visitor of somebody whom a sender's own system names, and whom no cookie
// does.
func personID(site, user string) string {
	if user = clientID(user); user == "" {
		return ""
	}
	return schemas.NewNames("user").ID([]byte(site + "\x00" + user))
}

// member appends "name":value, to the members of an object.
func member(members []byte, name, value string) []byte {
	if value == "" {
		return members
	}
	return append(append(append(append(members, quote(name)...), ':'), value...), ',')
}

// memberIf appends text, unless it is empty.
func memberIf(members []byte, name, text string) []byte {
	if text == "" {
		return members
	}
	return member(members, name, quote(text))
}

// object makes an object of members, nil of none.
func object(members []byte) []byte {
	if len(members) == 0 {
		return nil
	}
	members[len(members)-1] = '}'
	return append([]byte{'{'}, members...)
}

// without copies an object without some of its members.
func without(v gjson.Result, names ...string) gjson.Result {
	if !v.IsObject() {
		return v
	}
	out := []byte{'{'}
	v.ForEach(func(key, at gjson.Result) bool {
		for _, name := range names {
			if key.Str == name {
				return true
			}
		}
		out = appendMember(out, key.Raw, at.Raw)
		return true
	})
	return gjson.ParseBytes(append(out, '}'))
}
