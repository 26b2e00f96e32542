package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"crumbtrail/benchmarks"
)

// bench is one thing that can be measured.
type bench struct {
	name, help string
	// flags are those that it takes beside --json.
	flags []string
	run   func(ctx context.Context, cfg benchmarks.Config, o benchOptions) (benchmarks.Result, error)
}

func benches() []bench {
	return []bench{
		{
			"replay", "recorded beacons through every stage, embedded broker included",
			[]string{"events"},
			benchReplay,
		},
		{
			"sessionize", "the sessionizer on a topic that is there already",
			[]string{"events", "visitors", "brokers"},
			benchSessionize,
		},
		{
			"recovery", "the sessionizer's start with open visits, after a kill and after a stop",
			[]string{"visits", "brokers"},
			benchRecovery,
		},
		{
			"latency", "from the beacon that closes a visit to the visit at a read_committed reader",
			[]string{"visits", "rate", "brokers"},
			benchLatency,
		},
		{
			"ingest", "the collector at its capacity and at half of it, beside the least there can be",
			[]string{"batch", "connections", "seconds", "rate", "profile", "brokers"},
			benchIngest,
		},
		{
			"overload", "the collector with more than it can take, and afterwards",
			[]string{"batch", "connections", "seconds", "rate", "brokers"},
			benchOverload,
		},
		{
			"dedupe", "the matching of made-up contacts, and how good it is",
			[]string{"rows", "seed"},
			benchDedupe,
		},
		{
			"matching", "how good the matching of labelled sets is: writes matching.md and a picture",
			[]string{"sets", "out"},
			benchMatching,
		},
		{
			"resolve", "the resolver: its decisions, its start, from a submission to its decision",
			[]string{"submissions", "seconds", "rate", "brokers"},
			benchResolve,
		},
		{
			"lake", "the lake: how fast it writes the files of 90 days",
			[]string{"events", "out", "brokers"},
			benchLake,
		},
		{
			"people", "no measurement: writes the contacts of dedupe to a file, with the truth",
			[]string{"rows", "seed", "out"},
			benchPeople,
		},
	}
}

// benchOptions are the flags of all benches; 0 and "" are the bench's own default.
type benchOptions struct {
	events, visitors, rate int
	visits                 string
	batch, profile, out    string
	sets                   string
	rows, seed             int
	submissions            int
	connections, seconds   int
}

func benchReplay(
	ctx context.Context, cfg benchmarks.Config, o benchOptions,
) (benchmarks.Result, error) {
	return benchmarks.Replay(ctx, cfg, orElse(o.events, 1_000_000))
}

func benchSessionize(
	ctx context.Context, cfg benchmarks.Config, o benchOptions,
) (benchmarks.Result, error) {
	return benchmarks.Sessionize(ctx, cfg, orElse(o.events, 4_000_000), orElse(o.visitors, 200_000))
}

func benchRecovery(
	ctx context.Context, cfg benchmarks.Config, o benchOptions,
) (benchmarks.Result, error) {
	sizes, err := counts("visits", o.visits, 100_000, 1_000_000)
	if err != nil {
		return benchmarks.Result{}, err
	}
	return benchmarks.Recover(ctx, cfg, sizes)
}

func benchLatency(
	ctx context.Context, cfg benchmarks.Config, o benchOptions,
) (benchmarks.Result, error) {
	visits, err := counts("visits", o.visits, 5000)
	if err != nil {
		return benchmarks.Result{}, err
	}
	if len(visits) != 1 {
		return benchmarks.Result{}, usagef("--visits %s: want one number", o.visits)
	}
	return benchmarks.LiveVisits(ctx, cfg, visits[0], orElse(o.rate, 1000))
}

func benchIngest(
	ctx context.Context, cfg benchmarks.Config, o benchOptions,
) (benchmarks.Result, error) {
	batches, err := counts("batch", o.batch, 1, 50)
	if err != nil {
		return benchmarks.Result{}, err
	}
	cfg.Topics = topicSpecs(DefaultConfig(""), false)
	return benchmarks.Ingest(ctx, cfg, benchmarks.IngestOptions{
		Batches: batches, Connections: orElse(o.connections, 256), Seconds: orElse(o.seconds, 10),
		Rate: o.rate, Profile: o.profile,
	})
}

