package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"crumbtrail/internal/duck"
	"crumbtrail/lake"
	"crumbtrail/schemas"
	"crumbtrail/score"
)

// known is what a run of models reads: the lake at one moment, in a catalog of its own, which stays
// as it is while they run. One goroutine owns it, and closes it.
type known struct {
	data, dir string
	child     duck.Child
	// positions is how far the lake had come. Where past is true, the lake of now has come further.
	positions []*schemas.TopicPosition
	past      bool
}

// openKnown takes hold of what the lake shows now, or, where positions are given, showed then.
func openKnown(
	ctx context.Context, data string, then []*schemas.TopicPosition,
) (k *known, err error) {
	child, err := queryChild()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "crumbtrail-score-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for a copy of the catalog: %w", err)
	}
	k = &known{data: data, dir: dir, child: child, positions: then, past: then != nil}
	if err := copyFile(catalogPath(data), k.path()); err != nil {
		return nil, errors.Join(fmt.Errorf("copy the catalog: %w", err), k.close())
	}
	if !k.past {
		if k.positions, err = k.readPositions(ctx); err != nil {
			return nil, errors.Join(err, k.close())
		}
	}
	return k, nil
}

func (k *known) close() error { return os.RemoveAll(k.dir) }

// path is where the copy of the lake's catalog is.
func (k *known) path() string { return filepath.Join(k.dir, "now.duckdb") }

// lake returns what a model as of an instant reads.
func (k *known) lake(ctx context.Context, m *score.Model, asOf time.Time) (score.Lake, error) {
	l := score.Lake{Child: k.child, Database: k.path(), Dir: filepath.Join(k.data, "lake")}
	if !k.past && m.Identity != score.AsKnown {
		return l, nil
	}
	s := lake.Snapshot{Positions: k.positions}
	l.Database = filepath.Join(k.dir, "then.duckdb")
	if m.Identity == score.AsKnown {
		s.Known = asOf
	}
	return l, lake.BuildSnapshot(ctx, k.data, duck.Catalog{}, l.Database, s)
}

// query asks the copy of the catalog.
func (k *known) query(ctx context.Context, sql string, row func(values []any) error) error {
	q := duck.Query{Database: k.path(), Dir: filepath.Join(k.data, "lake"), SQL: sql}
	return k.child.Rows(ctx, q, func(_ []duck.Column, values []any) error { return row(values) })
}

func (k *known) readPositions(ctx context.Context) ([]*schemas.TopicPosition, error) {
	positions := []*schemas.TopicPosition{}
	err := k.query(ctx, "SELECT topic, topic_partition::BIGINT, next_offset FROM pipeline_counts "+
		"ORDER BY ALL", func(values []any) error {
		topic, isText := values[0].(string)
		partition, isNumber := values[1].(int64)
		next, isOffset := values[2].(int64)
		if !isText || !isNumber || !isOffset {
			return fmt.Errorf("%v is no position", values)
		}
		positions = append(positions, &schemas.TopicPosition{
			Topic: topic, Partition: int32(partition), NextOffset: next,
		})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read how far the lake has come: %w", err)
	}
	return positions, nil
}

// copyFile copies a file that others may replace meanwhile: the copy is of one of them.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// scoreRun is a run of a model that was published.
type scoreRun struct {
	id        string
	asOf      time.Time
	model     *score.Model
	sha256    string
	positions []*schemas.TopicPosition
}

// runsAsKnown returns the runs that --as-known names: a run whatever its models were, or the last
// one of each of the call's models before an instant.
func (k *known) runsAsKnown(ctx context.Context, s scoreCall) ([]*scoreRun, error) {
	if _, err := time.Parse(time.RFC3339Nano, s.asKnown); err != nil {
		return k.findRuns(ctx, s.asKnown)
	}
	return k.findRuns(ctx, s.asKnown, s.models...)
}

// findRuns returns the runs that the word names: by id, or of each model the last one at or before
// an instant; of the named models only, where there are any.
func (k *known) findRuns(
	ctx context.Context, word string, models ...*score.Model,
) ([]*scoreRun, error) {
	condition, of := "run_id = "+duck.Quote(word), ""
	if at, err := time.Parse(time.RFC3339Nano, word); err == nil {
		condition = fmt.Sprintf("run_at <= make_timestamptz(%d)", at.UnixMicro())
	}
	if len(models) > 0 {
		var quoted, names []string
		for _, m := range models {
			quoted, names = append(quoted, duck.Quote(m.Name)), append(names, m.Name)
		}
		condition += " AND model IN (" + strings.Join(quoted, ", ") + ")"
		of = " of " + strings.Join(names, " or ")
	}
	var runs []*scoreRun
	err := k.query(ctx, "SELECT run_id, model, epoch_us(as_of), model_file, model_sha256, "+
		"snapshot::VARCHAR FROM score_runs WHERE "+condition+" QUALIFY row_number() OVER ("+
		"PARTITION BY model ORDER BY run_at DESC, topic_offset DESC) = 1 ORDER BY model",
		func(values []any) error {
			r, err := readRun(values)
			runs = append(runs, r)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("look for a run: %w", err)
	}
	if len(runs) == 0 {
		return nil, fmt.Errorf("no run %s%s: `crumbtrail sql \"from score_runs\"` lists them", word,
			of)
	}
	return runs, nil
}

func readRun(values []any) (*scoreRun, error) {
	var texts [6]string
	for i := range texts {
		texts[i], _ = values[i].(string) // what is none makes no model
	}
	us, _ := values[2].(int64)
	r := &scoreRun{id: texts[0], asOf: time.UnixMicro(us).UTC(), sha256: texts[4]}
	var err error
	if r.model, err = score.ParseModel(texts[1]+" of run "+r.id, []byte(texts[3])); err != nil {
		return nil, err
	}
	topics := map[string]map[string]int64{}
	if err := json.Unmarshal([]byte(texts[5]), &topics); err != nil {
		return nil, fmt.Errorf("read the snapshot of run %s: %w", r.id, err)
	}
	r.positions = []*schemas.TopicPosition{}
	for topic, partitions := range topics {
		for partition, next := range partitions {
			n, err := strconv.ParseInt(partition, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("read the snapshot of run %s: %w", r.id, err)
			}
			r.positions = append(r.positions, &schemas.TopicPosition{
				Topic: topic, Partition: int32(n), NextOffset: next,
			})
		}
	}
	return r, nil
}
