package enrich

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// countriesOf is a file in MaxMind's format: what is said of each network.
func countriesOf(t testing.TB, records map[string]mmdbtype.DataType) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{
		DatabaseType: "Test-Country", BuildEpoch: 1_767_225_600, IncludeReservedNetworks: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	for network, record := range records {
		_, at, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(at, record); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if _, err := tree.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// inCountry is a record as MaxMind has it.
func inCountry(code string) mmdbtype.DataType {
	return mmdbtype.Map{
		"continent": mmdbtype.Map{"code": mmdbtype.String("EU")},
		"country": mmdbtype.Map{
			"iso_code": mmdbtype.String(code),
			"names":    mmdbtype.Map{"en": mmdbtype.String("a name")},
		},
		"registered_country": mmdbtype.Map{"iso_code": mmdbtype.String("ZZ")},
	}
}

// write makes a file of a test's own.
func write(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "countries.mmdb")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func testCountries(t testing.TB) (*Countries, string) {
	t.Helper()
	path := write(t, countriesOf(t, map[string]mmdbtype.DataType{
		"203.0.113.0/25":   inCountry("FR"),
		"203.0.113.128/25": inCountry("DE"),
		"2001:db8:1::/48":  inCountry("JP"),
		"198.51.100.0/24":  mmdbtype.Map{"continent": mmdbtype.Map{}},
	}))
	countries, err := OpenCountries(path)
	if err != nil {
		t.Fatal(err)
	}
	return countries, path
}

func TestCountryOf(t *testing.T) {
	countries, _ := testCountries(t)
	for addr, want := range map[string]string{
		"203.0.113.7": "FR", "203.0.113.200": "DE", "2001:db8:1:ff::1": "JP",
		"198.51.100.1": "", "192.0.2.1": "", "2001:db8:2::": "", "127.0.0.1": "",
	} {
		if got := countries.of(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is in %q, want %q", addr, got, want)
		}
	}
	if got := countries.of(netip.Addr{}); got != "" {
		t.Errorf("no address is in %q", got)
	}
	var none *Countries
	if got := none.of(netip.MustParseAddr("203.0.113.7")); got != "" || none.built() != 0 {
		t.Errorf("without a file: %q", got)
	}
}

// The files of others say it elsewhere.
func TestCountryLayouts(t *testing.T) {
	for name, record := range map[string]mmdbtype.DataType{
		"country":      mmdbtype.Map{"country": mmdbtype.String("SE"), "asn": mmdbtype.String("AS1")},
		"country_code": mmdbtype.Map{"country_code": mmdbtype.String("SE")},
		"both": mmdbtype.Map{
			"country": mmdbtype.String("Sweden"), "country_code": mmdbtype.String("SE"),
		},
	} {
		countries, err := OpenCountries(write(t, countriesOf(t,
			map[string]mmdbtype.DataType{"203.0.113.0/24": record})))
		if err != nil {
			t.Fatal(err)
		}
		if got := countries.of(netip.MustParseAddr("203.0.113.1")); got != "SE" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestCountriesAreRefused(t *testing.T) {
	good := countriesOf(t, map[string]mmdbtype.DataType{"203.0.113.0/24": inCountry("FR")})
	other := countriesOf(t, map[string]mmdbtype.DataType{
		"203.0.113.0/24": mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(64496)},
	})
	for _, c := range []struct {
		name    string
		content []byte
		want    string
	}{
		{"empty", nil, "not a whole file"},
		{"text", []byte("<html>Sign in first</html>"), "not a whole file"},
		{"cut", good[:len(good)/2], "not a whole file"},
		{"head cut off", good[100:], "not a whole file"},
		{"networks", other, `"Test-Country", have no country`},
	} {
		_, err := OpenCountries(write(t, c.content))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// Whatever is damaged, it is refused or used, and ends nothing.
	for i := range good {
		damaged := bytes.Clone(good)
		damaged[i] ^= 0xff
		countries, err := OpenCountries(write(t, damaged))
		if err == nil {
			countries.of(netip.MustParseAddr("203.0.113.1"))
		}
	}
	path := filepath.Join(t.TempDir(), "none")
	if _, err := OpenCountries(path); err == nil || strings.Count(err.Error(), path) != 1 {
		t.Errorf("absent: %v", err)
	}
}

// A weekly updater replaces the file, or writes over it; one that breaks off leaves what was known.
// TestCountriesAreReadAgain runs in a bubble.
func TestCountriesAreReadAgain(t *testing.T) {
	countries, path := testCountries(t)
	addr := netip.MustParseAddr("203.0.113.7")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var log strings.Builder
		go countries.Watch(ctx, slog.New(slog.NewTextHandler(&log, nil)))
		after := func(step, want string, logs int) {
			t.Helper()
			time.Sleep(3 * countryEvery)
			synctest.Wait()
			if got := countries.of(addr); got != want {
				t.Errorf("%s: %q, want %q", step, got, want)
			}
			if n := strings.Count(log.String(), "\n"); n != logs {
				t.Errorf("%s: said %d times, want %d:\n%s", step, n, logs, log.String())
			}
		}
		next := func(code string) []byte {
			return countriesOf(t, map[string]mmdbtype.DataType{"203.0.113.0/24": inCountry(code)})
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		after("as it was", "FR", 0)
		must(os.WriteFile(path+".new", next("ES"), 0o600))
		must(os.Rename(path+".new", path))
		after("replaced", "ES", 1)
		must(os.WriteFile(path, next("IT")[:100], 0o600))
		after("half of the next", "ES", 2)
		must(os.WriteFile(path, next("IT"), 0o600))
		after("all of the next", "IT", 3)
		must(os.Remove(path))
		after("gone", "IT", 4)
		must(os.WriteFile(path, next("PT"), 0o600))
		after("back", "PT", 5)
	})
}

func BenchmarkCountry(b *testing.B) {
	countries, _ := testCountries(b)
	addr := netip.MustParseAddr("203.0.113.200")
	b.ReportAllocs()
	for b.Loop() {
		if countries.of(addr) != "DE" {
			b.Fatal("lost")
		}
	}
}
