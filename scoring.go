package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"crumbtrail/internal/duck"
	"crumbtrail/internal/fault"
	"crumbtrail/internal/kafka"
	"crumbtrail/schemas"
	"crumbtrail/score"
)

const (
	// scoreEvery is how often `up` scores again, if the lake has changed.
	scoreEvery = time.Minute
	// regroupEvery is how long it pauses at least before it does so again because contacts have
	// become one, or several. Else it pauses as long as that took: half its time is enough.
	regroupEvery = 5 * time.Second
	// scoreTimeout bounds one run of one model.
	scoreTimeout = 10 * time.Minute
	// scoreBatch is how many scores go to the topic at once.
	scoreBatch = 1000
)

// loadModels reads the models of a directory; where there is no directory, the shipped one. Every
// problem of every file is reported at once.
func loadModels(dir string) ([]*score.Model, error) {
	files, err := modelFiles(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("models: %w", err)
	}
	if len(files) == 0 {
		return []*score.Model{score.Default()}, nil
	}
	var models []*score.Model
	var problems []error
	named := map[string]string{}
	for _, file := range files {
		m, err := loadModel(file)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if other, twice := named[m.Name]; twice {
			problems = append(problems, fmt.Errorf("%s: model %q is in %s, too: rename one",
				file, m.Name, other))
		}
		named[m.Name] = file
		models = append(models, m)
	}
	return models, errors.Join(problems...)
}

func loadModel(file string) (*score.Model, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no model at %s", file)
	}
	if err != nil {
		return nil, fmt.Errorf("read the model: %w", err)
	}
	return score.ParseModel(file, text)
}

// scoreCall is what the command line asks of a scoring.
type scoreCall struct {
	models []*score.Model
	// asOf is zero where nothing is said: now, or the moment of the run that is compared with.
	asOf time.Time
	// asKnown names a run or an instant, against likewise, or a file.
	asKnown, against string
	format           string
}

// runScore publishes one run of each model, or prints what would be published differently.
func runScore(ctx context.Context, c *call) error {
	c.clusterFlags()
	asOf := c.flags.String("as-of", "", "an instant, RFC 3339; default: now")
	file := c.flags.String("model", "", "score this model only, `FILE`")
	asKnown := c.flags.String("as-known", "",
		"from what the lake knew at `RUN`, or at the last run before an instant")
	diff := c.flags.Bool("diff", false, "publish nothing, print what differs from --against")
	against := c.flags.String("against", "",
		"with --diff: `RUN`, the last run before an instant, or a model's file; default: the last run")
	format := c.flags.String("format", "table", "with --diff: table, csv or json")
	printSQL := c.flags.Bool("print-sql", false, "publish nothing, print the statement of each model")
	if err := c.parseAlone(); err != nil {
		return err
	}
	s := scoreCall{asKnown: *asKnown, against: *against, format: *format}
	if *asOf != "" {
		var err error
		if s.asOf, err = time.Parse(time.RFC3339Nano, *asOf); err != nil {
			return usagef("--as-of %q: want an instant such as 2026-01-31T00:00:00Z", *asOf)
		}
	}
	if err := duck.ValidFormat(*format); err != nil {
		return usagef("--%v", err)
	}
	if *against != "" && !*diff || *diff && *printSQL {
		return usagef("--against goes with --diff, and --print-sql with neither")
	}
	cfg, models, err := c.settings()
	if err != nil {
		return err
	}
	s.models = models
	if *file != "" {
		m, err := loadModel(*file)
		if err != nil {
			return err
		}
		s.models = []*score.Model{m}
	}
	switch {
	case *printSQL:
		return c.printSQL(s)
	case *diff:
		return c.scoreDiff(ctx, s)
	case *asKnown != "":
		return c.scoreAsKnown(ctx, cfg, s, *file != "")
	}
	return c.scoreNow(ctx, cfg, s)
}

func (c *call) printSQL(s scoreCall) error {
	asOf := s.asOf
	if asOf.IsZero() {
		asOf = time.Now()
	}
	for _, m := range s.models {
		statement, err := score.SQL(m, asOf, score.Part{Of: 1})
		if err != nil {
			return err
		}
		fmt.Fprintf(c.stdout, "%s;\n", strings.TrimSpace(statement))
	}
	return nil
}

