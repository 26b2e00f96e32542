// Command crumbtrail turns page beacons into visits, contacts and lead scores: it collects them
// over HTTP, passes them through Kafka, and writes Parquet that any DuckDB client reads.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // sites name time zones, and the machine may have none

	"golang.org/x/term"

	"crumbtrail/benchmarks"
	"crumbtrail/internal/duck"
	"crumbtrail/score"
)

// command is one line of the command line.
type command struct {
	name string
	args string
	help string
	run  func(ctx context.Context, c *call) error
}

// commands lists what crumbtrail does, in the order of `crumbtrail help`.
func commands() []command {
	return []command{
		{"demo", "", "make traffic, run everything, print what came out, keep serving", runDemo},
		{"up", "", "all stages in one process, embedded broker unless --brokers", runUp},
		{"ingest", "", "the collector alone, against --brokers", runIngest},
		{"sessionize", "", "the sessionizer alone, against --brokers", runSessionize},
		{"resolve", "", "the resolver alone, against --brokers; --dry-run: what it would decide", runResolve},
		{"lake", "", "the lake alone, against --brokers", runLake},
		{"broker", "", "the embedded broker alone, for stages in processes of their own", runBroker},
		{"replay", "FILE...", "recorded traffic through the same stages", runReplay},
		{"redrive", "", "bad beacons, once repaired, through the edge again", runRedrive},
		{"spill", "verify|show", "what waits on disk until Kafka takes it, checked or as JSON", runSpill},
		{"review", "[VERDICT ID...]", "who may be one person: list, show, accept, reject, split, withdraw", runReview},
		{"erase", "", "a person, everywhere: by --email, --contact or --visitor", runErase},
		{"dedupe", "FILE", "which records of a CSV or Parquet file are of one person", runDedupe},
		{"rebuild", "", "visits of some days again, from the lake", runRebuild},
		{"score", "", "score every lead now, or as of a past moment", runScore},
		{"sql", "[QUERY]", "ask the lake", runSQL},
		{"snippet", "SITE", "the HTML line for a page", runSnippet},
		{"link", "[NAME]", "links and pixels for mails, signed for one recipient each", runLink},
		{"check", "", "configuration and surroundings, every problem at once", runCheck},
		{"bench", "NAME", "measure this machine; `bench help` lists the names", runBench},
	}
}

