package ingest

import (
	"net/http"
	"testing"
)

// An input that makes the program panic costs neither its neighbours nor their request, is kept,
// and is taken once the program is mended.
func TestPoison(t *testing.T) {
	event := func(id, site string) string {
		return `{"id":"` + id + `","site":"` + site + `","type":"ping"}`
	}
	for name, c := range map[string]struct {
		target, body string
		neighbours   int
	}{
		"native": {
			"/v1/beacons",
			"[" + event("a", "acme") + "," + event("b", "poison") + "," + event("c", "acme") + "]",
			2,
		},
		"alone": {"/v1/beacons", event("b", "poison"), 0},
		"pixel": {"/v1/pixel.gif?site=poison", "", 0},
		"tracker": {
			"/com.snowplowanalytics.snowplow/tp2",
			`{"data":[{"aid":"acme","e":"pv"},{"aid":"poison","e":"pv"},{"aid":"acme","e":"pv"}]}`, 2,
		},
		"library": {
			"/v1/batch", `{"batch":[{"writeKey":"poison","type":"page","userId":"u"},
				{"writeKey":"acme","type":"page","userId":"u"}]}`, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEdge(t, nil)
			// A site without a time zone has no days.
			e.sites.byKey["poison"] = &Site{
				Key: "poison", Cookieless: true, purposes: Purposes{Analytics: Disabled},
			}
			e.run(t)
			method := http.MethodPost
			if c.body == "" {
				method = http.MethodGet
			}
			w := e.send(method, c.target, c.body)
			log := e.tape.read(t)
			if w.Code/100 != 2 || len(log.beacons) != c.neighbours || len(log.bad) != 1 {
				t.Fatalf("answered %d, %d neighbours, bad %v", w.Code, len(log.beacons), log.bad)
			}
			bad := log.bad[0]
			if bad.Reason != ReasonInternal || len(bad.Raw) == 0 {
				t.Errorf("%v", bad)
			}
			mended := newRedriver(t, func(cfg *Config) {
				cfg.Sites = append(cfg.Sites, Site{Key: "poison", Consent: ConsentImplied})
			})
			if out, _ := drive(t, mended, bad); out.Accepted != 1 {
				t.Errorf("%+v", out)
			}
			if w := e.post("/v1/beacons", event("d", "acme")); w.Code != http.StatusOK {
				t.Errorf("afterwards %d", w.Code)
			}
		})
	}
}