func (c *call) scoreNow(ctx context.Context, cfg Config, s scoreCall) error {
	if s.asOf.IsZero() {
		s.asOf = time.Now()
	}
	n, err := c.scoreOnce(ctx, cfg, func(p *pipeline, ctx context.Context) (int, error) {
		return p.score(ctx, s.models, s.asOf)
	})
	if err != nil {
		return err
	}
	if s.asOf.After(time.Now()) {
		c.log.Warn("the view scores shows the greatest as-of, so these hide every run before then")
	}
	fmt.Fprintf(c.stdout, "%s by %s as of %s\n", plural(n, "score"), plural(len(s.models), "model"),
		s.asOf.UTC().Format(time.RFC3339Nano))
	return nil
}

// scoreAsKnown publishes runs again, from what the lake knew then, by the models that they had or
// by another one.
func (c *call) scoreAsKnown(ctx context.Context, cfg Config, s scoreCall, another bool) error {
	now, err := openKnown(ctx, c.data, nil)
	if err != nil {
		return err
	}
	runs, err := now.runsAsKnown(ctx, s)
	if err := errors.Join(err, now.close()); err != nil {
		return err
	}
	if another {
		runs = runs[:1]
	}
	for _, r := range runs {
		if another {
			r.model = s.models[0]
		}
		if !s.asOf.IsZero() {
			r.asOf = s.asOf
		}
		n, err := c.scoreOnce(ctx, cfg, func(p *pipeline, ctx context.Context) (int, error) {
			k, err := openKnown(ctx, p.data, r.positions)
			if err != nil {
				return 0, err
			}
			n, err := p.scoreKnown(ctx, k, []*score.Model{r.model}, r.asOf)
			return n, errors.Join(err, k.close())
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(c.stdout, "%s by model %s as of %s, as known at run %s\n", plural(n, "score"),
			r.model.Name, r.asOf.UTC().Format(time.RFC3339Nano), r.id)
	}
	return nil
}

// scoreOnce runs a scoring. Where stages run on the directory already, it hands the scores to their
// broker; else it runs the lake itself for as long as it takes.
func (c *call) scoreOnce(
	ctx context.Context, cfg Config, scoring func(*pipeline, context.Context) (int, error),
) (int, error) {
	p, err := openPipeline(ctx, c, cfg, pipelineOptions{join: true})
	if err != nil {
		return 0, err
	}
	defer p.close()
	if p.joined { // the process that holds the directory runs the lake
		return scoring(p, ctx)
	}
	r := start(ctx, p.lakePart())
	n, err := scoring(p, r.ctx)
	if err == nil {
		err = p.drainLake(r.ctx)
	}
	return n, errors.Join(err, r.stop())
}

// score runs the models over the lake and appends the scores to their topic.
func (p *pipeline) score(ctx context.Context, models []*score.Model, asOf time.Time) (int, error) {
	k, err := openKnown(ctx, p.data, nil)
	if err != nil {
		return 0, err
	}
	n, err := p.scoreKnown(ctx, k, models, asOf)
	return n, errors.Join(err, k.close())
}

// scoreKnown appends the scores of a run, and behind those of each model how they came about.
func (p *pipeline) scoreKnown(
	ctx context.Context, k *known, models []*score.Model, asOf time.Time,
) (int, error) {
	producer, err := p.client.NewProducer(ctx)
	if err != nil {
		return 0, err
	}
	runID, total := schemas.NewID(), 0
	for _, m := range models {
		run, cancel := context.WithTimeout(ctx, scoreTimeout)
		out := scoreWriter{producer: producer, client: p.client, contact: p.cfg.handoffAttributes()}
		err := out.run(run, k, m, asOf, runID)
		cancel()
		if err != nil {
			return total, err
		}
		total += out.count
	}
	return total, nil
}

// scoreWriter gathers scores into batches for the topic.
type scoreWriter struct {
	producer *kafka.Producer
	client   *kafka.Client
	// contact are the attributes of a contact that hand-offs hold.
	contact []string
	batch   []kafka.Message
	count   int
}

// run writes a run of a model.
func (w *scoreWriter) run(
	ctx context.Context, k *known, m *score.Model, asOf time.Time, runID string,
) error {
	runAt := time.Now()
	from, err := k.lake(ctx, m, asOf)
	if err != nil {
		return err
	}
	handoffs := newHandoffWriter(w, k, m, asOf, from)
	err = score.Run(ctx, m, asOf, runAt, runID, from, func(s *schemas.Score) error {
		w.count++
		if err := w.add(ctx, s); err != nil {
			return err
		}
		return handoffs.add(ctx, s)
	})
	if err == nil {
		err = handoffs.flush(ctx)
	}
	if err == nil {
		err = w.flush(ctx)
	}
	if err != nil {
		return err
	}
	// Nothing shows the run before this says that it has ended.
	err = w.add(ctx, &schemas.Score{
		Model: m.Name, Version: m.Version, ModelSha256: m.SHA256(), SubjectType: string(m.Subject),
		AsOfUs: asOf.UnixMicro(), RunId: runID, RunAtUs: runAt.UnixMicro(),
		Run: &schemas.ScoreRun{
			ModelFile: m.File(), Scores: int64(w.count), Snapshot: k.positions,
		},
	})
	if err == nil {
		err = w.flush(ctx)
	}
	fault.Point(fault.ScoreEnded)
	return err
}

func (w *scoreWriter) add(ctx context.Context, s *schemas.Score) error {
	value, err := s.MarshalVT()
	if err != nil {
		return fmt.Errorf("encode the score of %s %q: %w", s.SubjectType, s.SubjectId, err)
	}
	key := fmt.Appendf(nil, "%s\x00%s\x00%s", s.Model, s.SubjectType, s.SubjectId)
	w.batch = append(w.batch, kafka.Message{
		Topic: string(schemas.Scores), Partition: kafka.AnyPartition,
		Timestamp: s.RunAtUs / 1000, Key: key, Value: value,
	})
	if len(w.batch) < scoreBatch {
		return nil
	}
	return w.flush(ctx)
}

func (w *scoreWriter) flush(ctx context.Context) error {
	if len(w.batch) == 0 {
		return nil
	}
	fault.Point(fault.ScoreRead)
	err := w.producer.Produce(ctx, w.batch)
	w.batch = w.batch[:0]
	fault.Point(fault.ScoreWritten)
	return err
}

// scorePart scores again whenever the lake has changed: now and then, and at once where contacts
// have become one, or one has become several, as their scores are nobody's until then.
func (p *pipeline) scorePart(models []*score.Model) part {
	return part{"score", func(ctx context.Context) error {
		ticker := time.NewTicker(scoreEvery)
		defer ticker.Stop()
		scored, next := int64(-1), time.Now()
		for {
			var err error
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
				scored, err = p.rescore(ctx, models, scored)
			case <-p.lake.Regrouped():
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(time.Until(next)):
				}
				began := time.Now()
				scored, err = p.rescoreRegrouped(ctx, models, scored)
				next = time.Now().Add(max(regroupEvery, time.Since(began)))
			}
			if ctx.Err() != nil {
				return nil
			}
			if err != nil { // the last run's scores stay; the next run may find what this one missed
				p.log.Error("scoring failed", "err", err)
			}
		}
	}}
}

// rescore scores what the lake shows, unless that has been scored; it returns the generation of
// the catalog that is scored now.
func (p *pipeline) rescore(
	ctx context.Context, models []*score.Model, scored int64,
) (int64, error) {
	facts := p.lake.Generation()
	if facts == scored {
		return scored, nil
	}
	n, err := p.score(ctx, models, time.Now())
	if err != nil {
		return scored, err
	}
	p.log.Info("scored", "scores", n, "models", len(models))
	return facts, nil
}

// rescoreRegrouped has the lake show how contacts have been regrouped, scores that and has the
// lake show the scores.
func (p *pipeline) rescoreRegrouped(
	ctx context.Context, models []*score.Model, scored int64,
) (int64, error) {
	if err := p.drainLake(ctx); err != nil {
		return scored, err
	}
	scored, err := p.rescore(ctx, models, scored)
	if err != nil {
		return scored, err
	}
	return scored, p.drainLake(ctx)
}
