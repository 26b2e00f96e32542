package ingest

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// ReasonInvalidBase64 is the reason of an event whose packed JSON cannot be unpacked.
const ReasonInvalidBase64 = "invalid_base64"

// params are the parameters of an event, which are text and the same in a query and in a POST.
type params struct {
	// names are in the order in which they came.
	names  []string
	values map[string]string
}

// jsonParams reads an event of a POST. A number stands for its digits.
func jsonParams(raw []byte, limits Limits) (*params, *Rejection) {
	p := &params{values: map[string]string{}}
	if len(raw) > limits.BeaconBytes {
		return p, tooLarge(limits.BeaconBytes)
	}
	if bad := wellFormed(raw, bounds{limits.Depth, limits.Keys, true}); bad != nil {
		return p, bad
	}
	if bad := cleanText(raw); bad != nil {
		return p, bad
	}
	root := gjson.ParseBytes(raw)
	if !root.IsObject() {
		return p, &Rejection{ReasonWrongType, "want an object", ""}
	}
	var bad *Rejection
	root.ForEach(func(key, v gjson.Result) bool {
		switch {
		case v.Type == gjson.Null:
		case v.Type == gjson.JSON:
			bad = &Rejection{ReasonWrongType, "want a string", pointer(key.Str)}
		case v.Type == gjson.String:
			bad = p.add(key.Str, v.Str)
		default:
			bad = p.add(key.Str, v.Raw)
		}
		return bad == nil
	})
	return p, bad
}

// queryParams reads an event of a query.
func queryParams(query string, limits Limits) (*params, *Rejection) {
	p := &params{values: map[string]string{}}
	if len(query) > limits.BeaconBytes {
		return p, tooLarge(limits.BeaconBytes)
	}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		if len(p.names) == limits.Keys {
			return p, &Rejection{
				ReasonTooManyKeys, fmt.Sprintf("want at most %d keys", limits.Keys), "",
			}
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err == nil {
			value, err = url.QueryUnescape(value)
		}
		if err != nil {
			return p, &Rejection{
				ReasonInvalidQuery, "want names and values percent-encoded", "",
			}
		}
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return p, &Rejection{ReasonInvalidUTF8, "want UTF-8", ""}
		}
		if bad := p.add(name, value); bad != nil {
			return p, bad
		}
	}
	return p, nil
}

func (p *params) add(name, value string) *Rejection {
	if _, twice := p.values[name]; twice {
		return &Rejection{ReasonDuplicateKey, "want the parameter once", pointer(name)}
	}
	if strings.IndexByte(name, 0) >= 0 || strings.IndexByte(value, 0) >= 0 {
		return &Rejection{ReasonInvalidValue, "want no zero character", ""}
	}
	p.names = append(p.names, name)
	p.values[name] = value
	return nil
}

func (p *params) get(name string) string { return p.values[name] }

// site is whose an event seems to be, empty where it does not say.
func (p *params) site() string {
	key := p.get("aid")
	if utf8.RuneCountInString(key) > maxSite {
		return ""
	}
	return key
}

// time reads milliseconds since the epoch, as microseconds; 0 where the parameter is absent.
func (p *params) time(name string) (int64, *Rejection) {
	text := p.get(name)
	if text == "" {
		return 0, nil
	}
	const most = 1 << 50 // beyond the year 37000
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms < 0 || ms > most {
		return 0, &Rejection{ReasonInvalidTime, "want milliseconds since 1970", "/" + name}
	}
	return ms * 1000, nil
}

// packed reads the JSON of two parameters, one plain, one in base64, of which either may be there;
// it returns the member data of it, which does not exist where neither is.
func (p *params) packed(plain, base64ed string, limits Limits) (gjson.Result, *Rejection) {
	name, text := plain, p.get(plain)
	if text == "" {
		name, text = base64ed, p.get(base64ed)
		if text == "" {
			return gjson.Result{}, nil
		}
		var ok bool
		if text, ok = decodeBase64(text); !ok {
			return gjson.Result{}, &Rejection{ReasonInvalidBase64, "want base64", "/" + name}
		}
	}
	bad := wellFormed([]byte(text), bounds{limits.Depth, limits.Keys, true})
	if bad == nil {
		bad = cleanText([]byte(text))
	}
	if bad != nil {
		bad.Path = "/" + name
		return gjson.Result{}, bad
	}
	data := gjson.Get(text, "data")
	if !data.Exists() {
		return data, &Rejection{ReasonMissingField, "want self-describing JSON", "/" + name}
	}
	return data, nil
}

// decodeBase64 takes both alphabets, with padding or without. A plus sign comes out of a query as
// a space.
func decodeBase64(text string) (string, bool) {
	text = strings.NewReplacer("-", "+", "_", "/", " ", "+").Replace(strings.TrimRight(text, "="))
	raw, err := base64.RawStdEncoding.DecodeString(text)
	return string(raw), err == nil
}
