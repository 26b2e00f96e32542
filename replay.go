package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"crumbtrail/ingest"
	"crumbtrail/internal/kafka"
	"crumbtrail/internal/progress"
	"crumbtrail/schemas"
)

// replayCommit is how often stages commit in a replay, where nobody waits for single records.
const replayCommit = 200 * time.Millisecond

// runReplay sends recorded traffic through the same stages, on recorded time, and closes every
// visit at the end.
func runReplay(ctx context.Context, c *call) error {
	c.clusterFlags()
	format := c.flags.String("format", "", "ndjson or combined; default: told by the first lines")
	site := c.flags.String("site", "", "site of the input; NDJSON may say it itself")
	allowOld := c.flags.Bool("allow-old", false,
		"take input older than what the data directory has seen; its visits are marked late")
	if err := c.parse(); err != nil {
		return err
	}
	if len(c.args) == 0 {
		return usagef("want at least one file, or - for standard input")
	}
	if *format != "" && *format != ingest.FormatNDJSON && *format != ingest.FormatCombined {
		return usagef("--format %q: want %s or %s", *format, ingest.FormatNDJSON, ingest.FormatCombined)
	}
	if err := readable(c.args); err != nil {
		return err
	}
	cfg, models, err := c.settings()
	if err != nil {
		return err
	}
	p, err := openPipeline(ctx, c, cfg, pipelineOptions{recorded: true, commit: replayCommit})
	if err != nil {
		return err
	}
	defer p.close()
	rp := &replay{pipeline: p, call: c, format: *format, site: *site, allowOld: *allowOld}
	if err := rp.open(ctx); err != nil {
		return err
	}
	r := start(ctx, append([]part{{"collector", rp.collector.Run}}, p.stageParts()...)...)
	err = rp.run(r.ctx)
	if err == nil {
		_, err = p.score(r.ctx, models, rp.clock.Now())
	}
	if err == nil {
		err = p.drainLake(r.ctx)
	}
	if err = errors.Join(err, r.stop()); err != nil {
		return err
	}
	return p.report(ctx, c.stdout, rp.collector.Counts())
}

// readable looks for files that cannot be read before the first of them has been replayed.
func readable(files []string) error {
	var problems []error
	for _, file := range files {
		if file == "-" {
			continue
		}
		f, err := os.Open(file)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		f.Close()
	}
	return errors.Join(problems...)
}

// replay is recorded traffic on its way through a pipeline.
type replay struct {
	*pipeline
	call      *call
	format    string
	site      string
	allowOld  bool
	clock     *ingest.RecordedClock
	seen      time.Time // how far the directory had come before
	collector *ingest.Collector
}

// open makes the collector, with its clock where the data directory's stands.
func (rp *replay) open(ctx context.Context) error {
	clockUs, err := lastClock(ctx, rp.client)
	if err != nil {
		return err
	}
	rp.clock = ingest.NewRecordedClock()
	rp.seen = time.UnixMicro(clockUs)
	rp.clock.Advance(rp.seen)
	rp.collector, err = rp.openCollector(ctx, edgeOptions{clock: rp.clock, anySite: true})
	return err
}

// run appends every file, flushes, and returns once all of it is in the lake.
func (rp *replay) run(ctx context.Context) error {
	var lines int64
	for _, path := range rp.call.args {
		var err error
		if lines, err = rp.file(ctx, path, lines); err != nil {
			return err
		}
	}
	if err := rp.collector.Flush(ctx); err != nil {
		return err
	}
	return rp.drain(ctx)
}

// file appends one file; lines goes on from the files before it.
func (rp *replay) file(ctx context.Context, path string, lines int64) (int64, error) {
	in, err := ingest.OpenRecorded(path, ingest.RecordedConfig{
		Format: rp.format, Site: rp.site, Consent: rp.cfg.consents(), Collector: rp.collector.ID(),
		Sites: rp.cfg.collectedSites(), Countries: rp.countries, Limits: rp.cfg.Limits,
		Forms: rp.cfg.edgeForms(), Lines: lines, ClockUs: rp.clock.Now().UnixMicro(),
	})
	if err != nil {
		return lines, err
	}
	defer in.Close()
	bar := progress.New(rp.call.stderr, progress.Options{
		What: "replay " + filepath.Base(path), Total: in.Size(), Bytes: true,
	})
	first := true
	for {
		entries, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return lines, err
		}
		if first && !rp.allowOld {
			if err := rp.refuseOld(path, entries); err != nil {
				return lines, err
			}
		}
		first = false
		if err := rp.collector.Append(ctx, entries); err != nil {
			return lines, err
		}
		bar.Set(in.BytesRead())
	}
	bar.Done("%d lines", in.Lines()-lines)
	return in.Lines(), nil
}

// refuseOld says no to input that would come out as late visits only because it is replayed into
// a directory that has seen later traffic.
func (rp *replay) refuseOld(path string, entries []ingest.Entry) error {
	for _, e := range entries {
		if e.Beacon == nil {
			continue
		}
		if first := time.UnixMicro(e.Beacon.ReceivedAtUs); first.Before(rp.seen) {
			return fmt.Errorf("%s begins at %s, but %s has already seen %s: replay it into another "+
				"directory with --data, as after a replay that was interrupted, or take it as late "+
				"with --allow-old", path, first.UTC().Format(time.RFC3339), rp.data,
				rp.seen.UTC().Format(time.RFC3339))
		}
		return nil
	}
	return nil
}

// clockTail is how many records from the end of a partition are looked at for its clock: the last
// ones may be Flushes, which have none.
const clockTail = 16

// lastClock returns how far time has come on the topic of beacons, in microseconds since the
// epoch; 0 where nothing is on it.
func lastClock(ctx context.Context, client *kafka.Client) (clockUs int64, err error) {
	topic := string(schemas.Beacons)
	starts, err := client.Starts(ctx, topic)
	if err != nil {
		return 0, err
	}
	ends, err := client.Ends(ctx, topic)
	if err != nil {
		return 0, err
	}
	for p, end := range ends {
		starts[p] = max(starts[p], end-clockTail)
	}
	err = client.Scan(ctx, topic, starts, ends, func(records []kafka.Record) error {
		for _, r := range records {
			var rec schemas.BeaconRecord
			if rec.UnmarshalVT(r.Value) != nil {
				continue // the sessionizer sends it to bad-beacons
			}
			clockUs = max(clockUs, rec.GetTick().GetClockUs(), rec.GetBeacon().GetClockUs())
		}
		return nil
	})
	return clockUs, err
}
