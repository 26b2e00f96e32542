package spill

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"crumbtrail/internal/kafka"
)

// BenchmarkAppend measures what a 2xx waits for while the log is away, by how many requests share
// an fsync.
func BenchmarkAppend(b *testing.B) {
	for _, together := range []int{1, 100} {
		b.Run(fmt.Sprintf("requests=%d", together), func(b *testing.B) {
			fs, err := Make(filepath.Join(b.TempDir(), "spill"))
			if err != nil {
				b.Fatal(err)
			}
			var synced time.Duration
			log, err := Open(fs, Config{
				Capacity: 1 << 40, Observe: func(took time.Duration) { synced += took },
			}, quiet())
			if err != nil {
				b.Fatal(err)
			}
			frames := make([]Frame, together)
			for i := range frames {
				frames[i] = Frame{LowUs: 1, Messages: []kafka.Message{
					{Topic: "beacons", Key: make([]byte, 20), Value: make([]byte, 400)},
				}}
			}
			n := 0
			for b.Loop() {
				taken, mark, err := log.Append(frames)
				if err != nil || taken != together {
					b.Fatal(err)
				}
				if n++; n%1000 == 0 {
					log.Delivered(mark) // or the disk would fill
				}
			}
			log.Close()
			b.ReportMetric(float64(synced.Microseconds())/float64(n), "µs/fsync")
			b.ReportMetric(float64(n*together)/b.Elapsed().Seconds(), "requests/s")
		})
	}
}
