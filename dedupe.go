package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"crumbtrail/internal/progress"
	"crumbtrail/resolve/match"
	"crumbtrail/resolve/report"
)

// dedupeFlags are what `crumbtrail dedupe` is told.
type dedupeFlags struct {
	link, truth, out, review, report, model, train, format string
	explain, verdicts                                      []string
	kinds                                                  map[string]match.Kind
	values, stream                                         bool
	threshold                                              float64
}

func (c *call) dedupeFlags() (*dedupeFlags, error) {
	f := &dedupeFlags{}
	c.flags.StringVar(&f.link, "link", "", "find the records of FILE again in `FILE2`, and only there")
	columns := c.flags.String("columns", "",
		"what columns hold whose names do not tell: `COLUMN=KIND,…`, such as Kunde=company")
	c.flags.StringVar(&f.truth, "truth", "",
		"`COLUMN` with the true answers: print precision and recall; no weight depends on it")
	c.flags.Func("explain", "say why rows `A,B` are one person, or not; may be given again",
		func(pair string) error {
			f.explain = append(f.explain, pair)
			return nil
		})
	c.flags.StringVar(&f.format, "format", formatText,
		"what --explain and --truth write: text, or json, an object on each line")
	c.flags.StringVar(&f.out, "out", "", "write the clusters to `FILE`, not to standard output")
	c.flags.StringVar(&f.review, "review", "",
		"write to `FILE` the pairs that a person should look at, both rows side by side")
	c.flags.Func("verdicts", "obey what a person wrote (accept, reject) into column verdict of "+
		"`FILE`, which --review wrote; may be given again", func(file string) error {
		f.verdicts = append(f.verdicts, file)
		return nil
	})
	c.flags.StringVar(&f.report, "report", "",
		"write to `FILE` a page of HTML that shows the result, without values of rows")
	c.flags.BoolVar(&f.values, "values", false, "put what rows say into the report, too")
	c.flags.Float64Var(&f.threshold, "threshold", match.DefaultThreshold,
		"probability from which two rows are one person")
	c.flags.StringVar(&f.model, "model", "", "begin with the weights in `FILE`, which "+
		"--train wrote; contact is the shipped model of contacts")
	c.flags.StringVar(&f.train, "train", "",
		"write the weights that these rows gave to `FILE`, to read or keep")
	c.flags.BoolVar(&f.stream, "stream", false, "let the rows come one by one, each compared with "+
		"those before it, by --model as it is; without one the weights are learnt first")
	if err := c.parse(); err != nil {
		return nil, err
	}
	var err error
	if f.kinds, err = kindsOf(*columns); err != nil {
		return nil, err
	}
	switch {
	case f.stream && f.link != "":
		return nil, usagef("--stream and --link: rows come one by one of one file alone")
	case len(c.args) != 1:
		return nil, usagef("want one file, CSV or Parquet, or - for standard input, got %d", len(c.args))
	case c.args[0] == "-" && f.link == "-":
		return nil, usagef("both files are standard input: want another one")
	case f.format != formatText && f.format != formatJSON:
		return nil, usagef("--format %q: want %s or %s", f.format, formatText, formatJSON)
	case !(f.threshold >= 0 && f.threshold <= 1):
		return nil, usagef("--threshold %v: a probability is from 0 to 1", f.threshold)
	}
	return f, f.keepsInput(c.args[0])
}

// keepsInput refuses an output that would overwrite the rows it is made from.
func (f *dedupeFlags) keepsInput(file string) error {
	outputs := []struct{ flag, file string }{
		{"out", f.out}, {"report", f.report}, {"review", f.review}, {"train", f.train},
	}
	for _, out := range outputs {
		written, err := os.Stat(out.file)
		if err != nil || !written.Mode().IsRegular() {
			continue // not there yet, a device or a pipe: nothing to overwrite
		}
		for _, in := range []string{file, f.link} {
			if read, err := os.Stat(in); err == nil && os.SameFile(read, written) {
				return usagef("--%s %s: that is the file to read: name another one", out.flag, out.file)
			}
		}
	}
	return nil
}

