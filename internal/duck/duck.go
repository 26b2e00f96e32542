// Package duck reads DuckDB databases and writes their rows, and is the only home of DuckDB. It
// guarantees that a query runs in a child process that can write nothing and is bounded in memory,
// time and threads, so that neither a crash nor a runaway query there touches its parent.
package duck

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Query is one question to one database.
type Query struct {
	// Database is the path of a DuckDB file, opened read-only.
	Database string
	// Dir is the only directory whose files the database's views may read. Empty: the path of the
	// database without its extension.
	Dir string
	// SQL is exactly one statement that reads: SELECT, WITH, FROM, VALUES, DESCRIBE, SHOW,
	// SUMMARIZE, or EXPLAIN of one of those.
	SQL string
}

// Limits bound a child. A zero value stands for the default.
type Limits struct {
	// Memory is what DuckDB may use for data, in bytes; default 1 GiB.
	Memory int64 `json:"memory"`
	// AddressSpace bounds the whole process, in bytes; default Memory and 3 GiB. It is what stops
	// a single function that allocates without asking DuckDB's own limit.
	AddressSpace int64 `json:"address_space"`
	// Threads of DuckDB; default 2.
	Threads int `json:"threads"`
	// Deadline is how long a query may run, by the wall clock; default 10 minutes. The context's
	// own deadline counts where it comes first.
	Deadline time.Duration `json:"deadline"`
}

const gib = 1 << 30

func (l Limits) withDefaults() Limits {
	if l.Memory <= 0 {
		l.Memory = gib
	}
	if l.AddressSpace <= 0 {
		l.AddressSpace = l.Memory + 3*gib
	}
	if l.Threads <= 0 {
		l.Threads = 2
	}
	if l.Deadline <= 0 {
		l.Deadline = 10 * time.Minute
	}
	return l
}

// Child runs queries, each in a process of its own.
type Child struct {
	// Exe is a program that hands ChildCommand and what follows to Main.
	Exe string
	// Env is added to the child's environment, which is otherwise empty but for the time zone.
	Env    []string
	Limits Limits
}

// QueryError is what DuckDB, or the check of the statement, says of a query.
type QueryError struct{ Message string }

// Error is the message, as DuckDB or the check wrote it.
func (e *QueryError) Error() string { return e.Message }

// killDelay is how much longer than its deadline a child may take to end by itself.
const killDelay = time.Second

// Rows runs the query and hands its rows on in order. The slices are reused between calls. Values
// are nil for NULL, bool, int64 (integers of at most 64 bits, but for UBIGINT), float64, and for
// all else DuckDB's own text: a DECIMAL's is exact, a TIMESTAMPTZ's is in UTC, lists and structs
// are JSON. An error of row ends the query and is returned.
func (c Child) Rows(
	ctx context.Context, q Query, row func(columns []Column, values []any) error,
) error {
	return c.run(ctx, q, &typedRows{emit: row})
}

// sink takes a result's columns, then its rows as texts, then that it is whole.
type sink interface {
	begin(columns []Column) error
	row(cells []cell) error
	end() error
}

// typedRows is the sink of Rows.
type typedRows struct {
	columns []Column
	values  []any
	emit    func(columns []Column, values []any) error
}

func (t *typedRows) begin(columns []Column) error {
	t.columns, t.values = columns, make([]any, len(columns))
	return nil
}

func (t *typedRows) end() error { return nil }

// run asks the child a query and passes its rows to the sink.
func (c Child) run(ctx context.Context, q Query, to sink) error {
	if _, err := os.Stat(q.Database); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("open database %q: it does not exist yet: start the pipeline on this "+
				"data directory once, or name another one with --data", q.Database)
		}
		return fmt.Errorf("open database %q: %w", q.Database, err)
	}
	request, err := newRequest(ctx, q, c.Limits.withDefaults())
	if err != nil {
		return err
	}
	return c.start(ctx, request, to)
}

// start starts the child, passes its rows to the sink and settles how it ended.
func (c Child) start(ctx context.Context, request request, to sink) error {
	limited, cancel := context.WithTimeout(ctx, request.Limits.Deadline+killDelay)
	defer cancel()
	cmd := exec.CommandContext(limited, c.Exe, ChildCommand)
	cmd.Env = append([]string{"TZ=UTC"}, c.Env...)
	input, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("ask the query's process: %w", err)
	}
	var stderr tail
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(input)), &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("ask the query's process: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the query's process %q: %w", c.Exe, err)
	}
	readErr := readStream(stdout, to)
	if readErr != nil {
		cancel() // the child may be blocked on a pipe that nobody reads any more
	}
	err = errors.Join(cmd.Wait(), readErr)
	var query *QueryError
	var broken *streamError
	switch {
	case err == nil:
		return nil
	case errors.As(readErr, &query):
		return query
	case readErr != nil && !errors.As(readErr, &broken):
		return readErr // the sink's own
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		return tooLong(request.Limits.Deadline)
	}
	return fmt.Errorf("the query's process ended early (%w) %s", err, stderr.String())
}

func tooLong(deadline time.Duration) *QueryError {
	return &QueryError{fmt.Sprintf("the query was stopped after %s: narrow it, for example to fewer "+
		"days", deadline)}
}

// request is what the child reads from its standard input.
type request struct {
	Database string `json:"database"`
	Dir      string `json:"dir"`
	SQL      string `json:"sql"`
	// Files are to be made; then there is no database and no SQL.
	Files  []File `json:"files,omitempty"`
	Limits Limits `json:"limits"`
}

func newRequest(ctx context.Context, q Query, limits Limits) (request, error) {
	database, err := filepath.Abs(q.Database)
	if err != nil {
		return request{}, fmt.Errorf("database %q: %w", q.Database, err)
	}
	dir := q.Dir
	if dir == "" {
		dir = strings.TrimSuffix(database, filepath.Ext(database))
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return request{}, fmt.Errorf("directory %q: %w", q.Dir, err)
	}
	if at, ok := ctx.Deadline(); ok {
		limits.Deadline = min(limits.Deadline, max(time.Until(at), time.Millisecond))
	}
	return request{Database: database, Dir: dir, SQL: q.SQL, Limits: limits}, nil
}

// tail keeps the last of what a child says on its standard error.
type tail struct{ text []byte }

const tailBytes = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if over := len(t.text) - tailBytes; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return strings.TrimSpace(string(t.text)) }

// Format runs the query and writes its rows to w as they come: table (for people; what could
// steer a terminal is shown escaped, columns that it has no room for stand below each other), csv
// (a header row, comma, LF, quotes only where needed, NULL empty) or json (an array of objects).
func (c Child) Format(ctx context.Context, q Query, format string, w io.Writer) error {
	to, err := formatter(format, w)
	if err != nil {
		return err
	}
	return c.run(ctx, q, to)
}
