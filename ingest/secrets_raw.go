package ingest

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strings"

	"github.com/tidwall/gjson"
)

// What of a refused input is kept with it. It was not understood, so that it is looked into for all
// that a form's fields may be called.

// isPacked says whether a parameter of Snowplow's trackers is JSON in base64.
func isPacked(name string) bool { return name == "ue_px" || name == "cx" }

// withoutSecrets returns what may be kept of a refused input. What may hold secrets is left out; no
// beacon would have had it. Where it cannot be read, and may be a form's or what a library says of
// a person, it is left out, too, and cut is true.
func withoutSecrets(protocol string, raw []byte, limits Limits) (kept []byte, cut bool) {
	k := keeper{packed: protocol == protocolSnowplow, most: limits.RawBytes}
	switch start := bytes.TrimSpace(raw); {
	case protocol == protocolLink, protocol == protocolOpen: // an address, that nobody drives again
		return []byte(cleanURL(string(raw), nil)), false
	case protocol == protocolCombined,
		protocol != protocolSnowplow && protocol != protocolForm && !holdsForm(raw):
		return raw, false
	case wellFormed(raw, bounds{depth: limits.Depth, keys: len(raw)}) == nil:
		kept = k.keep(make([]byte, 0, len(raw)), gjson.ParseBytes(raw))
	case protocol == protocolForm && len(raw) > 0:
		return nil, true
	case len(start) > 0 && start[0] != '{' && start[0] != '[' && bytes.IndexByte(start, '=') > 0:
		most := min(len(raw), limits.RawBytes) // no more is kept
		kept = k.query(raw[:most])
		k.unread = k.unread || most < len(raw)
	case !k.packed || typedSecret(string(raw[:min(len(raw), limits.RawBytes)])): // no more is kept
		return nil, len(raw) > 0
	}
	if k.dropped == 0 {
		return raw, false
	}
	return kept, k.unread
}

// holdsForm says whether an input may hold the fields of a form, or what a library says of a
// person.
func holdsForm(raw []byte) bool {
	for _, mark := range []string{"form_submit", `"fields"`, `"traits"`} {
		if bytes.Contains(raw, []byte(mark)) {
			return true
		}
	}
	return false
}

// unpacked is a packed parameter without secrets; ok is false where it has some and cannot be read
// as a whole.
func (k *keeper) unpacked(packed string) (kept string, ok bool) {
	text, ok := decodeBase64(packed)
	if !ok || wellFormed([]byte(text), bounds{depth: textDepth, keys: len(text)}) != nil {
		if typedSecret("ue_px=" + clip(packed, k.most)) {
			k.dropped++
			k.unread = true
			return "", false
		}
		return packed, true
	}
	inner, changed := k.inner(text)
	if !changed {
		return packed, true
	}
	return base64.RawURLEncoding.EncodeToString([]byte(inner)), true
}

// query copies the pairs of a query that hold no secret.
func (k *keeper) query(raw []byte) []byte {
	var kept []string
	for pair := range strings.SplitSeq(string(raw), "&") {
		escapedName, escaped, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(escapedName)
		value, valueErr := url.QueryUnescape(escaped)
		changed := false
		switch {
		case err != nil || valueErr != nil:
			if k.packed && !isSecretName(escapedName) && !typedSecret(pair) {
				break
			}
			k.unread = true
			k.dropped++
			continue
		case isSecretName(name) || isCard(value):
			k.dropped++
			continue
		case isPacked(name):
			text, ok := k.unpacked(value)
			if !ok {
				continue
			}
			value, changed = text, text != value
		default:
			value, changed = k.inner(value)
		}
		if changed {
			pair = escapedName + "=" + url.QueryEscape(value)
		}
		kept = append(kept, pair)
	}
	return []byte(strings.Join(kept, "&"))
}

// typedSecret says whether what a tracker of Snowplow has sent holds something that was typed into
// a field for a secret. Events of forms are JSON within a parameter, plain or in base64, and the
// name of a field is a value in it.
func typedSecret(raw string) bool {
	for rest := raw; ; {
		at := strings.Index(rest, "ue_px")
		if at < 0 {
			break
		}
		rest = strings.TrimLeft(rest[at+len("ue_px"):], "\": =")
		end := strings.IndexFunc(rest, func(c rune) bool {
			return (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && !strings.ContainsRune("+/-_", c)
		})
		if end < 0 {
			end = len(rest)
		}
		packed := rest[:end]
		rest = rest[len(packed):]
		if end%4 == 1 { // cut off: the last sign alone says nothing
			packed = packed[:end-1]
		}
		if text, ok := decodeBase64(packed); ok && elementSecret(text) {
			return true
		}
	}
	if !strings.Contains(raw, "_form") {
		return false
	}
	if text, err := url.QueryUnescape(raw); err == nil {
		raw = text
	}
	return elementSecret(strings.ReplaceAll(raw, `\`, ""))
}

// elementSecret looks at the objects with a value in a JSON text, which need not be whole. Those of
// fields are flat and short, so that little around each value is looked at.
func elementSecret(text string) bool {
	const before, after, mark = 1 << 10, 4 << 10, `"value"`
	for at := strings.Index(text, mark); at >= 0; {
		open := max(strings.LastIndexByte(text[max(0, at-before):at], '{'), 0) + max(0, at-before)
		var name, kind, value string
		// As an element: Parse would go on into the objects behind it.
		gjson.Get("["+clip(text[open:], after), "0").ForEach(func(key, v gjson.Result) bool {
			switch key.Str {
			case "name", "elementId":
				name = v.Str
			case "type":
				kind = v.Str
			case "value":
				value = v.String()
			}
			return true
		})
		if value != "" && (kind == "password" || isSecretName(name) || isCard(value)) {
			return true
		}
		next := strings.Index(text[at+len(mark):], mark)
		if next < 0 {
			return false
		}
		at += len(mark) + next
	}
	return false
}
