package duck

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"time"

	duckdb "github.com/marcboeker/go-duckdb/v2"
	"golang.org/x/sys/unix"
)

// ChildCommand is the hidden sub-command under which a program hands over to Main.
const ChildCommand = "duck-child"

// Main is the child process: it reads a request from stdin, binds itself to the request's limits,
// runs the query and writes its rows to stdout. Its result is the process's exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		fmt.Fprintf(stderr, "%s takes no arguments: it is started by crumbtrail itself\n", ChildCommand)
		return 2
	}
	var req request
	if err := json.NewDecoder(stdin).Decode(&req); err != nil {
		fmt.Fprintf(stderr, "read the request: %v\n", err)
		return 2
	}
	if err := req.bind(); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	w := newRowWriter(stdout)
	ctx, cancel := context.WithTimeout(context.Background(), req.Limits.Deadline)
	defer cancel()
	err := req.serve(ctx, w)
	switch {
	case err == nil:
		err = w.end()
	case ctx.Err() != nil:
		err = w.fail(tooLong(req.Limits.Deadline).Message)
	default:
		err = w.fail(req.plain(err))
	}
	if err != nil {
		fmt.Fprintf(stderr, "write rows: %v\n", err)
		return 1
	}
	return 0
}

// bind puts the process under the limits, for good. Only who is to make files may write any.
func (r request) bind() error {
	l, size := r.Limits, uint64(0)
	if len(r.Files) > 0 {
		size = unix.RLIM_INFINITY
	}
	// A write to a file must come back as an error, not end the process with a stack dump.
	signal.Ignore(unix.SIGXFSZ)
	seconds := uint64((l.Deadline+killDelay)/time.Second+1) * uint64(l.Threads+1)
	for _, limit := range []struct {
		name     string
		resource int
		max      uint64
	}{
		{"address space", unix.RLIMIT_AS, uint64(l.AddressSpace)},
		{"CPU time", unix.RLIMIT_CPU, seconds},
		{"file size", unix.RLIMIT_FSIZE, size},
		{"core size", unix.RLIMIT_CORE, 0},
	} {
		r := unix.Rlimit{Cur: limit.max, Max: limit.max}
		if err := unix.Setrlimit(limit.resource, &r); err != nil {
			return fmt.Errorf("limit the query's %s to %d: %w", limit.name, limit.max, err)
		}
	}
	return nil
}

// serve does what is asked.
func (r request) serve(ctx context.Context, w *rowWriter) error {
	if len(r.Files) > 0 {
		return r.make(ctx, w)
	}
	return r.answer(ctx, w)
}

// answer runs the query and writes its rows.
func (r request) answer(ctx context.Context, w *rowWriter) error {
	statement, err := single(r.SQL)
	if err != nil {
		return err
	}
	conn, closeAll, err := r.open(ctx)
	if err != nil {
		return err
	}
	defer closeAll()
	explain, err := check(conn, statement)
	if err != nil {
		return err
	}
	if explain {
		return stream(ctx, conn, statement, w)
	}
	// Without its rows, the statement tells its columns.
	columns, err := columnsOf(ctx, conn, wrapped("SELECT * FROM", statement, "LIMIT 0"))
	if err != nil {
		return unwrapped(err)
	}
	w.columns(columns)
	return unwrapped(streamRows(ctx, conn, asText(statement, columns), len(columns), w))
}

// open opens the database read-only, with nothing else in reach.
func (r request) open(ctx context.Context) (*sql.Conn, func(), error) {
	if strings.ContainsAny(r.Database, "?") {
		return nil, nil, fmt.Errorf("database %q: a path with a question mark cannot be opened",
			r.Database)
	}
	connector, err := duckdb.NewConnector(r.Database+"?access_mode=read_only", nil)
	if err != nil {
		return nil, nil, fmt.Errorf("open %q: %w", r.Database, err)
	}
	db := sql.OpenDB(connector)
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open %q: %w", r.Database, err), db.Close())
	}
	closeAll := func() {
		_ = conn.Close() // opened read-only: there is nothing to lose
		_ = db.Close()
	}
	if err := r.fence(ctx, conn); err != nil {
		closeAll()
		return nil, nil, err
	}
	return conn, closeAll, nil
}

