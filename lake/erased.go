package lake

import (
	"cmp"
	"fmt"
	"strings"

	"crumbtrail/schemas"
)

// erasure is what belongs to a person and is not to be in the lake.
type erasure struct {
	*schemas.Erasure
	// offset is where it stands on its topic.
	offset int64
}

// where is the condition on a table's rows that belong to the person; empty where none can.
func (e *erasure) where(table string) string {
	records := among(e.Records)
	var either []string
	or := func(format string, args ...any) { either = append(either, fmt.Sprintf(format, args...)) }
	ofRecords := func(columns ...string) {
		for _, column := range columns {
			if records != "" {
				or("%s IN %s", column, records)
			}
		}
	}
	switch table {
	case "records":
		ofRecords("record_id")
	case "edges":
		ofRecords("left_record_id", "right_record_id")
	case "aliases":
		ofRecords("contact_id")
	case "contacts":
		ofRecords("contact_id")
		if versions := e.versions(); versions != "" {
			or("(contact_id, version) IN %s", versions)
		}
	case "identities":
		ofRecords("coalesce(record_id, contact_id)")
	case "decisions":
		ofRecords("record_id", "contact_id")
		e.orSubmissions(or, "submission_id", "visitor_id")
	case "submissions":
		ofRecords("recipient")
		e.orSubmissions(or, "submission_id", "visitor_id")
		e.orSubmissions(or, "confirms", "NULL")
		for _, id := range e.Records {
			or("contains(review, %s)", quote(id))
		}
	case "scores", "score_explanations", "handoffs":
		if records != "" {
			or("subject_type = 'contact' AND subject_id IN %s", records)
		}
		if visitors := e.visitors(); visitors != "" {
			or("subject_type = 'visitor' AND subject_id IN %s", visitors)
		}
	case "beacons":
		ofRecords("recipient")
		e.orVisitors(or, "occurred_at")
		e.orSubmissions(or, "event_id", "visitor_id")
		if events := e.events(); events != "" {
			or("(site, event_id) IN %s", events)
		}
	case "visits":
		e.orVisitors(or, "started_at")
		if visits := among(e.GetFound().GetVisits()); visits != "" {
			or("visit_id IN %s", visits)
		}
	case "bad_beacons":
		if bad := among(e.GetFound().GetBadBeacons()); bad != "" {
			or("bad_beacon_id IN %s", bad)
			or("part_of IN %s", bad)
		}
	}
	return strings.Join(either, " OR ")
}

// among is a list of texts for IN, empty where there are none.
func among(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = quote(text)
	}
	return "(" + strings.Join(quoted, ", ") + ")"
}

// tuples is a list of tuples for IN, empty where there are none.
func tuples[T any](list []T, tuple func(T) []string) string {
	if len(list) == 0 {
		return ""
	}
	all := make([]string, len(list))
	for i, one := range list {
		all[i] = "(" + strings.Join(tuple(one), ", ") + ")"
	}
	return "(" + strings.Join(all, ", ") + ")"
}

func (e *erasure) versions() string {
	return tuples(e.GetFound().GetVersions(), func(v *schemas.ContactVersion) []string {
		return []string{quote(v.ContactId), fmt.Sprint(v.Version)}
	})
}

func (e *erasure) events() string {
	return tuples(e.GetFound().GetEvents(), func(v *schemas.EventName) []string {
		return []string{quote(v.Site), quote(v.EventId)}
	})
}

func (e *erasure) visitors() string {
	var ids []string
	for _, v := range e.Visitors {
		ids = append(ids, v.VisitorId)
	}
	return among(ids)
}

// orSubmissions is of the submissions by their names, in the columns that have id and visitor.
func (e *erasure) orSubmissions(or func(string, ...any), id, visitor string) {
	list := e.GetFound().GetSubmissions()
	if visitor == "NULL" {
		if names := tuples(list, func(s *schemas.SubmissionName) []string {
			return []string{quote(s.Site), quote(s.SubmissionId)}
		}); names != "" {
			or("(site, %s) IN %s", id, names)
		}
		return
	}
	if names := tuples(list, func(s *schemas.SubmissionName) []string {
		return []string{quote(s.Site), quote(s.VisitorId), quote(s.SubmissionId)}
	}); names != "" {
		or("(site, coalesce(%s, ''), %s) IN %s", visitor, id, names)
	}
}

