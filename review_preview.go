package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"crumbtrail/schemas"
)

// previewed is what a review would do.
type previewed struct {
	DryRun  bool     `json:"dry_run"`
	Verdict string   `json:"verdict"`
	Moves   []moved  `json:"moves"`
	Notes   []string `json:"notes,omitempty"`
}

// moved is what would be another contact's.
type moved struct {
	From        string   `json:"from"`
	To          string   `json:"to"`
	Records     []string `json:"records"`
	Visitors    int      `json:"visitors"`
	Visits      int      `json:"visits"`
	Submissions int      `json:"submissions"`
	// FirstVisitAt and LastVisitAt are when the first and the last of the visits began.
	FirstVisitAt string `json:"first_visit_at,omitempty"`
	LastVisitAt  string `json:"last_visit_at,omitempty"`
}

// preview says what a review would move, without sending it.
func (r *review) preview(ctx context.Context, said *schemas.Review) error {
	out := previewed{DryRun: true, Verdict: said.Verdict.Name(), Moves: []moved{}}
	var err error
	switch said.Verdict {
	case schemas.Verdict_VERDICT_SPLIT:
		err = r.previewSplit(ctx, said, &out)
	case schemas.Verdict_VERDICT_WITHDRAW:
		err = r.previewWithdraw(ctx, said, &out)
	default:
		err = r.previewPair(ctx, said, &out)
	}
	if err != nil {
		return err
	}
	if r.format == "json" {
		return json.NewEncoder(r.call.stdout).Encode(out)
	}
	return out.print(r.call.stdout)
}

func (r *review) previewPair(ctx context.Context, said *schemas.Review, out *previewed) error {
	parties, err := r.lake.parties(ctx, said.Left, said.Right)
	if err != nil {
		return err
	}
	accept := said.Verdict == schemas.Verdict_VERDICT_ACCEPT
	switch {
	case len(parties) == 0, len(parties) == 1 && !parties[0].has(said.Left, said.Right):
		return fmt.Errorf("%s and %s are not both in the lake", said.Left, said.Right)
	case len(parties) == 2 && accept:
		older, newer := parties[0], parties[1]
		out.Moves = append(out.Moves, newer.moves(older.ContactID, newer.Records))
	case len(parties) == 2:
		out.Notes = append(out.Notes,
			"nothing moves: the two stay apart, and are not asked for again")
	case accept:
		out.Notes = append(out.Notes,
			"they are one contact already, and stay so whatever the model says")
	case len(parties[0].Records) == 2:
		newer := parties[0].Records[1:]
		out.Moves = append(out.Moves, parties[0].moves(newer[0].text("record_id"), newer))
	default:
		out.Notes = append(out.Notes, "they are one contact now, and come apart; its other records "+
			"go with the one that they have more in common with: `crumbtrail review split` says which do")
	}
	return nil
}

func (r *review) previewSplit(ctx context.Context, said *schemas.Review, out *previewed) error {
	parties, err := r.lake.parties(ctx, said.Left)
	if err != nil {
		return err
	}
	if len(parties) == 0 {
		return fmt.Errorf("no contact %s is in the lake", said.Left)
	}
	p, leaving := parties[0], map[string]bool{}
	for _, id := range said.Records {
		if !p.has(id) {
			return fmt.Errorf("record %s is none of contact %s: `crumbtrail review show %[2]s` lists "+
				"those", id, p.ContactID)
		}
		leaving[id] = true
	}
	// Who has the oldest record keeps the contact's id.
	var going []row
	for _, one := range p.Records {
		if leaving[one.text("record_id")] != leaving[p.Records[0].text("record_id")] {
			going = append(going, one)
		}
	}
	if len(going) == 0 {
		return fmt.Errorf("nothing would be left of contact %s", p.ContactID)
	}
	out.Moves = append(out.Moves, p.moves(going[0].text("record_id"), going))
	if len(p.Records) > 2 {
		out.Notes = append(out.Notes, "records stay together as far as something else joins them")
	}
	return nil
}

func (r *review) previewWithdraw(ctx context.Context, said *schemas.Review, out *previewed) error {
	found, err := r.lake.reviews(ctx, said.Withdraws)
	if err != nil {
		return err
	}
	if len(found) == 0 || found[0].text("state") != "decided" ||
		found[0].text("verdict") == "withdraw" {
		return fmt.Errorf("no review %s holds: `crumbtrail review --all` lists those that do",
			said.Withdraws)
	}
	out.Notes = append(out.Notes, reviewLine(found[0]),
		"without it, the strategies, the model and the reviews before it say who is one")
	return nil
}

// moves is what some records of the contact take with them.
func (p party) moves(to string, records []row) moved {
	going := party{Records: records}
	m := moved{
		From: p.ContactID, To: to, Records: going.ids(), Visitors: going.count("visitors"),
		Visits: going.count("visits"), Submissions: going.count("submissions"),
	}
	for _, one := range records {
		first, last := one.text("first_visit_at"), one.text("last_visit_at")
		if first != "" && (m.FirstVisitAt == "" || first < m.FirstVisitAt) {
			m.FirstVisitAt = first
		}
		m.LastVisitAt = max(m.LastVisitAt, last)
	}
	return m
}

func (o previewed) print(w io.Writer) error {
	var b strings.Builder
	b.WriteString("dry run: nothing was sent\n")
	for _, m := range o.Moves {
		fmt.Fprintf(&b, "from contact %s to contact %s: %s, %s, %s, %s", m.From, m.To,
			plural(len(m.Records), "record"), plural(m.Visitors, "visitor"), plural(m.Visits, "visit"),
			plural(m.Submissions, "submission"))
		if m.Visits > 0 {
			fmt.Fprintf(&b, " (visits from %s to %s)", m.FirstVisitAt, m.LastVisitAt)
		}
		b.WriteByte('\n')
	}
	for _, note := range o.Notes {
		b.WriteString(note + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
