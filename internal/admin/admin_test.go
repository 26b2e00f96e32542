package admin

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestHandler(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "crumbtrail_test_things", Help: "Things.",
	}, func() float64 { return 7 }))
	var broken error
	handler := Handler(registry, Check{"edge", func() error { return broken }},
		Check{"mail", func() error { return nil }})
	for _, c := range []struct {
		path   string
		ready  error
		status int
		body   string
	}{
		{"/livez", nil, 200, `{"status":"ok"}`},
		{"/healthz", errors.New("log away"), 200, `{"status":"ok"}`},
		{"/readyz", nil, 200, `{"status":"ok"}`},
		{"/readyz", errors.New("log away"), 503, `{"status":"unavailable","reason":"log away"}`},
		{"/readyz", Degraded("log away"), 200, `{"status":"ok","reason":"log away"}`},
		{
			"/readyz", errors.Join(Degraded("log away"), Degraded("slow")), 200,
			`{"status":"ok","reason":"log away\nslow"}`,
		},
		{
			"/readyz", errors.Join(Degraded("slow"), errors.Join(errors.New("log away"))), 503,
			`{"status":"unavailable","reason":"slow\nlog away"}`,
		},
		{"/readyz", nil, 200, `{"status":"ok"}`},
		{
			"/readyz?verbose", Degraded("slow"), 200, `{"status":"ok","reason":"slow","checks":[` +
				`{"name":"edge","status":"ok","reason":"slow"},{"name":"mail","status":"ok"}]}`,
		},
		{
			"/readyz?verbose", errors.New("log away"), 503, `"checks":[` +
				`{"name":"edge","status":"unavailable","reason":"log away"},{"name":"mail","status":"ok"}]}`,
		},
		{"/metrics", nil, 200, "crumbtrail_test_things 7"},
		{"/debug/pprof/", nil, 200, "goroutine"},
		{"/", nil, 404, ""},
	} {
		broken = c.ready
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, c.path, nil))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.body) {
			t.Errorf("GET %s with %v: %d %q, want %d %q",
				c.path, c.ready, w.Code, w.Body, c.status, c.body)
		}
	}
}
