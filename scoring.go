package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

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

// runScore publishes one run of each model. Where stages run on the directory already, it hands
// the scores to their broker; else it runs the lake itself for as long as it takes.
func runScore(ctx context.Context, c *call) error {
	c.clusterFlags()
	asOfText := c.flags.String("as-of", "", "an instant, RFC 3339; default: now")
	file := c.flags.String("model", "", "score this model only, `FILE`")
	if err := c.parseAlone(); err != nil {
		return err
	}
	asOf := time.Now()
	if *asOfText != "" {
		var err error
		if asOf, err = time.Parse(time.RFC3339Nano, *asOfText); err != nil {
			return usagef("--as-of %q: want an instant such as 2026-01-31T00:00:00Z", *asOfText)
		}
	}
	cfg, models, err := c.settings()
	if err != nil {
		return err
	}
	if *file != "" {
		m, err := loadModel(*file)
		if err != nil {
			return err
		}
		models = []*score.Model{m}
	}
	n, err := c.scoreOnce(ctx, cfg, models, asOf)
	if err != nil {
		return err
	}
	if asOf.After(time.Now()) {
		c.log.Warn("the view scores shows the greatest as-of, so these hide every run before then")
	}
	fmt.Fprintf(c.stdout, "%s by %s as of %s\n", plural(n, "score"), plural(len(models), "model"),
		asOf.UTC().Format(time.RFC3339Nano))
	return nil
}

func (c *call) scoreOnce(
	ctx context.Context, cfg Config, models []*score.Model, asOf time.Time,
) (int, error) {
	p, err := openPipeline(ctx, c, cfg, pipelineOptions{join: true})
	if err != nil {
		return 0, err
	}
	defer p.close()
	if p.joined { // the process that holds the directory runs the lake
		return p.score(ctx, models, asOf)
	}
	r := start(ctx, p.lakePart())
	n, err := p.score(r.ctx, models, asOf)
	if err == nil {
		err = p.drainLake(r.ctx)
	}
	return n, errors.Join(err, r.stop())
}

// score runs the models over the lake and appends the scores to their topic.
func (p *pipeline) score(ctx context.Context, models []*score.Model, asOf time.Time) (int, error) {
	child, err := queryChild()
	if err != nil {
		return 0, err
	}
	producer, err := p.client.NewProducer(ctx)
	if err != nil {
		return 0, err
	}
	runID := schemas.NewID()
	total := 0
	for _, m := range models {
		out := scoreWriter{producer: producer}
		run, cancel := context.WithTimeout(ctx, scoreTimeout)
		err := score.Run(run, m, asOf, time.Now(), runID,
			score.Lake{Child: child, Database: catalogPath(p.data)},
			func(s *schemas.Score) error { return out.add(run, s) })
		if err == nil {
			err = out.flush(run)
		}
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
	batch    []kafka.Message
	count    int
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
	w.count++
	if len(w.batch) < scoreBatch {
		return nil
	}
	return w.flush(ctx)
}

func (w *scoreWriter) flush(ctx context.Context) error {
	err := w.producer.Produce(ctx, w.batch)
	w.batch = w.batch[:0]
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
