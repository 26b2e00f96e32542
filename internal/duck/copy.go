package duck

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	duckdb "github.com/marcboeker/go-duckdb/v2"
	"golang.org/x/sys/unix"
)

// File is a Parquet file to be made of what a query gives.
type File struct {
	// Path is where it is made, in place of what may be there.
	Path string `json:"path"`
	// SQL is the query, the caller's own.
	SQL string `json:"sql"`
	// FieldIDs are the ids of the columns by their names; every column has one.
	FieldIDs map[string]int `json:"field_ids"`
	// RowGroup is how many rows a row group has; 0 is DuckDB's default.
	RowGroup int `json:"row_group"`
}

// niceness of a process that makes files: whoever waits for an answer comes first.
const niceness = 10

// Files makes Parquet files, one after the other in one process, and returns how many rows each
// has. The queries read files below dir and nothing else, and the paths lie there, too. A file is
// written and not synced; after an error some may be there, whole or in part. Limits bound the
// process but for the size of what it writes.
func (c Child) Files(ctx context.Context, dir string, files []File) (rows []int64, err error) {
	if len(files) == 0 {
		return nil, nil
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("directory %q: %w", dir, err)
	}
	limits := c.Limits.withDefaults()
	if at, ok := ctx.Deadline(); ok {
		limits.Deadline = min(limits.Deadline, max(time.Until(at), time.Millisecond))
	}
	counts := typedRows{emit: func(_ []Column, values []any) error {
		n, ok := values[0].(int64)
		if !ok {
			return fmt.Errorf("a count of rows is %v", values[0])
		}
		rows = append(rows, n)
		return nil
	}}
	err = c.start(ctx, request{Dir: dir, Files: files, Limits: limits}, &counts)
	if err == nil && len(rows) != len(files) {
		err = fmt.Errorf("%d counts of rows", len(rows))
	}
	if err != nil {
		return nil, fmt.Errorf("make Parquet files in %q: %w", dir, err)
	}
	return rows, nil
}

// make makes the request's files and writes the number of rows of each.
func (r request) make(ctx context.Context, w *rowWriter) (err error) {
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, niceness); err != nil {
		return fmt.Errorf("give way to others: %w", err)
	}
	connector, err := duckdb.NewConnector("", nil)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := r.fence(ctx, conn); err != nil {
		return err
	}
	w.columns([]Column{{Name: "rows", Type: "BIGINT"}})
	for _, f := range r.Files {
		statement, err := f.statement()
		if err != nil {
			return err
		}
		var n int64
		if err := conn.QueryRowContext(ctx, statement).Scan(&n); err != nil {
			return fmt.Errorf("make %q: %w", f.Path, err)
		}
		if err := w.begin(); err != nil {
			return err
		}
		w.value(fmt.Sprint(n))
	}
	return nil
}

// statement is the COPY that makes the file: zstd, statistics, bloom filters where DuckDB finds a
// column's values few enough for a dictionary, and pages that any reader of the format's first
// version knows.
func (f File) statement() (string, error) {
	ids, err := json.Marshal(f.FieldIDs) // as a struct literal: DuckDB takes double quotes for names
	if err != nil {
		return "", err
	}
	group := ""
	if f.RowGroup > 0 {
		group = fmt.Sprintf(", ROW_GROUP_SIZE %d", f.RowGroup)
	}
	return fmt.Sprintf("COPY (\n%s\n) TO %s (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION V1, "+
		"USE_TMP_FILE false, FIELD_IDS %s%s)", f.SQL, Quote(f.Path), ids, group), nil
}
