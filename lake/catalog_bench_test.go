package lake_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"crumbtrail/internal/duck"
	"crumbtrail/lake"
)

// timed builds a catalog again and again.
type timed struct {
	b *testing.B
}

func (c timed) Build(ctx context.Context, path string, statements []string) error {
	c.b.ReportMetric(float64(len(statements)), "statements")
	for c.b.Loop() {
		if err := duck.Build(ctx, path, statements); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkCatalog is what each flush costs beside its files.
func BenchmarkCatalog(b *testing.B) {
	_, err := lake.Open(b.Context(), lake.Config{Dir: filepath.Join(b.TempDir(), "data")},
		lake.NewLog(1), timed{b}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
}
