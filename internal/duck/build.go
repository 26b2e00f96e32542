package duck

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	duckdb "github.com/marcboeker/go-duckdb/v2"
)

// Build makes a new database file at path, in place of one that may be there, runs the statements
// on it in order, and closes it: the file is whole and no other belongs to it. The statements are
// the caller's own; they run in this process.
func Build(ctx context.Context, path string, statements []string) error {
	if err := build(ctx, path, statements); err != nil {
		return fmt.Errorf("build database %q: %w", path, err)
	}
	return nil
}

func build(ctx context.Context, path string, statements []string) error {
	if strings.ContainsAny(path, "?") {
		return errors.New("a path with a question mark cannot be opened")
	}
	for _, name := range []string{path, path + ".wal"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	connector, err := duckdb.NewConnector(path+"?threads=1&autoload_known_extensions=false&"+
		"autoinstall_known_extensions=false", nil)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	err = execAll(ctx, db, statements)
	return errors.Join(err, db.Close())
}

// execAll runs the statements in one transaction: each would have to reach the disk otherwise.
func execAll(ctx context.Context, db *sql.DB, statements []string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", firstLine(s), err), tx.Rollback())
		}
	}
	return tx.Commit()
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// Catalog builds databases; it is Build as a value, for callers that take it as an interface.
type Catalog struct{}

// Build is the function Build.
func (Catalog) Build(ctx context.Context, path string, statements []string) error {
	return Build(ctx, path, statements)
}
