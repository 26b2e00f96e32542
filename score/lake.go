package score

import (
	"context"

	"crumbtrail/internal/duck"
)

// Querier runs one statement over the views of a lake and passes on its rows, in order. Values are
// strings, int64, bool or, for NULL, nil; the slice is the querier's own.
type Querier interface {
	Query(ctx context.Context, statement string, row func(values []any) error) error
}

// Lake is the Querier of a lake's catalog. Each statement runs in a child process that can write
// nothing and ends with the statement.
type Lake struct {
	Child duck.Child
	// Database is the path of the catalog.
	Database string
	// Dir is where its files are; empty: in the directory `lake` beside it.
	Dir string
}

// Query is Querier's.
func (l Lake) Query(
	ctx context.Context, statement string, row func(values []any) error,
) error {
	query := duck.Query{Database: l.Database, Dir: l.Dir, SQL: statement}
	return l.Child.Rows(ctx, query, func(_ []duck.Column, values []any) error { return row(values) })
}
