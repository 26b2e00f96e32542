package lake

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/compress"
	pqfile "github.com/apache/arrow/go/v15/parquet/file"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"
	"github.com/apache/arrow/go/v15/parquet/schema"
)

// rowGroup is how many rows a row group has at most; a file rarely has more than one.
const rowGroup = 128 << 10

// fewRows is how many rows are not worth compressing: the file is mostly names and statistics.
const fewRows = 100

// createdBy is in the form that readers on a JVM know: of any other they print a warning and a
// stack trace.
const createdBy = "crumbtrail version 1"

// format is what is the same in all files of a table.
type format struct {
	schema *schema.Schema
	// packed and loose are of files with and without compression.
	packed, loose *parquet.WriterProperties
}

func newFormat(t *table) (f format, err error) {
	properties := []parquet.WriterProperty{
		parquet.WithVersion(parquet.V2_LATEST), parquet.WithCreatedBy(createdBy),
		parquet.WithStoreDecimalAsInteger(true),
	}
	for _, c := range t.columns {
		if c.layout == byDelta {
			properties = append(properties,
				parquet.WithEncodingFor(c.name, parquet.Encodings.DeltaBinaryPacked))
		}
	}
	f.loose = parquet.NewWriterProperties(properties...)
	f.packed = parquet.NewWriterProperties(append(properties,
		parquet.WithCompression(compress.Codecs.Zstd))...)
	f.schema, err = pqarrow.ToParquet(t.schema, f.loose, pqarrow.DefaultWriterProps())
	return f, err
}

// encoders are those that do not write now. They bound how many files are encoded at once: when a
// replay fills all partitions they would all encode together.
type encoders chan *encoder

const encodersAtOnce = 2

func newEncoders() encoders {
	e := make(encoders, encodersAtOnce)
	for range encodersAtOnce {
		e <- newEncoder()
	}
	return e
}

// writeParquet makes the file of one table and day, whole and durable.
func (e encoders) writeParquet(d disk, path string, p pending) (size int64, err error) {
	encoder := <-e
	defer func() { e <- encoder }()
	whole, err := encoder.encode(p)
	if err != nil {
		return 0, fmt.Errorf("encode %q: %w", path, err)
	}
	if err := d.mkdir(filepath.Dir(path)); err != nil {
		return 0, err
	}
	err = writeFile(d, path, func(w io.Writer) error {
		_, err := w.Write(whole)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("write %q: %w", path, err)
	}
	return int64(len(whole)), nil
}

// writeEmpty makes a file with a table's columns and no rows.
func (e encoders) writeEmpty(d disk, path string, t *table) error {
	_, err := e.writeParquet(d, path, pending{table: t})
	return err
}

// readIDs hands on what names each beacon in a file.
func readIDs(
	ctx context.Context, path string, each func(site, visitor, event string, receivedUs int64),
) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	defer asDamaged(ctx, path, &err)
	in, err := pqfile.NewParquetReader(f)
	if err != nil {
		return fmt.Errorf("read ids of %q: %w", path, err)
	}
	defer in.Close()
	columns := make([]int, 0, 4)
	for _, name := range []string{"site", "visitor_id", "event_id", "received_at"} {
		at := in.MetaData().Schema.ColumnIndexByName(name)
		if at < 0 {
			return fmt.Errorf("read ids of %q: it has no column %q", path, name)
		}
		columns = append(columns, at)
	}
	for g := range in.NumRowGroups() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := readGroupIDs(in, g, columns, each); err != nil {
			return fmt.Errorf("read ids of %q: %w", path, err)
		}
	}
	return nil
}

func readGroupIDs(
	in *pqfile.Reader, group int, columns []int,
	each func(site, visitor, event string, receivedUs int64),
) error {
	reader, err := pqarrow.NewFileReader(in, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	// It panics where its context ends.
	t, err := reader.ReadRowGroups(context.Background(), columns, []int{group})
	if err != nil {
		return err
	}
	defer t.Release()
	batches := array.NewTableReader(t, rowGroup)
	defer batches.Release()
	for batches.Next() {
		r := batches.Record()
		byName := map[string]int{}
		for i, f := range r.Schema().Fields() {
			byName[f.Name] = i
		}
		site, ok1 := r.Column(byName["site"]).(*array.String)
		visitor, ok2 := r.Column(byName["visitor_id"]).(*array.String)
		event, ok3 := r.Column(byName["event_id"]).(*array.String)
		received, ok4 := r.Column(byName["received_at"]).(*array.Timestamp)
		if !ok1 || !ok2 || !ok3 || !ok4 {
			return fmt.Errorf("columns of other types: %s", r.Schema())
		}
		for i := range int(r.NumRows()) {
			each(site.Value(i), visitor.Value(i), event.Value(i), int64(received.Value(i)))
		}
	}
	return batches.Err()
}
