package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"crumbtrail/internal/duck"
	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

// review is one call of the command: a person looks at who may be one, and says so.
type review struct {
	call *call
	lake lakeReader

	by, note, format string
	all, dryRun      bool
	wait             time.Duration
}

// runReview lists what waits for a person, shows it, or takes what they say to the resolver. Where
// stages run on the directory already, it writes to their broker; else what it writes waits for
// the next start.
func runReview(ctx context.Context, c *call) error {
	c.clusterFlags()
	r := &review{call: c}
	c.flags.StringVar(&r.by, "by", "", "`NAME` of who decides")
	c.flags.StringVar(&r.note, "note", "", "`TEXT` that they say of it")
	c.flags.StringVar(&r.format, "format", "table", "table or json; of the list also csv")
	c.flags.BoolVar(&r.all, "all", false, "list also what has been decided")
	c.flags.BoolVar(&r.dryRun, "dry-run", false, "decide nothing; say what would move")
	c.flags.DurationVar(&r.wait, "wait", 30*time.Second, "how long to wait for the decision")
	if err := c.parse(); err != nil {
		return err
	}
	if err := r.check(); err != nil {
		return err
	}
	child, err := queryChild()
	if err != nil {
		return err
	}
	r.lake = lakeReader{child: child, database: catalogPath(c.data)}
	if len(c.args) == 0 {
		return r.list(ctx)
	}
	if c.args[0] == "show" {
		return r.show(ctx, c.args[1:])
	}
	said, err := r.read(ctx, c.args[0], c.args[1:])
	if err != nil {
		return err
	}
	if r.dryRun {
		return r.preview(ctx, said)
	}
	return r.send(ctx, said)
}

func (r *review) check() error {
	if err := duck.ValidFormat(r.format); err != nil {
		return usagef("--%v", err)
	}
	args := r.call.args
	switch {
	case len(args) > 0 && r.format == "csv":
		return usagef("--format csv is for the list: want table or json")
	case len(args) > 0 && r.all:
		return usagef("--all is for the list")
	case r.wait < 0:
		return usagef("--wait %s: want a time from 0", r.wait)
	case len(args) == 0 && r.dryRun:
		return usagef("--dry-run wants accept, reject, split or withdraw")
	case len(args) > 0 && args[0] != "show" && r.by == "" && !r.dryRun:
		return usagef("--by is missing: want the name of who decides")
	}
	return nil
}

// read makes a review of the words of the command line.
func (r *review) read(ctx context.Context, verdict string, ids []string) (*schemas.Review, error) {
	said := &schemas.Review{By: r.by, Note: r.note}
	switch verdict {
	case "accept", "reject":
		said.Verdict = schemas.Verdict_VERDICT_ACCEPT
		if verdict == "reject" {
			said.Verdict = schemas.Verdict_VERDICT_REJECT
		}
		pair, err := r.pair(ctx, ids)
		if err != nil {
			return nil, err
		}
		said.Left, said.Right = pair[0], pair[1]
	case "split":
		said.Verdict = schemas.Verdict_VERDICT_SPLIT
		if len(ids) < 2 {
			return nil, usagef("want split CONTACT RECORD...; `crumbtrail review show CONTACT` " +
				"lists its records")
		}
		said.Left, said.Records = ids[0], ids[1:]
	case "withdraw":
		said.Verdict = schemas.Verdict_VERDICT_WITHDRAW
		if len(ids) != 1 {
			return nil, usagef("want withdraw REVIEW; `crumbtrail review --all` lists them")
		}
		said.Withdraws = ids[0]
	default:
		return nil, usagef("%q: want show, accept, reject, split or withdraw", verdict)
	}
	for _, id := range ids {
		if !schemas.IsID(id) && !(len(ids) == 1 && said.Left != "") {
			return nil, usagef("%q is no id: want one as `crumbtrail review` and the view contacts "+
				"have them", id)
		}
	}
	return said, nil
}

// pair reads two contacts, or the open review that asks for them.
func (r *review) pair(ctx context.Context, ids []string) ([2]string, error) {
	switch len(ids) {
	case 2:
		return [2]string{ids[0], ids[1]}, nil
	case 1:
		found, err := r.lake.reviews(ctx, ids[0])
		if err != nil {
			return [2]string{}, err
		}
		if len(found) == 1 && found[0].text("state") == "open" {
			return [2]string{found[0].text("left_contact_id"), found[0].text("right_contact_id")}, nil
		}
		return [2]string{}, fmt.Errorf("no review %q is open: `crumbtrail review` lists those that "+
			"are", ids[0])
	}
	return [2]string{}, usagef("want two contacts, or the id of a review that is open")
}

// decided is what came of a review, for people and programs.
type decided struct {
	ReviewID  string   `json:"review_id"`
	State     string   `json:"state"`
	Outcome   string   `json:"outcome,omitempty"`
	ContactID string   `json:"contact_id,omitempty"`
	Reason    string   `json:"reason,omitempty"`
	Merged    []string `json:"merged,omitempty"`
	Parted    []string `json:"parted,omitempty"`
}

// send hands a review to the resolver and waits for what it decides. Once it is sent, it counts,
// whether or not anybody still waits.
func (r *review) send(ctx context.Context, said *schemas.Review) error {
	c := r.call
	cfg, _, err := c.settings()
	if err != nil {
		return err
	}
	p, err := openPipeline(ctx, c, cfg, pipelineOptions{alone: "review", join: c.brokers == ""})
	if err != nil {
		return err
	}
	defer p.close()
	ends, err := p.client.Ends(ctx, string(schemas.Decisions))
	if err != nil {
		return err
	}
	now := time.Now()
	submission := &schemas.Submission{
		SubmissionId: schemas.NewID(), Kind: schemas.SubmissionKind_SUBMISSION_KIND_REVIEW,
		ReceivedAtUs: now.UnixMicro(), Review: said,
	}
	value, err := submission.MarshalVT()
	if err != nil {
		return fmt.Errorf("encode the review: %w", err)
	}
	producer, err := p.client.NewProducer(ctx)
	if err != nil {
		return err
	}
	err = producer.Produce(ctx, []kafka.Message{{
		Topic: string(schemas.Submissions), Timestamp: now.UnixMilli(), Value: value,
	}})
	if err != nil {
		return fmt.Errorf("send the review: %w; `crumbtrail review --all` says whether it is there",
			err)
	}
	outcome := decided{ReviewID: submission.SubmissionId, State: "sent"}
	if p.broker != nil {
		return outcome.print(c.stdout, r.format, "nobody resolves on this directory now: it is "+
			"decided on at the next `crumbtrail up`")
	}
	waiting, cancel := context.WithTimeout(ctx, r.wait)
	defer cancel()
	d, err := awaitDecision(waiting, p.client, submission.SubmissionId, ends)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	if d == nil {
		return outcome.print(c.stdout, r.format, fmt.Sprintf("it is kept, and was not decided on within "+
			"%s: `crumbtrail review --all` will say what was", r.wait))
	}
	outcome.of(d)
	if err := outcome.print(c.stdout, r.format, ""); err != nil {
		return err
	}
	if d.Outcome == schemas.Outcome_OUTCOME_REFUSED {
		return &reportedError{}
	}
	return nil
}

// awaitDecision returns the decision on what has no site, nil where it has not come in time.
func awaitDecision(
	ctx context.Context, client *kafka.Client, id string, from []int64,
) (*schemas.Decision, error) {
	topic := string(schemas.Decisions)
	for at := from[0]; ; {
		fetched, err := client.Fetch(ctx, topic, 0, at, kafka.FetchWait)
		switch {
		case errors.Is(err, context.DeadlineExceeded), ctx.Err() != nil:
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("wait for the decision on %s: %w", id, err)
		}
		for i := range fetched.Records {
			d := &schemas.Decision{}
			if d.UnmarshalVT(fetched.Records[i].Value) == nil && d.SubmissionId == id && d.Site == "" {
				return d, nil
			}
		}
		at = fetched.Next
	}
}

func (o *decided) of(d *schemas.Decision) {
	o.State, o.Outcome, o.ContactID, o.Reason = "decided", d.Outcome.Name(), d.ContactId, d.Reason
	o.Merged, o.Parted = d.Merged, d.Parted
	if d.Outcome == schemas.Outcome_OUTCOME_REFUSED {
		o.State = "refused"
	}
}

func (o *decided) print(w io.Writer, format, note string) error {
	if format == "json" {
		if note != "" {
			o.Reason = note
		}
		return json.NewEncoder(w).Encode(o)
	}
	var b strings.Builder
	if note != "" {
		fmt.Fprintf(&b, "review %s is sent; %s\n", o.ReviewID, note)
	} else {
		fmt.Fprintf(&b, "review %s: %s; %s\n", o.ReviewID, o.Outcome, o.Reason)
	}
	into := "another one now: the view aliases says which"
	if o.Outcome == schemas.Outcome_OUTCOME_ACCEPTED.Name() {
		into = "contact " + o.ContactID + " now"
	}
	for _, id := range o.Merged {
		fmt.Fprintf(&b, "contact %s is part of %s\n", id, into)
	}
	for _, id := range o.Parted {
		fmt.Fprintf(&b, "contact %s stands for itself again\n", id)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
