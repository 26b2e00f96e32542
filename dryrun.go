package main

import (
	"context"
	"fmt"
	"os"

	"crumbtrail/resolve"
	"crumbtrail/schemas"
)

// dryRun is `crumbtrail resolve --dry-run`: the submissions of the log are decided by the
// configuration, and by another one beside it, from the first that the log still has on. Nothing is
// written.
type dryRun struct {
	on      bool
	against string
	samples int
	format  string
}

func (d *dryRun) flagsOf(c *call) {
	c.flags.BoolVar(&d.on, "dry-run", false, "write nothing; say what the configuration would make "+
		"of the submissions that the log has")
	c.flags.StringVar(&d.against, "against", "",
		"with --dry-run: say, too, what another configuration would decide otherwise; `FILE`")
	c.flags.IntVar(&d.samples, "samples", 10, "with --dry-run: tell of `N` decisions")
	c.flags.StringVar(&d.format, "format", "table", "with --dry-run: table or json")
}

func (d *dryRun) check() error {
	switch {
	case !d.on && d.against != "":
		return usagef("--against %s: want --dry-run with it", d.against)
	case d.samples < 0:
		return usagef("--samples %d: want a number from 0", d.samples)
	case d.format != "table" && d.format != "json":
		return usagef("--format %q: want table or json", d.format)
	}
	return nil
}

// run reads the submissions. Where stages run on the directory, it asks their broker.
func (d *dryRun) run(ctx context.Context, c *call) error {
	if _, err := os.Stat(c.data); c.brokers == "" && err != nil {
		return fmt.Errorf("there is no data directory: %w; name it with --data, or a cluster with "+
			"--brokers", err)
	}
	cfg, _, err := c.settings()
	if err != nil {
		return err
	}
	trials := []*trial{{Config: c.config}}
	if trials[0].machine, err = machineOf(&cfg); err != nil {
		return err
	}
	if d.against != "" {
		other, problems := LoadConfig(d.against)
		if len(problems) > 0 {
			return problems
		}
		was := &trial{Config: d.against}
		if was.machine, err = machineOf(&other); err != nil {
			return err
		}
		trials = append(trials, was)
	}
	p, err := openPipeline(ctx, c, cfg, pipelineOptions{
		alone: "dry run", join: c.brokers == "", later: true,
	})
	if err != nil {
		return err
	}
	defer p.close()
	report := dryReport{Trials: trials}
	err = p.client.ScanAll(ctx, string(schemas.Submissions), report.apply)
	if err != nil {
		return fmt.Errorf("dry run: %w", err)
	}
	report.finish(d.samples)
	return report.print(c.stdout, d.format)
}

func machineOf(cfg *Config) (*resolve.Machine, error) {
	rules, err := cfg.resolveConfig()
	if err != nil {
		return nil, err
	}
	return resolve.New(rules), nil
}