func benchOverload(
	ctx context.Context, cfg benchmarks.Config, o benchOptions,
) (benchmarks.Result, error) {
	batches, err := counts("batch", o.batch, 1)
	if err != nil {
		return benchmarks.Result{}, err
	}
	if len(batches) != 1 {
		return benchmarks.Result{}, usagef("--batch %s: want one number", o.batch)
	}
	cfg.Topics = topicSpecs(DefaultConfig(""), false)
	return benchmarks.Overwhelm(ctx, cfg, benchmarks.OverloadOptions{
		Batch: batches[0], Connections: orElse(o.connections, 4000), Seconds: orElse(o.seconds, 20),
		Rate: o.rate,
	})
}

func benchDedupe(
	ctx context.Context, cfg benchmarks.Config, o benchOptions,
) (benchmarks.Result, error) {
	return benchmarks.Dedupe(ctx, cfg, o.people())
}

func benchMatching(
	ctx context.Context, cfg benchmarks.Config, o benchOptions,
) (benchmarks.Result, error) {
	var sets []benchmarks.LabelledSet
	for _, text := range splitList(o.sets) {
		name, at, _ := strings.Cut(text, "=")
		colon := strings.LastIndexByte(at, ':')
		if name == "" || colon < 1 || colon == len(at)-1 {
			return benchmarks.Result{}, usagef("--sets %s: want name=file:column with the truth", text)
		}
		sets = append(sets, benchmarks.LabelledSet{
			Name: name, File: at[:colon], Truth: at[colon+1:],
		})
	}
	if len(sets) == 0 {
		return benchmarks.Result{}, usagef("matching: want --sets name=file:column,…")
	}
	return benchmarks.Labelled(ctx, cfg, sets, cmp.Or(o.out, "."))
}

func benchResolve(
	ctx context.Context, cfg benchmarks.Config, o benchOptions,
) (benchmarks.Result, error) {
	cfg.Topics = topicSpecs(DefaultConfig(""), false)
	return benchmarks.Resolve(ctx, cfg, benchmarks.ResolveOptions{
		Submissions: orElse(o.submissions, 1_000_000), Seconds: orElse(o.seconds, 10), Rate: o.rate,
	})
}

func benchLake(
	ctx context.Context, cfg benchmarks.Config, o benchOptions,
) (benchmarks.Result, error) {
	return benchmarks.Lake(ctx, cfg, benchmarks.LakeOptions{
		Events: orElse(o.events, 10_000_000), Dir: o.out,
	})
}

func benchPeople(
	ctx context.Context, cfg benchmarks.Config, o benchOptions,
) (benchmarks.Result, error) {
	return benchmarks.People(ctx, cfg, o.people(), cmp.Or(o.out, "people.csv"))
}

func (o benchOptions) people() benchmarks.DedupeOptions {
	return benchmarks.DedupeOptions{Rows: orElse(o.rows, 1_000_000), Seed: uint64(orElse(o.seed, 1))}
}

