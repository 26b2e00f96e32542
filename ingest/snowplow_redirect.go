package ingest

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"

	"crumbtrail/schemas"

	"github.com/tidwall/gjson"
)

// ReasonInvalidRedirect is the reason of a redirect that leads where it may not.
const ReasonInvalidRedirect = "invalid_redirect"

// networkMacro in a target stands for the visitor's id.
const networkMacro = "${SP_NUID}"

// getRedirect takes a click and leads on to the target u, which must be on a host that the site has
// listed. The click is durable before.
func (c *Collector) getRedirect(w http.ResponseWriter, r *http.Request) {
	if !c.sites.redirects() {
		http.Error(w, "redirects disabled", http.StatusNotFound)
		return
	}
	in := c.snowplow(w, r, len(r.URL.RawQuery))
	defer in.end()
	in.beside.Call = callRedirect
	query := r.URL.Query()
	target := query.Get("u")
	key := c.sites.leadsTo(query.Get("aid"), target)
	if key == "" {
		in.refuse([]byte(r.URL.RawQuery), plain(query.Get("aid"), maxSite),
			&Rejection{ReasonInvalidRedirect, "want a host that the site lists", "/u"})
	} else {
		p, bad := queryParams(r.URL.RawQuery, c.limits)
		in.take([]byte(r.URL.RawQuery), p.redirected(key), bad)
	}
	switch {
	case !in.settle():
	case key == "":
		http.Error(w, "the site does not lead there", http.StatusBadRequest)
	default:
		w.Header().Set("Location", in.withNetwork(target))
		w.WriteHeader(http.StatusFound)
	}
}

// redirected makes a click of the parameters of a redirect, unless they are an event by themselves.
func (p *params) redirected(site string) *params {
	p.set("aid", site)
	if p.get("e") == "" {
		p.set("e", "ue")
		p.set("ue_pr", selfDescribing(uriRedirect, `{"uri":`+quote(p.get("u"))+`}`))
	}
	return p
}

// selfDescribing is the text of the parameter ue_pr.
func selfDescribing(schema, data string) string {
	return `{"schema":"iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1-0-0",` +
		`"data":{"schema":` + quote(schema) + `,"data":` + data + `}}`
}

// set puts a parameter, whether it is there or not.
func (p *params) set(name, value string) {
	if _, ok := p.values[name]; !ok {
		p.names = append(p.names, name)
	}
	p.values[name] = value
}

// withNetwork puts the visitor's id into a target that asks for it, where the consent goes so far.
func (s *snowplow) withNetwork(target string) string {
	if !strings.Contains(target, networkMacro) {
		return target
	}
	id := ""
	if s.allowed == schemas.Consent_CONSENT_IDENTIFIED {
		id = cmp.Or(s.known, s.claimed, s.fresh)
	}
	return strings.ReplaceAll(target, networkMacro, url.QueryEscape(id))
}

// redirects says whether any site has redirects.
func (s *sites) redirects() bool {
	for _, site := range s.byKey {
		if len(site.Redirects) > 0 {
			return true
		}
	}
	return false
}

// leadsTo returns the site that has listed the host of a target, empty where none has. A redirect
// need not say whose it is: then it is the first by its key.
func (s *sites) leadsTo(key, target string) string {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Host == "" {
		return ""
	}
	for _, c := range []byte(target) {
		if c < 0x21 || c == 0x7f || c == '\\' { // browsers skip or replace it
			return ""
		}
	}
	found := ""
	for name, site := range s.byKey {
		if key != "" && key != name || found != "" && found < name {
			continue
		}
		for _, host := range site.Redirects {
			if strings.EqualFold(host, u.Host) {
				found = name
			}
		}
	}
	return found
}

// hookParams are the parameters of an Iglu webhook, whose event is what else is in the query or, of
// a POST, the body.
func hookParams(query string, body []byte, limits Limits) (*params, *Rejection) {
	in, bad := queryParams(query, limits)
	if bad != nil {
		return in, bad
	}
	out := &params{values: map[string]string{}}
	data := []byte{'{'}
	for _, name := range in.names {
		switch name {
		case "aid", "eid", "p", "uid", "nuid", "dtm", "stm", "ttm", "url", "cx", "co":
			out.set(name, in.get(name))
		case "schema":
		default:
			data = appendMember(data, quote(name), quote(in.get(name)))
		}
	}
	data = append(data, '}')
	schema := in.get("schema")
	if len(body) > limits.BeaconBytes {
		return out, tooLarge(limits.BeaconBytes)
	}
	if len(body) > 0 {
		if bad := wellFormed(body, bounds{limits.Depth, limits.Keys, true}); bad != nil {
			return out, bad
		}
		data = body
		if v := gjson.GetBytes(body, "schema"); schema == "" && v.Type == gjson.String {
			schema, data = v.Str, []byte(gjson.GetBytes(body, "data").Raw)
		}
	}
	if schema == "" {
		return out, &Rejection{ReasonMissingField, "want a schema", "/schema"}
	}
	if out.get("p") == "" {
		out.set("p", "srv")
	}
	out.set("e", "ue")
	out.set("ue_pr", selfDescribing(schema, string(data)))
	return out, nil
}

// snowplowHook takes an event of a system that speaks no tracker's protocol.
func (c *Collector) snowplowHook(w http.ResponseWriter, r *http.Request) {
	body, bad, err := c.readBody(w, r, &buffer{})
	if err != nil {
		http.Error(w, "the body ended early", http.StatusBadRequest)
		return
	}
	in := c.snowplow(w, r, len(body))
	defer in.end()
	raw := body
	in.beside.Call, in.beside.Query = callHook, plain(r.URL.RawQuery, c.limits.RawBytes)
	if len(body) == 0 {
		raw, in.beside.Query = []byte(r.URL.RawQuery), ""
	}
	p := &params{}
	if bad == nil {
		p, bad = hookParams(r.URL.RawQuery, body, c.limits)
	}
	in.take(raw, p, bad)
	switch {
	case !in.settle():
	case r.Method == http.MethodPost:
		trackerOK(w, in.status())
	default:
		trackerImage(w)
	}
}
