package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	"crumbtrail/ingest"
	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
)

const (
	// redriveRecords is about how many records one transaction of a redrive has.
	redriveRecords = 1000
	// redriveLineBytes is the longest line of a file to drive from, in bytes.
	redriveLineBytes = 8 << 20
)

// redrive is one call of the command.
type redrive struct {
	call   *call
	client *kafka.Client
	driver *ingest.Redriver
	// transaction is nil where nothing is to be written.
	transaction *kafka.Transactional

	reasons, sites, protocols, ids string
	since, until                   time.Time
	limit                          int
	dryRun                         bool
	// handoffs drives hand-offs to webhooks instead.
	handoffs             bool
	webhooks             string
	export, from, format string

	// taken are the bad beacons that have a receipt.
	taken   map[string]bool
	waiting []kafka.Message
	report  redriveReport
	done    int
}

// runRedrive drives bad beacons through the edge again. Where stages run on the directory already,
// it writes to their broker; else what it writes waits for the next start.
func runRedrive(ctx context.Context, c *call) error {
	c.clusterFlags()
	r := &redrive{call: c, taken: map[string]bool{}}
	r.flagsOf(c.flags)
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
	p, err := openPipeline(ctx, c, cfg, pipelineOptions{alone: "redrive", join: c.brokers == ""})
	if err != nil {
		return err
	}
	defer p.close()
	r.client = p.client
	if r.handoffs {
		return r.runHandoffs(ctx)
	}
	edge := cfg.collectorConfig()
	if edge.Partitions, err = p.client.Partitions(ctx, string(schemas.Beacons)); err != nil {
		return err
	}
	if edge.Countries, err = cfg.countries(); err != nil {
		return err
	}
	if r.driver, err = ingest.NewRedriver(edge, cfg.consents()); err != nil {
		return err
	}
	if r.export != "" {
		return r.exportTo(ctx)
	}
	if err := r.run(ctx); err != nil {
		return err
	}
	r.report.DryRun = r.dryRun
	return r.report.print(c.stdout, r.format)
}

func (r *redrive) flagsOf(flags *flag.FlagSet) {
	flags.StringVar(&r.reasons, "reason", "", "these reasons alone, `NAME,...`")
	flags.StringVar(&r.sites, "site", "", "these sites alone, `KEY,...`")
	flags.StringVar(&r.protocols, "protocol", "", "these protocols alone, `NAME,...`")
	flags.StringVar(&r.ids, "id", "", "these bad beacons or hand-offs alone, `ID,...`")
	flags.BoolVar(&r.handoffs, "handoffs", false,
		"hand-offs that no webhook took in time, instead of bad beacons")
	flags.StringVar(&r.webhooks, "webhook", "", "with --handoffs: to these alone, `NAME,...`")
	instant := func(to *time.Time) func(string) error {
		return func(text string) (err error) {
			if *to, err = time.Parse(time.RFC3339Nano, text); err != nil {
				return errors.New("want an instant such as 2026-01-31T00:00:00Z")
			}
			return nil
		}
	}
	flags.Func("since", "from this `INSTANT` of arrival or giving up on", instant(&r.since))
	flags.Func("until", "before this `INSTANT` of arrival or giving up", instant(&r.until))
	flags.IntVar(&r.limit, "limit", 0, "no more than `N` of them; 0: all")
	flags.BoolVar(&r.dryRun, "dry-run", false, "write nothing; say what would be taken")
	flags.StringVar(&r.export, "export", "",
		"write them to `FILE` as NDJSON, to be repaired; - is standard output")
	flags.StringVar(&r.from, "from", "",
		"drive those in `FILE`, as --export wrote it and somebody repaired it; - is standard input")
	flags.StringVar(&r.format, "format", "table", "table or json")
}

func (r *redrive) check() error {
	switch {
	case r.export != "" && (r.from != "" || r.dryRun):
		return usagef("--export drives nothing: want it without --from and --dry-run")
	case r.handoffs && r.reasons+r.sites+r.protocols+r.export+r.from != "":
		return usagef("--handoffs goes with --webhook, --id, --since, --until, --limit and --dry-run")
	case !r.handoffs && r.webhooks != "":
		return usagef("--webhook goes with --handoffs")
	case r.limit < 0:
		return usagef("--limit %d: want a number from 0", r.limit)
	case r.format != "table" && r.format != "json":
		return usagef("--format %q: want table or json", r.format)
	}
	return nil
}

// run drives what the filters leave.
func (r *redrive) run(ctx context.Context) (err error) {
	if !r.dryRun {
		// Two at a time would both miss the receipts of the other: the later one fences the first.
		if r.transaction, err = r.client.NewTransactional(ctx, "redrive"); err != nil {
			return err
		}
	}
	ends, err := r.receipts(ctx)
	if err != nil {
		return err
	}
	drive := func(bad *schemas.BadBeacon) error { return r.drive(ctx, bad) }
	if r.from != "" {
		err = r.file(drive)
	} else {
		err = r.each(ctx, ends, drive)
	}
	if err != nil {
		return err
	}
	return r.commit(ctx)
}