func orElse(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// counts reads a list of numbers from 1 on.
func counts(name, list string, otherwise ...int) ([]int, error) {
	items := splitList(list)
	if len(items) == 0 {
		return otherwise, nil
	}
	all := make([]int, len(items))
	for i, item := range items {
		n, err := strconv.Atoi(item)
		if err != nil || n < 1 {
			return nil, usagef("--%s %s: want numbers from 1 on", name, list)
		}
		all[i] = n
	}
	return all, nil
}

// runBench measures one thing in a scratch directory.
func runBench(ctx context.Context, c *call) error {
	var o benchOptions
	c.flags.IntVar(&o.events, "events", 0,
		"how many beacons; default: 1000000 of replay, 4000000 of sessionize, 10000000 of lake")
	c.flags.IntVar(&o.visitors, "visitors", 0, "how many visitors may come; default: 200000")
	c.flags.StringVar(&o.visits, "visits", "",
		"how many visits; default: 100000,1000000 open ones of recovery, 5000 of latency")
	c.flags.IntVar(&o.rate, "rate", 0,
		"beacons in a second; default: 1000 of latency, half of what the collector can take of ingest")
	c.flags.StringVar(&o.batch, "batch", "",
		"how many beacons in a request; default: 1,50 of ingest, 1 of overload")
	c.flags.IntVar(&o.connections, "connections", 0,
		"how many at once; default: 256 of ingest, 4000 of overload")
	c.flags.IntVar(&o.seconds, "seconds", 0,
		"how long each load lasts; default: 10 of ingest and resolve, 20 of overload")
	c.flags.StringVar(&o.profile, "profile", "",
		"file for a CPU profile of the collector at its capacity; default: none")
	c.flags.IntVar(&o.rows, "rows", 0,
		"how many contacts; default: 1000000 of dedupe and people")
	c.flags.IntVar(&o.submissions, "submissions", 0,
		"how many the resolver has decided before; default: 1000000 of resolve")
	c.flags.IntVar(&o.seed, "seed", 0, "the contacts follow from this number; default: 1")
	c.flags.StringVar(&o.sets, "sets", "",
		"labelled sets of matching: `NAME=FILE:COLUMN,…`, the column with the truth")
	c.flags.StringVar(&o.out, "out", "",
		"file for people, folder for matching; default: people.csv, the current one; of lake: where its "+
			"data directory stays, else nowhere")
	c.flags.StringVar(&c.brokers, "brokers", "",
		"Kafka brokers, host:port,...; default: an embedded broker in a process of its own")
	asJSON := c.flags.Bool("json", false, "print one JSON object")
	if err := c.parse(); err != nil {
		return err
	}
	chosen, err := c.bench()
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's own file: %w", err)
	}
	result, err := chosen.run(ctx, benchmarks.Config{
		Exe: exe, Brokers: splitList(c.brokers), Progress: c.stderr,
		Topics: topicSpecs(DefaultConfig(""), true),
	}, o)
	if err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(c.stdout).Encode(result)
	}
	printResult(c.stdout, result)
	return nil
}

// bench finds the bench that the call names and holds its flags against it.
func (c *call) bench() (bench, error) {
	var names []string
	for _, b := range benches() {
		names = append(names, fmt.Sprintf("%-10s  %s", b.name, b.help))
		if len(c.args) != 1 || c.args[0] != b.name {
			continue
		}
		var problems []error
		c.flags.Visit(func(f *flag.Flag) {
			number, err := strconv.Atoi(f.Value.String())
			switch {
			case f.Name == "json" || f.Name == "verbose":
			case !slices.Contains(b.flags, f.Name):
				problems = append(problems, fmt.Errorf("takes no --%s", f.Name))
			case err == nil && number < 1:
				problems = append(problems, fmt.Errorf("--%s %d: want at least 1", f.Name, number))
			}
		})
		if err := errors.Join(problems...); err != nil {
			return b, usagef("%s: %v", b.name, err)
		}
		return b, nil
	}
	return bench{}, usagef("want the name of a bench:\n  %s", strings.Join(names, "\n  "))
}

const mebi = 1 << 20

// printResult writes what was measured for people.
func printResult(w io.Writer, r benchmarks.Result) {
	fmt.Fprintf(w, "%s: %d %s in %.1f s: %.0f/s, %.0f per core-second (%.1f s user, %.1f s "+
		"system), peak memory %d MB\n", r.Name, r.Events, counted(r), r.Seconds, r.EventsPerSecond,
		r.EventsPerCoreSecond, r.UserSeconds, r.SystemSeconds, r.PeakRSSBytes/mebi)
	if r.Visits > 0 {
		fmt.Fprintf(w, "%d visits put out\n", r.Visits)
	}
	if r.BrokerCoreSeconds > 0 {
		fmt.Fprintf(w, "the broker took %.1f core-seconds\n", r.BrokerCoreSeconds)
	}
	if l := r.LatencyMS; l != nil {
		fmt.Fprintf(w, "latency p50 %.0f ms, p99 %.0f ms, at most %.0f ms\n", l.P50, l.P99, l.Max)
	}
	printCollectors(w, r.Collectors)
	printOverload(w, r.Overload)
	printMatching(w, r.Matching)
	printResolver(w, r.Resolver)
	printRecoveries(w, r.Recoveries)
}

