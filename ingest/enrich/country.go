package enrich

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// Countries tells the country of an address from a file in MaxMind's format, which is read again
// once it is another one. It is held in memory: a file that is mapped, and written over, ends the
// process. Safe for concurrent use; nil knows no country.
type Countries struct {
	path string
	file atomic.Pointer[countryFile]
}

// countryFile is a file that was read and verified.
type countryFile struct {
	reader *maxminddb.Reader
	// code is where in a record the country's code stands.
	code []any
	info fs.FileInfo
}

const (
	// countryBytes is more than any file of countries has, with cities too.
	countryBytes = 1 << 30
	// countryEvery is how often to look whether the file is another one.
	countryEvery = 10 * time.Second
	// countrySamples is in how many networks a country is looked for before the file is taken for
	// one of something else.
	countrySamples = 10_000
)

// OpenCountries reads and verifies a file of countries.
func OpenCountries(path string) (*Countries, error) {
	file, err := readCountries(path)
	if err != nil {
		return nil, fmt.Errorf("countries in %s: %w", path, err)
	}
	c := &Countries{path: path}
	c.file.Store(file)
	return c, nil
}

func readCountries(path string) (*countryFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err) // the caller names the file
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > countryBytes {
		return nil, fmt.Errorf("%d bytes are more than such a file has", info.Size())
	}
	raw, err := io.ReadAll(io.LimitReader(f, countryBytes))
	if err != nil {
		return nil, err
	}
	reader, err := maxminddb.OpenBytes(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotWhole, err)
	}
	code := whereCountry(reader)
	if code == nil {
		return nil, fmt.Errorf("its records, of %q, have no country", reader.Metadata.DatabaseType)
	}
	// Not the reader's Verify: it refuses what others leave out of their files.
	for network := range reader.Networks() {
		var text string
		err := network.DecodePath(&text, code...)
		if err = errors.Join(network.Err(), err); err != nil {
			return nil, fmt.Errorf("%w: %w", errNotWhole, err)
		}
	}
	return &countryFile{reader: reader, code: code, info: info}, nil
}

var errNotWhole = errors.New("not a whole file in MaxMind's format")

// whereCountry returns where a file has its countries' codes: MaxMind's own, or one of those that
// others use. It is nil where the file has none.
func whereCountry(reader *maxminddb.Reader) []any {
	n := 0
	for network := range reader.Networks() {
		for _, at := range [][]any{{"country", "iso_code"}, {"country_code"}, {"country"}} {
			var code string
			if err := network.DecodePath(&code, at...); err == nil && isCountry(code) {
				return at
			}
		}
		if n++; n == countrySamples {
			break
		}
	}
	return nil
}

// isCountry says whether text has the form of a code of ISO 3166-1 alpha-2.
func isCountry(code string) bool {
	return len(code) == 2 && 'A' <= code[0] && code[0] <= 'Z' && 'A' <= code[1] && code[1] <= 'Z'
}

// of returns the code of an address's country, ISO 3166-1 alpha-2, empty where it is not known.
func (c *Countries) of(addr netip.Addr) string {
	if c == nil || !addr.IsValid() {
		return ""
	}
	file := c.file.Load()
	var code string
	err := file.reader.Lookup(addr).DecodePath(&code, file.code...)
	if err != nil || !isCountry(code) {
		return ""
	}
	return code
}

// Watch reads the file again whenever it is another one, until ctx ends. One that cannot be read
// leaves what there was.
func (c *Countries) Watch(ctx context.Context, log *slog.Logger) {
	ticker := time.NewTicker(countryEvery)
	defer ticker.Stop()
	seen, said := c.file.Load().info, ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		info, err := os.Stat(c.path)
		var file *countryFile
		switch {
		case err != nil:
			err = errors.Unwrap(err)
		case sameFile(info, seen):
			continue
		default:
			seen = info
			file, err = readCountries(c.path)
		}
		switch {
		case err == nil:
			c.file.Store(file)
			said = ""
			log.Info("countries read again", "file", c.path, "built", file.reader.Metadata.BuildTime())
		case err.Error() != said: // once, not every time
			said = err.Error()
			log.Warn("the countries stay as they were", "file", c.path, "err", err)
		}
	}
}

func sameFile(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// built is when the file was made, seconds since 1970; 0 without one.
func (c *Countries) built() float64 {
	if c == nil {
		return 0
	}
	return float64(c.file.Load().reader.Metadata.BuildEpoch)
}

// Metric is when the file was made.
func (c *Countries) Metric() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "crumbtrail_ingest_countries_built_timestamp_seconds",
		Help: "When the file of countries was made; 0 without one.",
	}, c.built)
}