// receipts finds out what has been taken before, and how far the topic reaches.
func (r *redrive) receipts(ctx context.Context) ([]int64, error) {
	ends, err := r.client.Ends(ctx, string(schemas.BadBeacons))
	if err != nil {
		return nil, err
	}
	return ends, r.each(ctx, ends, func(b *schemas.BadBeacon) error {
		if b.RedrivenAtUs != 0 {
			r.taken[b.BadBeaconId] = true
		}
		return nil
	})
}

// each reads the topic up to its ends.
func (r *redrive) each(
	ctx context.Context, ends []int64, see func(*schemas.BadBeacon) error,
) error {
	topic := string(schemas.BadBeacons)
	starts, err := r.client.Starts(ctx, topic)
	if err != nil {
		return err
	}
	return r.client.Scan(ctx, topic, starts, ends, func(records []kafka.Record) error {
		for i := range records {
			b := &schemas.BadBeacon{}
			if b.UnmarshalVT(records[i].Value) != nil {
				continue // the lake keeps it among the bad beacons
			}
			if err := see(b); err != nil {
				return err
			}
		}
		return nil
	})
}

// file reads bad beacons from a file.
func (r *redrive) file(see func(*schemas.BadBeacon) error) error {
	in := r.call.stdin
	if r.from != "-" {
		f, err := os.Open(r.from)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, redriveLineBytes)
	for number := 1; lines.Scan(); number++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		b, err := ingest.DecodeBad(lines.Bytes())
		if err == nil {
			err = see(b)
		}
		if err != nil {
			return fmt.Errorf("%s, line %d: %w", r.from, number, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read %s: %w", r.from, err)
	}
	return nil
}

// wants says whether the filters leave a bad beacon.
func (r *redrive) wants(b *schemas.BadBeacon) bool {
	at := time.UnixMicro(b.ReceivedAtUs)
	return b.RedrivenAtUs == 0 && (r.limit == 0 || r.done < r.limit) &&
		lists(r.reasons, b.Reason) && lists(r.sites, b.Site) && lists(r.protocols, b.Protocol) &&
		lists(r.ids, b.BadBeaconId) && r.covers(at)
}

// lists says whether a list has a value; an empty one has all.
func lists(list, value string) bool {
	return list == "" || slices.Contains(splitList(list), value)
}

// covers says whether an instant is between since and until.
func (r *redrive) covers(at time.Time) bool {
	return (r.since.IsZero() || !at.Before(r.since)) && (r.until.IsZero() || at.Before(r.until))
}

// drive drives one bad beacon, unless it has been taken before.
func (r *redrive) drive(ctx context.Context, b *schemas.BadBeacon) error {
	if !r.wants(b) {
		return nil
	}
	line := r.report.of(b.Reason)
	if r.taken[b.BadBeaconId] {
		line.TakenBefore++
		return nil
	}
	r.done++
	out := r.driver.Drive(b, time.Now())
	line.add(out)
	if len(out.Messages) == 0 {
		return nil
	}
	r.taken[b.BadBeaconId] = true // a file may have it twice
	if r.dryRun {
		return nil
	}
	if r.waiting = append(r.waiting, out.Messages...); len(r.waiting) < redriveRecords {
		return nil
	}
	return r.commit(ctx)
}

// commit writes what waits, in one transaction with the receipts.
func (r *redrive) commit(ctx context.Context) error {
	if len(r.waiting) == 0 {
		return nil
	}
	if err := r.transaction.Commit(ctx, kafka.Commit{Messages: r.waiting}); err != nil {
		return fmt.Errorf("%w; call it again: what was taken is not taken twice", err)
	}
	r.waiting = nil
	return nil
}

// exportTo writes what the filters leave, and was not taken before, as NDJSON.
func (r *redrive) exportTo(ctx context.Context) (err error) {
	ends, err := r.receipts(ctx)
	if err != nil {
		return err
	}
	to := r.call.stdout
	if r.export != "-" {
		// It holds what people have sent.
		f, err := os.OpenFile(r.export, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		to = f
	}
	w := bufio.NewWriter(to)
	err = r.each(ctx, ends, func(b *schemas.BadBeacon) error {
		if !r.wants(b) || r.taken[b.BadBeaconId] {
			return nil
		}
		r.done++
		text, err := ingest.EncodeBad(b)
		if err == nil {
			_, err = w.Write(append(text, '\n'))
		}
		return err
	})
	if err = errors.Join(err, w.Flush()); err != nil {
		return err
	}
	if f, ok := to.(interface{ Sync() error }); ok && r.export != "-" {
		err = f.Sync()
	}
	if r.export != "-" {
		_, err = fmt.Fprintf(r.call.stdout, "%s in %s\n", plural(r.done, "bad beacon"), r.export)
	}
	return err
}