// fence lets the connection reach the files of one directory and nothing else, within the limits.
func (r request) fence(ctx context.Context, conn *sql.Conn) error {
	for _, setting := range []string{
		"SET TimeZone = 'UTC'",
		fmt.Sprintf("SET threads = %d", r.Limits.Threads),
		fmt.Sprintf("SET memory_limit = '%d MiB'", max(r.Limits.Memory>>20, 1)),
		"SET temp_directory = ''",
		"SET autoinstall_known_extensions = false",
		"SET autoload_known_extensions = false",
		"SET allowed_directories = [" + Quote(r.Dir) + "]",
		"SET enable_external_access = false",
		"SET lock_configuration = true",
	} {
		if _, err := conn.ExecContext(ctx, setting); err != nil {
			return fmt.Errorf("%s: %w", strings.ToLower(setting), err)
		}
	}
	return nil
}

// check lets only statements pass that read. EXPLAIN ANALYZE runs what it explains, so that has to
// be one too.
func check(conn *sql.Conn, statement string) (explain bool, err error) {
	kind, err := kindOf(conn, statement)
	if err != nil {
		return false, err
	}
	if kind == duckdb.STATEMENT_TYPE_EXPLAIN {
		inner, ok := explained(statement)
		if !ok {
			return false, errNotReading
		}
		if kind, err = kindOf(conn, inner); err != nil {
			return false, err
		}
		explain = true
	}
	if kind != duckdb.STATEMENT_TYPE_SELECT {
		return false, errNotReading
	}
	return explain, nil
}

// errNotReading is the answer to whatever would change something.
var errNotReading = &QueryError{"the database is read-only: only SELECT, WITH, FROM, VALUES, " +
	"DESCRIBE, " +
	"SHOW, SUMMARIZE and EXPLAIN of those can run here"}

// kindOf prepares a text that must hold one statement.
func kindOf(conn *sql.Conn, statement string) (kind duckdb.StmtType, err error) {
	err = conn.Raw(func(c any) error {
		preparer, ok := c.(*duckdb.Conn)
		if !ok {
			return fmt.Errorf("a connection of another driver: %T", c)
		}
		var prepared driver.Stmt
		if prepared, err = preparer.Prepare(statement); err != nil {
			return err
		}
		defer prepared.Close()
		stmt, ok := prepared.(*duckdb.Stmt)
		if !ok {
			return fmt.Errorf("a statement of another driver: %T", prepared)
		}
		if n := stmt.NumInput(); n > 0 {
			return &QueryError{"the query has parameters: write the values into it"}
		}
		kind, err = stmt.StatementType()
		return err
	})
	return kind, err
}

func columnsOf(ctx context.Context, conn *sql.Conn, query string) ([]Column, error) {
	rows, err := conn.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	return columnTypes(rows)
}

func columnTypes(rows *sql.Rows) ([]Column, error) {
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	columns := make([]Column, len(types))
	for i, t := range types {
		columns[i] = Column{Name: t.Name(), Type: t.DatabaseTypeName()}
	}
	return columns, nil
}

// stream writes the columns and rows of a statement that gives texts only.
func stream(ctx context.Context, conn *sql.Conn, statement string, w *rowWriter) error {
	rows, err := conn.QueryContext(ctx, statement)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := columnTypes(rows)
	if err != nil {
		return err
	}
	w.columns(columns)
	return writeRows(rows, len(columns), w)
}

func streamRows(ctx context.Context, conn *sql.Conn, statement string, n int, w *rowWriter) error {
	rows, err := conn.QueryContext(ctx, statement)
	if err != nil {
		return err
	}
	defer rows.Close()
	return writeRows(rows, n, w)
}

func writeRows(rows *sql.Rows, n int, w *rowWriter) error {
	values, targets := make([]sql.NullString, n), make([]any, n)
	for i := range values {
		targets[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		if err := w.begin(); err != nil {
			return err
		}
		for i := range values {
			if values[i].Valid {
				w.value(values[i].String)
			} else {
				w.null()
			}
		}
	}
	return rows.Err()
}

// Quote writes a text as a SQL literal.
func Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