// orVisitors is of what browsers did while they were the person's.
func (e *erasure) orVisitors(or func(string, ...any), instant string) {
	for _, v := range e.Visitors {
		or("site = %s AND visitor_id = %s AND epoch_us(%s) >= %d AND epoch_us(%s) < %d",
			quote(v.Site), quote(v.VisitorId), instant, v.FromUs, instant, v.ToUs)
	}
}

// filter says of rows that come after an erasure whether they belong to the person: a beacon may be
// late or come again, a visit still be open, a score or a rebuild under way.
type filter struct {
	spans    map[string][]span   // by schemas.VisitorKey
	contacts map[string]string   // the request, by record
	events   map[string]string   // the request, by eventKey
	visits   map[string][]before // by id
	browsers map[string][]before // by visitor
}

// span is a time for which a browser was a person's, and the request that said so.
type span struct {
	from, to int64
	request  string
}

// before is of what was made before a request.
type before struct {
	us      int64
	request string
}

func newFilter(list []*erasure) *filter {
	f := &filter{
		spans: map[string][]span{}, contacts: map[string]string{}, events: map[string]string{},
		visits: map[string][]before{}, browsers: map[string][]before{},
	}
	for _, e := range list {
		since := before{e.ErasedAtUs, e.RequestId}
		for _, v := range e.Visitors {
			key := visitorKey(v.Site, v.VisitorId)
			f.spans[key] = append(f.spans[key], span{v.FromUs, v.ToUs, e.RequestId})
			f.browsers[v.VisitorId] = append(f.browsers[v.VisitorId], since)
		}
		for _, id := range e.Records {
			f.contacts[id] = e.RequestId
		}
		for _, event := range e.GetFound().GetEvents() {
			f.events[eventKey(event.Site, event.EventId)] = e.RequestId
		}
		for _, id := range e.GetFound().GetVisits() {
			f.visits[id] = append(f.visits[id], since)
		}
	}
	return f
}

func eventKey(site, event string) string { return site + "\x00" + event }

func visitorKey(site, visitor string) string {
	return string(schemas.VisitorKey(schemas.Site(site), schemas.VisitorID(visitor)))
}

// visitor is the request by which what a browser did at a moment is erased, empty where none is.
func (f *filter) visitor(site, visitor string, us int64) string {
	if len(f.spans) == 0 || visitor == "" {
		return ""
	}
	for _, s := range f.spans[visitorKey(site, visitor)] {
		if s.from <= us && us < s.to {
			return s.request
		}
	}
	return ""
}

// beacon is the request by which a beacon is erased, empty where none is.
func (f *filter) beacon(b *schemas.Beacon) string {
	return cmp.Or(f.visitor(b.Site, b.VisitorId, b.OccurredAtUs), f.contacts[b.Recipient],
		f.event(b.Site, b.EventId))
}

func (f *filter) event(site, event string) string {
	if len(f.events) == 0 {
		return ""
	}
	return f.events[eventKey(site, event)]
}

// visit is the request by which a visit is erased that was written at a moment, empty where none
// is. One that a rebuild finds later is made of what is left.
func (f *filter) visit(v *schemas.Visit, writtenUs int64) string {
	return cmp.Or(f.visitor(v.Site, v.VisitorId, v.StartedAtUs),
		requestAfter(f.visits[v.VisitId], writtenUs))
}

// subject is the request by which the subject of a score is erased, empty where none is. A browser
// may be somebody else's since: only runs before the request saw what is erased.
func (f *filter) subject(kind, id string, runUs int64) string {
	switch kind {
	case "contact":
		return f.contacts[id]
	case "visitor":
		return requestAfter(f.browsers[id], runUs)
	}
	return ""
}

func requestAfter(list []before, us int64) string {
	for _, b := range list {
		if us < b.us {
			return b.request
		}
	}
	return ""
}

// TableSearch is the condition on a table's rows that belong to a person.
type TableSearch struct{ Table, Where string }

// Searches says by what rows of the tables below files in the catalog belong to a person, in the
// order of the data.
func Searches(e *schemas.Erasure) (list []TableSearch) {
	of := &erasure{Erasure: e}
	for _, t := range newTables().all() {
		if where := of.where(t.name); where != "" {
			list = append(list, TableSearch{t.name, where})
		}
	}
	return list
}
