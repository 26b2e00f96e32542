package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"crumbtrail/schemas"

	"github.com/tidwall/gjson"
)

const protocolForm = "form"

// ReasonInvalidForm is the reason of a form that is not what its media type says.
const ReasonInvalidForm = "invalid_form"

// Fields of a form that are for the collector and not for the submission.
const (
	// formField is the form's name.
	formField = "_form"
	// urlField is the page's address, where the Referer does not say it.
	urlField = "_url"
	// redirectField is where to go next: a path, on the page's own host where the site lists its
	// origin, else on the collector's.
	redirectField = "_redirect"
)

// form is a form as it was posted.
type form struct {
	name, url, redirect string
	// fields is a JSON object. A field with several values has an array of them.
	fields []byte
}

// postForm takes a form and answers like a form's own handler would: with a redirect, or nothing.
func (c *Collector) postForm(w http.ResponseWriter, r *http.Request) {
	body, bad, err := c.readBody(w, r, &buffer{})
	if err != nil {
		http.Error(w, "the body ended early", http.StatusBadRequest)
		return
	}
	in := c.intake(w, r, protocolForm, len(body))
	defer in.end()
	site := r.PathValue("site")
	if !cleanName(site) || utf8.RuneCountInString(site) > maxSite {
		site = ""
	}
	var f *form
	if bad == nil {
		f, bad = decodeForm(r.Header.Get("Content-Type"), body, c.limits)
	}
	if bad != nil {
		// Without its bytes: nobody knows which of them are a password.
		in.refuse(nil, site, bad)
	} else {
		in.form(site, f)
	}
	switch err := in.commit(); {
	case err != nil:
		unavailable(w, http.StatusServiceUnavailable, err)
	case bad != nil:
		in.answer(statusOf(bad.Reason))
	case in.status() != http.StatusOK:
		in.answer(in.status())
	case isLocalPath(f.redirect):
		w.Header().Set("Location", c.sites.find(site).home(in.origin)+f.redirect)
		w.WriteHeader(http.StatusSeeOther)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// form takes a form as the beacon that tracker.js would have sent of it.
func (in *intake) form(site string, f *form) {
	defer in.survive(f.fields, in.place())
	b := &schemas.Beacon{
		Site: site, Type: schemas.BeaconType_BEACON_TYPE_FORM_SUBMIT, Url: plain(f.url, maxURL),
	}
	if b.Url == "" {
		b.Url = plain(in.r.Referer(), maxURL)
	}
	in.beside.Form, in.beside.Url = f.name, b.Url
	if f.name != "" {
		props, err := json.Marshal(map[string]string{"form": f.name})
		if err != nil {
			panic("encode a form's name: " + err.Error())
		}
		b.Props = props
	}
	in.claim(f.fields, &claim{beacon: b, form: f.name, fields: f.fields})
}

// decodeForm reads a form's body: urlencoded, multipart or JSON. Files are left out.
func decodeForm(contentType string, body []byte, limits Limits) (*form, *Rejection) {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, &Rejection{ReasonMediaType, "want a media type", ""}
	}
	f := &form{}
	var bad *Rejection
	switch media {
	case "application/x-www-form-urlencoded":
		bad = f.urlencoded(body, limits)
	case "multipart/form-data":
		bad = f.multipart(body, params["boundary"], limits)
	case "application/json", "text/plain":
		bad = f.json(body, limits)
	default:
		bad = &Rejection{ReasonMediaType, "want a form or application/json", ""}
	}
	if bad == nil && len(f.fields) > limits.BeaconBytes {
		detail := fmt.Sprintf("want fields of at most %d bytes", limits.BeaconBytes)
		bad = &Rejection{ReasonTooLarge, detail, ""}
	}
	if bad != nil {
		return nil, bad
	}
	return f, nil
}

func (f *form) urlencoded(body []byte, limits Limits) *Rejection {
	var fields fields
	for pair := range strings.SplitSeq(string(body), "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err == nil {
			value, err = url.QueryUnescape(value)
		}
		if err != nil {
			return &Rejection{ReasonInvalidForm, "want names and values percent-encoded", ""}
		}
		if bad := fields.add(name, value, limits); bad != nil {
			return bad
		}
	}
	f.take(&fields)
	return nil
}

