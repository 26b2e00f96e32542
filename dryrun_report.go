package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"crumbtrail/internal/stage"
	"crumbtrail/resolve"
	"crumbtrail/schemas"
)

// trial is what one configuration makes of the submissions.
type trial struct {
	Config string `json:"config"`
	// Contacts is how many there are in the end.
	Contacts int `json:"contacts"`
	// Outcomes counts the submissions by what became of them, such as created, or confirmed matched.
	Outcomes map[string]int `json:"outcomes"`
	// Strategies counts those that found a contact by how.
	Strategies map[string]int `json:"matched_by"`

	machine *resolve.Machine
	decided map[submissionName]*verdict
	// current says of each id of a contact that was ever another's which one it stands for.
	current map[string]string
}

// submissionName is what makes a submission one.
type submissionName struct{ site, visitor, id string }

// verdict is the last decision on a submission.
type verdict struct {
	Outcome  string `json:"outcome"`
	Contact  string `json:"contact_id"`
	Strategy string `json:"strategy"`
	Reason   string `json:"reason"`
	record   string
}

// dryReport compares what configurations make of the same submissions.
type dryReport struct {
	Submissions int      `json:"submissions"`
	Trials      []*trial `json:"trials"`
	// Changed is how many would be decided otherwise, of another outcome or for another contact.
	Changed int       `json:"changed"`
	Changes []*change `json:"changes"`

	order []submissionName
	forms map[submissionName]string
}

// change is a submission that is decided otherwise; without a second configuration, one of those
// that are told of.
type change struct {
	Submission string   `json:"submission_id"`
	Site       string   `json:"site"`
	Form       string   `json:"form"`
	Now        *verdict `json:"now"`
	Was        *verdict `json:"was,omitempty"`
}

// apply decides a batch by each configuration.
func (r *dryReport) apply(batch []stage.Record) error {
	if r.forms == nil {
		r.forms = map[submissionName]string{}
	}
	for i := range batch {
		s := &schemas.Submission{}
		if s.UnmarshalVT(batch[i].Value) != nil || s.Confirms != "" || s.Review != nil {
			continue
		}
		name := submissionName{s.Site, s.VisitorId, s.SubmissionId}
		if _, twice := r.forms[name]; !twice {
			r.order = append(r.order, name)
			r.forms[name] = s.Form
		}
	}
	for _, t := range r.Trials {
		var out stage.Output
		t.machine.Apply(batch, &out)
		t.take(&out)
	}
	return nil
}

// take keeps what the machine put out.
func (t *trial) take(out *stage.Output) {
	if t.decided == nil {
		t.decided, t.current = map[submissionName]*verdict{}, map[string]string{}
	}
	for _, m := range out.Messages() {
		switch schemas.Topic(m.Topic) {
		case schemas.Decisions:
			d := &schemas.Decision{}
			if d.UnmarshalVT(m.Value) != nil {
				continue // never: it was encoded a moment ago
			}
			outcome := d.Outcome.Name()
			if d.Resolution != 0 {
				outcome += " " + d.Resolution.Name()
			}
			t.decided[submissionName{d.Site, d.VisitorId, d.SubmissionId}] = &verdict{
				Outcome: outcome, Contact: d.ContactId, Strategy: d.Strategy, Reason: d.Reason,
				record: d.RecordId,
			}
		case schemas.Aliases:
			a := &schemas.Alias{}
			if a.UnmarshalVT(m.Value) == nil {
				t.current[a.ContactId] = a.CurrentContactId
			}
		}
	}
}

// finish counts, and chooses which decisions are told of: with two configurations those that
// differ, else those that found a contact or may have.
func (r *dryReport) finish(samples int) {
	r.Submissions = len(r.order)
	for _, t := range r.Trials {
		t.finish(r.order)
	}
	for _, name := range r.order {
		c := &change{Submission: name.id, Site: name.site, Form: r.forms[name]}
		c.Now = r.Trials[0].decided[name]
		if c.Now == nil {
			continue // a duplicate of one that the log has lost
		}
		if len(r.Trials) == 1 {
			if c.Now.Outcome == "created" || c.Now.Outcome == "pending" {
				continue
			}
		} else {
			c.Was = r.Trials[1].decided[name]
			if c.Was == nil || c.Was.Outcome == c.Now.Outcome && c.Was.Contact == c.Now.Contact {
				continue
			}
			r.Changed++
		}
		if len(r.Changes) < samples {
			r.Changes = append(r.Changes, c)
		}
	}
}

// finish follows contacts to what they are in the end, and counts.
func (t *trial) finish(order []submissionName) {
	t.Outcomes, t.Strategies = map[string]int{}, map[string]int{}
	contacts := map[string]bool{}
	for _, name := range order {
		v := t.decided[name]
		if v == nil {
			continue
		}
		if of := v.record; t.current[of] != "" {
			v.Contact = t.current[of]
		} else if t.current[v.Contact] != "" {
			v.Contact = t.current[v.Contact]
		}
		if v.Contact != "" {
			contacts[v.Contact] = true
		}
		t.Outcomes[v.Outcome]++
		if v.Outcome == "matched" || v.Outcome == "confirmed matched" {
			t.Strategies[v.Strategy]++
		}
	}
	t.Contacts = len(contacts)
}

func (r *dryReport) print(w io.Writer, format string) error {
	if format == "json" {
		if r.Changes == nil {
			r.Changes = []*change{}
		}
		return json.NewEncoder(w).Encode(r)
	}
	fmt.Fprintf(w, "dry run over %s: nothing was written\n", plural(r.Submissions, "submission"))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, of func(*trial) any) {
		for _, t := range r.Trials {
			fmt.Fprintf(table, "%v\t", of(t))
		}
		fmt.Fprintf(table, " %s\n", name)
	}
	if len(r.Trials) > 1 {
		fmt.Fprintln(table, "now\twas\t")
	}
	row("contacts", func(t *trial) any { return t.Contacts })
	for _, outcome := range r.keys(func(t *trial) map[string]int { return t.Outcomes }) {
		row(outcome, func(t *trial) any { return t.Outcomes[outcome] })
	}
	for _, strategy := range r.keys(func(t *trial) map[string]int { return t.Strategies }) {
		row("matched by "+strategy, func(t *trial) any { return t.Strategies[strategy] })
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(r.Trials) > 1 {
		fmt.Fprintf(w, "%s would be decided otherwise than by %s\n",
			plural(r.Changed, "submission"), r.Trials[1].Config)
	}
	for _, c := range r.Changes {
		fmt.Fprintf(w, "\n%s (site %s", c.Submission, c.Site)
		if c.Form != "" {
			fmt.Fprintf(w, ", form %s", c.Form)
		}
		fmt.Fprintln(w, ")")
		if c.Was != nil {
			fmt.Fprintf(w, "  was  %s\n", c.Was.words())
		}
		if _, err := fmt.Fprintf(w, "  now  %s\n", c.Now.words()); err != nil {
			return err
		}
	}
	return nil
}

// keys lists what the configurations count, in alphabetical order.
func (r *dryReport) keys(of func(*trial) map[string]int) []string {
	all := map[string]bool{}
	for _, t := range r.Trials {
		for key := range of(t) {
			all[key] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func (v *verdict) words() string {
	text := v.Outcome
	if v.Contact != "" {
		text += " " + v.Contact
	}
	if v.Strategy != "" {
		text += " by " + v.Strategy
	}
	return text + ": " + v.Reason
}
