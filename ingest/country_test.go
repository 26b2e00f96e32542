package ingest

import (
	"bytes"
	"net"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"crumbtrail/ingest/enrich"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// frenchAndGerman are countries of which one has the lower half of 203.0.113.0/24, one the upper.
func frenchAndGerman(t *testing.T) *enrich.Countries {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	for network, code := range map[string]string{"203.0.113.0/25": "FR", "203.0.113.128/25": "DE"} {
		_, at, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		record := mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(code)}}
		if err := tree.Insert(at, record); err != nil {
			t.Fatal(err)
		}
	}
	var file bytes.Buffer
	if _, err := tree.WriteTo(&file); err != nil {
		t.Fatal(err)
	}
	countries, err := enrich.OpenCountries(write(t, "countries.mmdb", file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return countries
}

func TestBeaconsHaveCountries(t *testing.T) {
	countries := frenchAndGerman(t)
	e := newEdge(t, func(cfg *Config) {
		cfg.Countries = countries
		cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		cfg.Sites[1].Address = enrich.AddressDropped
		cfg.Sites[2].Address = enrich.AddressWhole
	}).run(t)
	const hooked = `{"data":[{"e":"pv","aid":"count"}]}`
	for _, c := range []struct {
		target, body, header string
		country, address     string
	}{
		// Of the whole address: both halves of the /24 are in different countries.
		{"/v1/beacons", `{"site":"default","type":"ping"}`, "", "DE", "203.0.113.0"},
		{"/v1/beacons", `{"site":"acme","type":"ping"}`, "", "DE", ""},
		{"/v1/beacons", `{"site":"count","type":"ping","ip":"203.0.113.7"}`, "", "DE", "203.0.113.200"},
		{"/v1/beacons", `{"site":"ask","type":"ping"}`, "", "DE", ""}, // counted only
		{"/com.snowplowanalytics.snowplow/tp2", hooked, "", "DE", "203.0.113.200"},
		{"/com.snowplowanalytics.snowplow/tp2", hooked, "SP-Anonymous", "", ""},
		// A server's own address says nothing; what it says of the visitor's does.
		{"/v1/track", `{"writeKey":"count","event":"a","userId":"u"}`, "", "", ""},
		{
			"/v1/track", `{"writeKey":"count","event":"a","userId":"u","context":{"ip":"203.0.113.7"}}`,
			"", "FR", "203.0.113.7",
		},
	} {
		r := httptest.NewRequest("POST", c.target, strings.NewReader(c.body))
		r.RemoteAddr = "10.1.1.1:1"
		r.Header.Set("X-Forwarded-For", "203.0.113.200")
		if c.header != "" {
			r.Header.Set(c.header, "*")
		}
		w := httptest.NewRecorder()
		e.handler.ServeHTTP(w, r)
		log := e.tape.read(t).beacons
		if b := log[len(log)-1]; b.GetAgent().GetCountry() != c.country || b.Ip != c.address {
			t.Errorf("%s %s: %d, in %q, from %q", c.target, c.body, w.Code, b.GetAgent().GetCountry(), b.Ip)
		}
	}

	line := `203.0.113.7 - - [01/Jan/2026:00:00:00 +0000] "GET /a HTTP/1.1" 200 1 "-" "Mozilla/5.0"`
	in, err := OpenRecorded(write(t, "log", []byte(line+"\n")), RecordedConfig{
		Countries: countries, Sites: []Site{{Key: "default", Address: enrich.AddressWhole}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	entries, err := in.Next()
	if err != nil || entries[0].Beacon.GetAgent().GetCountry() != "FR" ||
		entries[0].Beacon.Ip != "203.0.113.7" {
		t.Errorf("recorded: %v, %v", entries, err)
	}
}