func (f *form) multipart(body []byte, boundary string, limits Limits) *Rejection {
	if boundary == "" {
		return &Rejection{ReasonInvalidForm, "want a boundary", ""}
	}
	var fields fields
	reader := multipart.NewReader(bytes.NewReader(body), boundary)
	for parts := 0; ; parts++ {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) && parts > 0 {
			f.take(&fields)
			return nil
		}
		if err != nil {
			return &Rejection{ReasonInvalidForm, "want parts as the boundary says", ""}
		}
		if part.FileName() != "" || part.FormName() == "" {
			continue
		}
		value, err := io.ReadAll(part) // no more than the body
		if err != nil {
			return &Rejection{ReasonInvalidForm, "want parts as the boundary says", ""}
		}
		if bad := fields.add(part.FormName(), string(value), limits); bad != nil {
			return bad
		}
	}
}

func (f *form) json(body []byte, limits Limits) *Rejection {
	if len(body) > limits.BeaconBytes {
		return tooLarge(limits.BeaconBytes)
	}
	if bad := wellFormed(body, bounds{limits.Depth, limits.Keys, true}); bad != nil {
		return bad
	}
	if bad := cleanText(body); bad != nil {
		return bad
	}
	root := gjson.ParseBytes(body)
	if !root.IsObject() {
		return &Rejection{ReasonWrongType, "want an object", ""}
	}
	out := []byte{'{'}
	root.ForEach(func(key, v gjson.Result) bool {
		if !f.own(key.Str, v.String()) {
			out = appendMember(out, key.Raw, v.Raw)
		}
		return true
	})
	f.fields = append(out, '}')
	return nil
}

// own takes a field that is for the collector.
func (f *form) own(name, value string) bool {
	switch name {
	case formField:
		f.name = plain(value, maxTitle)
	case urlField:
		f.url = value
	case redirectField:
		f.redirect = value
	default:
		return false
	}
	return true
}

// take makes JSON of fields.
func (f *form) take(list *fields) {
	out := []byte{'{'}
	for _, name := range list.names {
		values := list.values[name]
		if f.own(name, values[0]) {
			continue
		}
		var value any = values
		if len(values) == 1 {
			value = values[0]
		}
		out = appendMember(out, quote(name), quote(value))
	}
	f.fields = append(out, '}')
}

// quote is the JSON of text or of a list of it, at most twice as long.
func quote(value any) string {
	var out strings.Builder
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		panic("encode a field: " + err.Error())
	}
	return strings.TrimSuffix(out.String(), "\n")
}

func appendMember(object []byte, key, value string) []byte {
	if len(object) > 1 {
		object = append(object, ',')
	}
	return append(append(append(object, key...), ':'), value...)
}

// fields are names with their values, in the order in which they came first.
type fields struct {
	names  []string
	values map[string][]string
	count  int
}

func (l *fields) add(name, value string, limits Limits) *Rejection {
	if l.count++; l.count > limits.Keys {
		return &Rejection{ReasonTooManyKeys, fmt.Sprintf("want at most %d fields", limits.Keys), ""}
	}
	name, value = plain(name, len(name)), plain(value, len(value))
	if name == "" {
		return nil
	}
	if l.values == nil {
		l.values = map[string][]string{}
	}
	if _, ok := l.values[name]; !ok {
		l.names = append(l.names, name)
	}
	l.values[name] = append(l.values[name], value)
	return nil
}

// isLocalPath says whether a redirect stays on the host: whoever posts the form chooses it.
func isLocalPath(path string) bool {
	if !strings.HasPrefix(path, "/") || len(path) > maxURL {
		return false
	}
	// Browsers read a backslash as a slash, and skip control characters: //evil.example.
	for _, c := range path {
		if c == '\\' || c < 0x21 || c == 0x7f {
			return false
		}
	}
	u, err := url.Parse(path)
	return err == nil && u.Scheme == "" && u.Host == "" && !strings.HasPrefix(path, "//")
}

// plain cuts text at so many bytes and takes out what is no text, and zero characters.
func plain(s string, most int) string {
	return strings.ReplaceAll(strings.ToValidUTF8(clip(s, most), ""), "\x00", "")
}

// cleanName says whether text can stand in a key of the log.
func cleanName(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }
