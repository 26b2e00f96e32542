package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"crumbtrail/internal/kafka"
	"crumbtrail/resolve"
	"crumbtrail/schemas"
)

// eraseFlags are those of `crumbtrail erase`.
type eraseFlags struct {
	email, contact, visitor, site string
	by, note, format              string
	dryRun                        bool
	wait                          time.Duration
}

func (f *eraseFlags) add(c *call) {
	c.flags.StringVar(&f.email, "email", "", "whoever gave this `ADDRESS`")
	c.flags.StringVar(&f.contact, "contact", "", "the contact of this `ID`, or that the id stands for")
	c.flags.StringVar(&f.visitor, "visitor", "", "the browser of this visitor `ID`, and whose it is")
	c.flags.StringVar(&f.site, "site", "", "of --visitor: on this site, `KEY`, alone")
	c.flags.StringVar(&f.by, "by", "", "`NAME` of who carries it out; it is kept")
	c.flags.StringVar(&f.note, "note", "", "`TEXT`, such as a ticket's number; it is kept")
	c.flags.StringVar(&f.format, "format", "table", "table or json")
	c.flags.BoolVar(&f.dryRun, "dry-run", false, "erase nothing; say what would be")
	c.flags.DurationVar(&f.wait, "wait", 15*time.Minute, "how long to wait until it is done")
}

func (f *eraseFlags) check() error {
	named := 0
	for _, given := range []string{f.email, f.contact, f.visitor} {
		if given != "" {
			named++
		}
	}
	switch {
	case named != 1:
		return usagef("want one of --email, --contact and --visitor")
	case f.contact != "" && !schemas.IsID(f.contact):
		return usagef("--contact %q is no id: want one as the view contacts has them", f.contact)
	case f.site != "" && f.visitor == "":
		return usagef("--site is for --visitor")
	case f.format != "table" && f.format != "json":
		return usagef("--format %q: want table or json", f.format)
	case f.wait < 0:
		return usagef("--wait %s: want a time from 0", f.wait)
	}
	return nil
}

// erase is one call of the command: a person is forgotten.
type erase struct {
	eraseFlags
	call   *call
	rules  resolve.Config
	lake   lakeReader
	client *kafka.Client
	// address is the one that is asked for, as it is compared.
	address string
	// spellings are the addresses of the person as they were given.
	spellings []string
	receipt   receipt
}

// mostRounds bounds how often what a search finds at the end is erased, too.
const mostRounds = 4

// runErase has a person erased everywhere and says what was. Where nobody runs stages on the
// directory, it runs them itself until that is done.
func runErase(ctx context.Context, c *call) error {
	c.clusterFlags()
	r := &erase{call: c, receipt: receipt{
		Requests: []string{}, Removed: []tableRows{}, Remaining: []logRecords{}, // [] in JSON
	}}
	r.add(c)
	if err := c.parseAlone(); err != nil {
		return err
	}
	if err := r.check(); err != nil {
		return err
	}
	cfg, _, err := c.settings()
	if err != nil {
		return err
	}
	if r.rules, err = cfg.resolveConfig(); err != nil {
		return err
	}
	if r.email != "" {
		address, fault := r.rules.Address(r.email)
		if r.address = address; fault != "" {
			return usagef("--email: %s", fault.Words("e-mail address"))
		}
	}
	child, err := queryChild()
	if err != nil {
		return err
	}
	r.lake = lakeReader{child: child, database: catalogPath(c.data)}
	if r.dryRun {
		return r.preview(ctx)
	}
	o := pipelineOptions{join: true}
	if c.brokers != "" {
		o = pipelineOptions{alone: "erase"}
	}
	p, err := openPipeline(ctx, c, cfg, o)
	if err != nil {
		return err
	}
	defer p.close()
	r.client = p.client
	if p.lake == nil {
		return r.run(ctx)
	}
	parts := start(ctx, part{"sessionize", p.sessionize.Run}, part{"resolve", p.resolve.Run},
		p.lakePart())
	err = p.drain(parts.ctx) // what the lake has not seen yet would be missing from the search
	if err == nil {
		err = r.run(parts.ctx)
	}
	return errors.Join(err, parts.stop())
}

// run erases until a search finds nothing more.
func (r *erase) run(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, r.wait)
	defer cancel()
	for range mostRounds {
		found, err := r.search(waiting)
		if err != nil {
			return err
		}
		again := len(r.receipt.Requests) > 0
		if again && found.nothing() {
			return r.finish(waiting)
		}
		if !again {
			r.count(found)
		}
		id, why, err := r.send(waiting, found)
		switch {
		case waiting.Err() != nil && ctx.Err() == nil:
			return r.late(id)
		case err != nil:
			return err
		case why == resolve.NothingKnown && again:
			return r.finish(waiting)
		case why == resolve.NothingKnown:
			r.receipt.ErasedAt = ""
			return r.receipt.print(r.call.stdout, r.format)
		case why != "":
			return errors.New(why)
		}
		if err := r.await(waiting, id); err != nil {
			if waiting.Err() != nil && ctx.Err() == nil {
				return r.late(id)
			}
			return err
		}
		r.receipt.Requests = append(r.receipt.Requests, id)
	}
	return fmt.Errorf("after %d rounds there is still something new of the person: stop what "+
		"sends it, and run the command again", mostRounds)
}

// late is the answer where the time to wait was not enough.
func (r *erase) late(id string) error {
	return fmt.Errorf("it is not done within %s, and goes on without this command: the view erasures "+
		"says of request %s when it is; then run the command again, to see that nothing is left",
		r.wait, id)
}

// send has the resolver decide on a request, and returns its id and why it was refused.
func (r *erase) send(ctx context.Context, found *personFound) (id, why string, err error) {
	ends, err := r.client.Ends(ctx, string(schemas.Decisions))
	if err != nil {
		return "", "", err
	}
	request, err := r.request(found)
	if err != nil {
		return "", "", err
	}
	now := time.Now()
	if r.receipt.ErasedAt == "" {
		r.receipt.ErasedAt = now.UTC().Format(time.RFC3339Nano)
	}
	submission := &schemas.Submission{
		SubmissionId: schemas.NewID(), Kind: schemas.SubmissionKind_SUBMISSION_KIND_ERASURE,
		ReceivedAtUs: now.UnixMicro(), Erasure: request,
	}
	value, err := submission.MarshalVT()
	if err != nil {
		return "", "", fmt.Errorf("encode the request: %w", err)
	}
	producer, err := r.client.NewProducer(ctx)
	if err != nil {
		return "", "", err
	}
	err = producer.Produce(ctx, []kafka.Message{{
		Topic: string(schemas.Submissions), Timestamp: now.UnixMilli(), Value: value,
	}})
	if err != nil {
		return "", "", fmt.Errorf("send the request: %w; run the command again", err)
	}
	id = submission.SubmissionId
	d, err := awaitDecision(ctx, r.client, id, ends)
	switch {
	case err != nil:
		return id, "", err
	case d == nil:
		return id, "", ctx.Err()
	case d.Outcome == schemas.Outcome_OUTCOME_REFUSED:
		return id, d.Reason, nil
	}
	return id, "", nil
}

// request makes the request for what was found. The address itself is not in it.
func (r *erase) request(found *personFound) (*schemas.ErasureRequest, error) {
	request := &schemas.ErasureRequest{
		Contacts: found.contacts, Visitors: found.browsers, Found: found.found, By: r.by, Note: r.note,
	}
	if len(r.receipt.Requests) > 0 {
		return request, nil // whoever gives the address by now is somebody new
	}
	if r.contact != "" {
		request.Contacts = append(request.Contacts, r.contact)
	}
	if r.address != "" {
		request.AddressKey = make([]byte, 32)
		if _, err := rand.Read(request.AddressKey); err != nil {
			return nil, fmt.Errorf("make a key: %w", err)
		}
		request.AddressMac = resolve.AddressMAC(request.AddressKey, r.address)
	}
	return request, nil
}

// pollEvery is how often the catalog is asked how far an erasure is.
const pollEvery = 500 * time.Millisecond

// await returns once a request is done in the lake.
func (r *erase) await(ctx context.Context, id string) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		rows, err := r.lake.rows(ctx, "SELECT state FROM erasures WHERE request_id = '%s'", id)
		if err != nil {
			return err
		}
		if len(rows) == 1 && rows[0].text("state") == "done" {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
