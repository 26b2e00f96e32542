package duck

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	duckdb "github.com/marcboeker/go-duckdb/v2"
)

// plain is an error's text for people, without what the driver puts before it.
func (r request) plain(err error) string {
	var query *QueryError
	if errors.As(err, &query) {
		return query.Message
	}
	var duck *duckdb.Error
	if !errors.As(err, &duck) {
		return err.Error()
	}
	if strings.Contains(duck.Msg, "Out of Memory") {
		// DuckDB's own advice is to change settings, which are not the analyst's to change.
		return outOfMemory
	}
	if path, ok := missingFile(duck.Msg); ok && !strings.Contains(r.SQL, path) {
		return fmt.Sprintf("a view's file is not in reach: %q: the data directory was moved or "+
			"cleaned: start `crumbtrail up` on it once to rebuild %s", path, filepath.Base(r.Database))
	}
	return duck.Msg
}

const outOfMemory = "the query needs more memory than it may use: add a LIMIT, name fewer " +
	"columns, or aggregate"

// IsOutOfMemory tells whether a query ended because it would have taken more memory than it may.
func IsOutOfMemory(err error) bool {
	var query *QueryError
	return errors.As(err, &query) && query.Message == outOfMemory
}

// missingFile returns the path that DuckDB says it cannot read: one outside of the directory that
// it may read, or one that does not exist.
func missingFile(message string) (path string, ok bool) {
	for _, before := range []string{
		`Permission Error: Cannot access file "`,
		`IO Error: No files found that match the pattern "`,
		`IO Error: Cannot open file "`,
	} {
		if rest, found := strings.CutPrefix(message, before); found {
			path, _, ok = strings.Cut(rest, `"`)
			return path, ok && path != ""
		}
	}
	return "", false
}

// unwrapped is an error of a wrapped statement as if the statement had run alone: its lines are
// counted from its own first one.
func unwrapped(err error) error {
	var duck *duckdb.Error
	if !errors.As(err, &duck) {
		return err
	}
	// The last one, and with its mark: what is before may quote data.
	const label = "\nLINE "
	at := strings.LastIndex(duck.Msg, label)
	if at < 0 {
		return err
	}
	number, rest, _ := strings.Cut(duck.Msg[at+len(label):], ":")
	_, mark, _ := strings.Cut(rest, "\n")
	line, notNumber := strconv.Atoi(number)
	switch {
	case notNumber != nil || strings.TrimSpace(mark) != "^":
		return err
	case line < 2: // the wrapping, which is not the analyst's
		return &duckdb.Error{Type: duck.Type, Msg: strings.TrimSpace(duck.Msg[:at])}
	}
	return &duckdb.Error{
		Type: duck.Type,
		Msg:  fmt.Sprintf("%s%s%d:%s", duck.Msg[:at], label, line-1, rest),
	}
}