// Exit codes: done, failed, wrong usage.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	// A query runs in a child of this binary, where a crash or a runaway takes nothing with it.
	if len(os.Args) > 1 && os.Args[1] == duck.ChildCommand {
		os.Exit(duck.Main(os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(),
		os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	if len(os.Args) > 1 && os.Args[1] == benchmarks.ChildCommand {
		os.Exit(benchmarks.Child(ctx, os.Args[2:], os.Stdout, os.Stderr))
	}
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program but for the process around it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" || args[0] == "help" {
		printHelp(stdout)
		return exitDone
	}
	for _, cmd := range commands() {
		if cmd.name != args[0] {
			continue
		}
		c := newCall(cmd, args[1:], stdin, stdout, stderr)
		err := cmd.run(ctx, c)
		var usage *usageError
		var quiet *reportedError
		switch {
		case err == nil, errors.Is(err, flag.ErrHelp):
			return exitDone
		case errors.As(err, &usage):
			fmt.Fprintf(stderr, "crumbtrail %s: %v\n", cmd.name, err)
			return exitUsage
		case errors.As(err, &quiet):
			return exitFailed
		case ctx.Err() != nil && errors.Is(err, context.Canceled):
			fmt.Fprintf(stderr, "crumbtrail %s: interrupted\n", cmd.name)
			return exitFailed
		default:
			fmt.Fprintf(stderr, "crumbtrail %s: %v\n", cmd.name, err)
			return exitFailed
		}
	}
	fmt.Fprintf(stderr, "crumbtrail: no command %q; `crumbtrail help` lists them\n", args[0])
	return exitUsage
}

func printHelp(w io.Writer) {
	fmt.Fprint(w, "crumbtrail turns page beacons into visits, contacts and lead scores.\n\n")
	for _, cmd := range commands() {
		fmt.Fprintf(w, "  %-28s %s\n", strings.TrimSpace("crumbtrail "+cmd.name+" "+cmd.args), cmd.help)
	}
	fmt.Fprint(w, "\n`crumbtrail COMMAND --help` shows a command's flags. Exit code 0 done, "+
		"1 failed, 2 wrong usage.\n")
}

// usageError is a command line that makes no sense.
type usageError struct{ problem string }

func (e *usageError) Error() string { return e.problem }

func usagef(format string, args ...any) error {
	return &usageError{problem: fmt.Sprintf(format, args...)}
}

// reportedError is a failure that the command has already told of in its own output.
type reportedError struct{}

func (*reportedError) Error() string { return "failed" }

// call is one call of a command: its flags, its arguments and where its words go.
type call struct {
	options
	flags  *flag.FlagSet
	help   func()
	raw    []string
	args   []string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	log    *slog.Logger
}

// options are the flags that commands share.
type options struct {
	data        string
	config      string
	brokers     string
	listen      string
	adminListen string
	verbose     bool
	skipMissing bool
}

func newCall(cmd command, raw []string, stdin io.Reader, stdout, stderr io.Writer) *call {
	c := &call{raw: raw, stdin: stdin, stdout: stdout, stderr: stderr}
	c.flags = flag.NewFlagSet(cmd.name, flag.ContinueOnError)
	c.flags.SetOutput(io.Discard) // a wrong flag is told of once, by run
	c.flags.Usage = func() {}
	c.help = func() {
		fmt.Fprintf(stdout, "usage: crumbtrail %s\n%s\n\n",
			strings.TrimSpace(cmd.name+" [flags] "+cmd.args), cmd.help)
		c.flags.SetOutput(stdout)
		c.flags.PrintDefaults()
	}
	c.flags.StringVar(&c.data, "data", "./data", "data directory")
	c.flags.StringVar(&c.config, "config", "./crumbtrail.yaml", "configuration; may be absent")
	c.flags.BoolVar(&c.verbose, "verbose", false, "log what is only of interest when looking closely")
	return c
}

// clusterFlags adds the flags of commands that run stages.
func (c *call) clusterFlags() {
	c.flags.StringVar(&c.brokers, "brokers", "",
		"Kafka brokers, host:port,...; default: an embedded broker in the data directory")
	c.flags.BoolVar(&c.skipMissing, "skip-missing", false,
		"go on behind records that are lost in the middle of a topic, and without files of the lake "+
			"that are damaged or gone, which else halt their readers")
}

// listenFlags adds the flags of commands that serve the public.
func (c *call) listenFlags() {
	c.publicFlag()
	c.adminFlag()
}

func (c *call) publicFlag() {
	c.flags.StringVar(&c.listen, "listen", "127.0.0.1:8080", "address of the collector")
}

func (c *call) adminFlag() {
	c.flags.StringVar(&c.adminListen, "admin-listen", "127.0.0.1:8081",
		"address of /livez, /readyz, /metrics")
}

// parse reads flags and arguments in any order.
func (c *call) parse() error {
	rest := c.raw
	for {
		if err := c.flags.Parse(rest); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				c.help()
				return err
			}
			return usagef("%v; --help lists the flags", err)
		}
		rest = c.flags.Args()
		if len(rest) == 0 {
			break
		}
		// "--" ends the flags; flag takes it away, so look for it where it stood.
		if at := len(c.raw) - len(rest) - 1; at >= 0 && c.raw[at] == "--" {
			c.args = append(c.args, rest...)
			break
		}
		c.args, rest = append(c.args, rest[0]), rest[1:]
	}
	c.log = newLog(c.stderr, c.verbose)
	return nil
}

// parseAlone is parse for a command without arguments.
func (c *call) parseAlone() error {
	if err := c.parse(); err != nil {
		return err
	}
	if len(c.args) > 0 {
		return usagef("want no arguments, got %q", c.args)
	}
	return nil
}

// settings reads the configuration and the models that it names.
func (c *call) settings() (Config, []*score.Model, error) {
	cfg, doc, problems := readConfig(c.config)
	if len(problems) > 0 {
		return cfg, nil, problems
	}
	named := false
	c.flags.Visit(func(f *flag.Flag) { named = named || f.Name == "config" })
	if _, err := os.Stat(c.config); named && errors.Is(err, fs.ErrNotExist) {
		c.log.Warn("there is no such configuration: defaults hold", "config", c.config)
	}
	models, err := loadModels(cfg.Models)
	if err != nil {
		return cfg, nil, err
	}
	var names []string
	for _, m := range models {
		names = append(names, m.Name)
	}
	if problems := cfg.webhookModels(doc, names); len(problems) > 0 {
		return cfg, nil, problems
	}
	return cfg, models, nil
}

// newLog logs text on a terminal and JSON elsewhere.
func newLog(w io.Writer, verbose bool) *slog.Logger {
	opts := &slog.HandlerOptions{Level: slog.LevelInfo}
	if verbose {
		opts.Level = slog.LevelDebug
	}
	if isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
