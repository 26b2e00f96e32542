package lake

import (
	"bytes"
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
)

// rowGroup is how many rows a row group has at most; a file rarely has more than one.
const rowGroup = 128 << 10

// fewRows is how many rows are not worth compressing: the file is mostly names and statistics.
const fewRows = 100

func writerProperties(p pending) *parquet.WriterProperties {
	codec := compress.Codecs.Zstd
	if p.rows < fewRows {
		codec = compress.Codecs.Uncompressed
	}
	properties := []parquet.WriterProperty{
		parquet.WithCompression(codec),
		// Arrow makes an encoder per page, and one of a higher level takes megabytes.
		parquet.WithCompressionLevel(1),
		parquet.WithDictionaryDefault(true),
		parquet.WithStats(true),
		parquet.WithMaxRowGroupLength(rowGroup),
		parquet.WithVersion(parquet.V2_LATEST),
		parquet.WithStoreDecimalAsInteger(true),
		parquet.WithCreatedBy("crumbtrail"),
	}
	for i, c := range p.table.columns {
		if c.layout != byDictionary {
			properties = append(properties, parquet.WithDictionaryFor(c.name, false))
		}
		// Arrow's delta encoder fails on a batch of rows that are all NULL.
		if c.layout == byDelta && p.rows > 0 && p.record.Column(i).NullN() == 0 {
			properties = append(properties,
				parquet.WithEncodingFor(c.name, parquet.Encodings.DeltaBinaryPacked))
		}
	}
	return parquet.NewWriterProperties(properties...)
}

// encoders bounds how many files are encoded at once. Arrow makes a zstd encoder for each page,
// 8 MiB of window each, and when a replay fills all partitions they would all encode together.
type encoders chan struct{}

const encodersAtOnce = 2

// writeParquet makes the file of one table and day, whole and durable.
func (e encoders) writeParquet(d disk, path string, p pending) (size int64, err error) {
	// Arrow panics where a file refuses its first bytes, as a full disk does: it writes to memory.
	var whole bytes.Buffer
	e <- struct{}{}
	err = encode(&whole, p)
	<-e
	if err != nil {
		return 0, fmt.Errorf("encode %q: %w", path, err)
	}
	size = int64(whole.Len())
	if err := d.mkdir(filepath.Dir(path)); err != nil {
		return 0, err
	}
	err = writeFile(d, path, func(w io.Writer) error {
		_, err := whole.WriteTo(w)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("write %q: %w", path, err)
	}
	return size, nil
}

func encode(w io.Writer, p pending) error {
	out, err := pqarrow.NewFileWriter(p.table.schema, w, writerProperties(p),
		pqarrow.DefaultWriterProps())
	if err != nil {
		return err
	}
	if err := out.Write(p.record); err != nil {
		return err
	}
	return out.Close()
}

// writeEmpty makes a file with a table's columns and no rows.
func (e encoders) writeEmpty(d disk, path string, t *table) error {
	b := array.NewRecordBuilder(memory.DefaultAllocator, t.schema)
	defer b.Release()
	record := b.NewRecord()
	defer record.Release()
	_, err := e.writeParquet(d, path, pending{table: t, record: record})
	return err
}

// readIDs hands on what names each beacon in a file.
func readIDs(
	ctx context.Context, path string, each func(site, visitor, event string, receivedUs int64),
) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
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
		if err := readGroupIDs(ctx, in, g, columns, each); err != nil {
			return fmt.Errorf("read ids of %q: %w", path, err)
		}
	}
	return nil
}

func readGroupIDs(
	ctx context.Context, in *pqfile.Reader, group int, columns []int,
	each func(site, visitor, event string, receivedUs int64),
) error {
	reader, err := pqarrow.NewFileReader(in, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	t, err := reader.ReadRowGroups(ctx, columns, []int{group})
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
