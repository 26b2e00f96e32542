package lake

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// anyRow has a value of every kind of column.
type anyRow struct {
	text, key, only, maybe string
	bytes                  []byte
	long, at               int64
	short                  int32
	double                 float64
	truth                  bool
	small, large           int64
}

func anyTable() *rowTable[anyRow] {
	return define(
		"any", "",
		text(1, "text", "", func(r *anyRow) string { return r.text }),
		keyText(2, "key", "", func(r *anyRow) string { return r.key }),
		unique(keyText(3, "only", "", func(r *anyRow) string { return r.only })),
		unique(text(4, "maybe", "", func(r *anyRow) string { return r.maybe })),
		blob(5, "bytes", "", func(r *anyRow) []byte { return r.bytes }),
		bigint(6, "long", "", func(r *anyRow) int64 { return r.long }),
		integer(7, "short", "", func(r *anyRow) int32 { return r.short }),
		instant(8, "at", "", func(r *anyRow) int64 { return r.at }),
		double(9, "double", "", func(r *anyRow) float64 { return r.double }),
		boolean(10, "truth", "", func(r *anyRow) bool { return r.truth }),
		decimal(11, "small", "", 9, 2, func(r *anyRow) int64 { return r.small }),
		decimal(12, "large", "", 18, 6, func(r *anyRow) int64 { return r.large }),
	)
}

// String is the row as rowsOf writes it.
func (r anyRow) String() string {
	orNull := func(there bool, s string) string {
		if !there {
			return "(null)"
		}
		return s
	}
	at := time.UnixMicro(r.at).UTC().Format("2006-01-02 15:04:05.999999Z")
	valid := func(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
	return strings.Join([]string{
		orNull(r.text != "", valid(r.text)), valid(r.key), valid(r.only),
		orNull(r.maybe != "", valid(r.maybe)),
		orNull(len(r.bytes) > 0, base64.StdEncoding.EncodeToString(r.bytes)),
		strconv.FormatInt(r.long, 10), strconv.Itoa(int(r.short)), orNull(r.at != 0, at),
		orNull(r.double != 0, strconv.FormatFloat(r.double, 'g', -1, 64)),
		strconv.FormatBool(r.truth), fmt.Sprint(r.small), fmt.Sprint(r.large),
	}, "|") + "|"
}

// checkFile writes rows and has Arrow read them.
func checkFile(t rapid.TB, e *encoder, dir string, all []anyRow) {
	t.Helper()
	b := buffer[anyRow]{table: anyTable()}
	var want []string
	for i := range all {
		b.append(0, &all[i])
		want = append(want, all[i].String())
	}
	data, err := e.encode(b.take(nil)[0])
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "any.parquet")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, rowsOf(t, path)); diff != "" {
		t.Fatal(diff)
	}
	again := &rows{} // as a merge reads it
	if err := again.read(path, &b.table.table); err != nil {
		t.Fatal(err)
	}
	data = slices.Clone(data)
	twice, err := e.encode(pending{table: &b.table.table, rows: again.n, groups: again.groups})
	if err != nil || len(all) <= rowGroup && !slices.Equal(data, twice) {
		t.Fatalf("what was read writes another file, %v", err)
	}
}

// What Arrow reads is what was written, whatever repeats, is missing or is no UTF-8.
func TestFilesHoldTheirRows(t *testing.T) {
	e, dir := newEncoder(), t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		// Few values repeat, and long runs are alike.
		texts := rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.Just(""), rapid.Just("\xff")),
			1, 5).Draw(t, "texts")
		some := rapid.OneOf(rapid.SampledFrom(texts), rapid.StringN(0, 3, 6))
		number := rapid.OneOf(rapid.Int64Range(-3, 3), rapid.Int64())
		row := rapid.Custom(func(t *rapid.T) anyRow {
			return anyRow{
				text: some.Draw(t, "text"), key: some.Draw(t, "key"), only: some.Draw(t, "only"),
				maybe: some.Draw(t, "maybe"), bytes: []byte(some.Draw(t, "bytes")),
				long: number.Draw(t, "long"), short: int32(number.Draw(t, "short")),
				at:     rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(-1e15, 1e15)).Draw(t, "at"),
				double: rapid.Float64().Draw(t, "double"), truth: rapid.Bool().Draw(t, "truth"),
				small: rapid.Int64Range(-999_999_999, 999_999_999).Draw(t, "small"),
				large: rapid.Int64Range(-1e17, 1e17).Draw(t, "large"),
			}
		})
		var all []anyRow
		for range rapid.IntRange(1, 40).Draw(t, "runs") {
			next := row.Draw(t, "row")
			for range rapid.IntRange(1, 20).Draw(t, "times") {
				all = append(all, next)
			}
		}
		checkFile(t, e, dir, all)
	})
}

// Rows of several pages and row groups, with a dictionary that is not worth it in the first.
func TestLargeFilesHoldTheirRows(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	all := make([]anyRow, rowGroup+3*pageRows/2)
	for i := range all {
		all[i] = anyRow{
			text: fmt.Sprint(r.IntN(1 << 30)), key: fmt.Sprint("k", r.IntN(5000)),
			only: fmt.Sprint("e", i), long: int64(i), at: int64(r.IntN(2)) * 1e15, truth: i%3 == 0,
			short: r.Int32() - 1<<30, double: r.Float64(), small: int64(i), large: int64(-i),
		}
		if i%5 > 0 {
			all[i].maybe = fmt.Sprint("m", i)
		}
	}
	checkFile(t, newEncoder(), t.TempDir(), all)
}