// What an explanation is written as.
const (
	formatText = "text"
	formatJSON = "json"
)

// progressSteps is how finely the progress is shown.
const progressSteps = 1000

// runDedupe tells which rows of a file are of one person.
func runDedupe(ctx context.Context, c *call) error {
	const garbage = 40 // percent of the heap; most of it are the rows, which stay
	defer debug.SetGCPercent(debug.SetGCPercent(garbage))
	f, err := c.dedupeFlags()
	if err != nil {
		return err
	}
	options, err := f.options()
	if err != nil {
		return err
	}
	input, err := readRecords(ctx, c.stdin, c.args[0], f.link, f.kinds)
	if err != nil {
		return err
	}
	c.tellOfInput(input)
	var entity []string
	if f.truth != "" {
		truth, err := input.column(f.truth)
		if err != nil {
			return err
		}
		entity = input.entities(truth)
		options.Skip = []string{input.columns[truth]}
	}
	pairs, err := input.pairs(f.explain)
	if err != nil {
		return err
	}
	said, err := c.verdicts(ctx, f, input)
	if err != nil {
		return err
	}
	for _, v := range said {
		options.Links = append(options.Links, v.Linked)
	}
	bar := progress.New(c.stderr, progress.Options{What: "compare pairs", Total: progressSteps})
	options.Progress = func(done, most uint64) { bar.Set(int64(progressSteps * done / most)) }
	result, err := f.match(input.set, options)
	if err != nil {
		return fmt.Errorf("match the rows of %q: %w", c.args[0], err)
	}
	bar.Done("%d", result.Compared)
	c.tellOfMatching(result)
	if err := c.writeMatches(f, input, result, said); err != nil {
		return err
	}
	if err := writeExplanations(c.stdout, f.format, result, pairs); err != nil {
		return err
	}
	if f.report != "" {
		err := writeFile(f.report, func(w io.Writer) error {
			return report.Write(w, report.Input{
				Name: input.name, Result: result, Files: input.sizes(), Threshold: f.threshold,
				Review: options.Review, Entity: entity, Asked: pairs, Values: f.values,
			})
		})
		if err != nil {
			return err
		}
	}
	if entity == nil {
		return nil
	}
	to := c.stdout
	if f.out == "" && pairs == nil {
		to = c.stderr // standard output has the clusters
	}
	return writeJudgement(to, f.format, result, result.Judge(entity, f.threshold), f.threshold)
}

// verdicts reads what people decided, and says how much of it no row is left for.
func (c *call) verdicts(
	ctx context.Context, f *dedupeFlags, input *records,
) ([]pairVerdict, error) {
	said, gone, err := input.verdicts(ctx, f.verdicts)
	if gone > 0 {
		c.log.Warn("verdicts are of rows that are not there, or say something else now", "pairs", gone)
	}
	return said, err
}

// match finds which records are one: of all at once, or as they come.
func (f *dedupeFlags) match(set *match.Set, o match.Options) (*match.Result, error) {
	if f.stream && f.model != "" {
		return set.Stream(o)
	}
	result, err := set.Run(o)
	if err != nil || !f.stream {
		return result, err
	}
	o.Model = result.Learnt()
	return set.Stream(o)
}

// options are what the flags say of how to match.
func (f *dedupeFlags) options() (match.Options, error) {
	model, err := loadMatchModel(f.model)
	if len(f.kinds) > 0 {
		columns := maps.Clone(f.kinds)
		for name, kind := range model.Columns {
			if _, said := columns[name]; !said {
				columns[name] = kind
			}
		}
		model.Columns = columns
	}
	return match.Options{
		Model: model, Threshold: f.threshold, Review: min(match.DefaultReview, f.threshold),
		Spread: spread(),
	}, err
}