// counted is what the events of a bench are.
func counted(r benchmarks.Result) string {
	switch r.Name {
	case "dedupe", "people", "matching":
		return "rows"
	case "resolve":
		return "submissions"
	}
	return "beacons"
}

func printResolver(w io.Writer, r *benchmarks.Resolver) {
	if r == nil {
		return
	}
	c := r.Core
	fmt.Fprintf(w, "the core alone: a decision p50 %.2f ms, p99 %.2f ms, at most %.0f ms; all "+
		"of them %.0f core-seconds, peak memory %d MB\n", c.DecisionMS.P50, c.DecisionMS.P99,
		c.DecisionMS.Max, c.CoreSeconds, c.PeakRSSBytes/mebi)
	fmt.Fprintf(w, "ready again after %.1f s (%d keys, %d MB in the changelog, peak memory %d MB)\n",
		r.RestartSeconds, r.Keys, r.ChangelogBytes/mebi, r.RestartPeakRSS/mebi)
	fmt.Fprintf(w, "the latency is that of %.0f submissions a second\n", r.Rate)
}

func printMatching(w io.Writer, m *benchmarks.Matching) {
	if m == nil {
		return
	}
	for _, line := range []struct {
		what string
		q    benchmarks.Quality
	}{{"pairs", m.Pairs}, {"pairs, best", m.Best}, {"clusters", m.Clusters}} {
		fmt.Fprintf(w, "%-11s  precision %.4f  recall %.4f  F1 %.4f\n", line.what, line.q.Precision,
			line.q.Recall, line.q.F1)
	}
	fmt.Fprintf(w, "the largest cluster has %d rows\n", m.Largest)
}

// printCollectors shows our collector beside its peers.
func printCollectors(w io.Writer, all []benchmarks.Collector) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(w, "%-10s  %5s  %9s  %11s  %8s  %8s  %9s  %8s  %8s  %7s\n", "server", "batch",
		"beacons/s", "/core-s", "p50 ms", "p99 ms", "at rate/s", "p50 ms", "p99 ms", "peak MB")
	for _, c := range all {
		fmt.Fprintf(w, "%-10s  %5d  %9.0f  %11.0f  %8.1f  %8.1f  %9.0f  %8.1f  %8.1f  %7d\n", c.Server,
			c.Batch, c.Closed.EventsPerSecond, c.Closed.EventsPerCoreSecond, c.Closed.LatencyMS.P50,
			c.Closed.LatencyMS.P99, c.Open.Rate, c.Open.LatencyMS.P50, c.Open.LatencyMS.P99,
			c.PeakRSSBytes/mebi)
	}
}

func printOverload(w io.Writer, o *benchmarks.Overload) {
	if o == nil {
		return
	}
	fmt.Fprintf(w, "capacity %.0f beacons/s, %d a request, %d connections\n", o.Capacity, o.Batch,
		o.Connections)
	fmt.Fprintf(w, "%9s  %9s  %9s  %9s  %8s  %8s  %15s\n", "load", "sent/s", "taken/s", "refused/s",
		"p50 ms", "p99 ms", "refused, p99 ms")
	for _, s := range o.Steps {
		fmt.Fprintf(w, "%8.1fx  %9.0f  %9.0f  %9.0f  %8.1f  %8.1f  %15.1f\n", s.Factor, s.Asked,
			s.EventsPerSecond, s.RefusedPerSecond, s.LatencyMS.P50, s.LatencyMS.P99, s.RefusalMS.P99)
	}
	fmt.Fprintf(w, "at twice the capacity %.0f %% of the most was taken; normal again after %d s\n",
		100*o.Goodput, o.RecoverySeconds)
}

func printRecoveries(w io.Writer, all []benchmarks.Recovery) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(w, "%11s  %-7s  %8s  %10s  %9s  %9s  %8s  %12s\n", "open visits", "after", "ready s",
		"restored s", "keys", "replayed", "peak MB", "changelog MB")
	for _, v := range all {
		fmt.Fprintf(w, "%11d  %-7s  %8.1f  %10.1f  %9d  %9d  %8d  %12d\n", v.Visits, v.After,
			v.Seconds, v.RestoreSeconds, v.Keys, v.Replayed, v.PeakRSSBytes/mebi,
			v.ChangelogBytes/mebi)
	}
}