// writeMatches writes the files that were asked for.
func (c *call) writeMatches(
	f *dedupeFlags, input *records, r *match.Result, said []pairVerdict,
) error {
	clusters := func(w io.Writer) error { return writeClusters(w, input, r) }
	var err error
	switch {
	case f.out != "":
		err = writeFile(f.out, clusters)
	case f.explain == nil:
		err = clusters(c.stdout)
	}
	if err == nil && f.review != "" {
		err = writeFile(f.review, func(w io.Writer) error {
			return writeReview(w, reviews{input: input, result: r, threshold: f.threshold, said: said})
		})
	}
	if err == nil && f.train != "" {
		err = writeFile(f.train, func(w io.Writer) error {
			_, err := w.Write(r.Learnt().YAML())
			return err
		})
	}
	return err
}

// writeFile writes a file beside its place and moves it there: whatever happens, what was there
// before is not lost. What is no file, such as a pipe, is written to at once.
func writeFile(name string, write func(io.Writer) error) error {
	beside := name + ".tmp"
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		beside = name
	}
	f, err := os.Create(beside)
	if err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	err = errors.Join(write(f), f.Close())
	if err == nil && beside != name {
		err = os.Rename(beside, name)
	}
	if err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	return nil
}

// tellOfInput logs what of the files was read otherwise than it may be meant.
func (c *call) tellOfInput(input *records) {
	if input.notUTF8 > 0 {
		c.log.Warn("texts that are not UTF-8 were read as Windows-1252", "fields", input.notUTF8)
	}
	if len(input.missing)+len(input.surplus) > 0 {
		c.log.Warn("columns are in one file alone: call them the same, or say with --columns what they "+
			"hold", "first", strings.Join(input.missing, ", "), "second",
			strings.Join(input.surplus, ", "))
	}
}

// tellOfMatching logs what was compared as what, and what was not.
func (c *call) tellOfMatching(r *match.Result) {
	const worst = 5
	var compared, ignored []string
	for _, col := range r.Columns {
		compared = append(compared, fmt.Sprintf("%s (%s)", col.Name, col.Kind))
	}
	for _, col := range r.Ignored {
		ignored = append(ignored, col.Name)
	}
	c.log.Info("compared", "columns", strings.Join(compared, ", "), "ignored",
		strings.Join(ignored, ", "), "pairs", r.Compared, "prior", r.PriorText())
	for i, d := range r.Dropped {
		if i == worst {
			c.log.Warn("more keys have too many records", "keys", len(r.Dropped)-worst)
			break
		}
		c.log.Warn("a key has too many records: they are compared by other keys alone", "rule", d.Rule,
			"value", d.Value, "records", d.Records)
	}
}

// writeClusters writes a line for each row. A cluster is called by its first row.
func writeClusters(w io.Writer, input *records, r *match.Result) error {
	out := csv.NewWriter(w)
	head := []string{"row", "cluster_id", "match_probability"}
	if input.linked {
		head = append(head, "file")
	}
	_ = out.Write(head) // a csv.Writer keeps its error
	for at, cluster := range r.Cluster {
		line := []string{
			strconv.Itoa(at + 1), strconv.Itoa(cluster + 1), probabilityText(r.Probability[at]),
		}
		if input.linked {
			line = append(line, strconv.Itoa(input.file(at)))
		}
		_ = out.Write(line)
	}
	out.Flush()
	return out.Error()
}

func probabilityText(p float64) string { return strconv.FormatFloat(p, 'g', 6, 64) }

// loadMatchModel reads a model, or takes a shipped one: what rows learn from, where there is no
// file.
func loadMatchModel(file string) (match.Model, error) {
	model := match.DefaultModel()
	switch file {
	case "":
		return model, nil
	case match.ContactModelName:
		return match.ContactModel(), nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return model, fmt.Errorf("read the model: %w", err)
	}
	return match.ReadModel(file, text)
}
