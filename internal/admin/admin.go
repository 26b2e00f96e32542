// Package admin serves the private listener of a process: it reads its metrics, its health and its
// profiles, writes nothing, and guarantees that whether the process lives never depends on
// anything outside it.
package admin

import (
	"encoding/json"
	"net/http"
	"net/http/pprof"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Degraded is what a process that does its work says of what it lacks.
type Degraded string

// Error is what it lacks.
func (d Degraded) Error() string { return string(d) }

// degraded says whether nothing in err but Degraded keeps a process from being well.
func degraded(err error) bool {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(all.Unwrap(), func(err error) bool { return !degraded(err) })
	}
	_, ok := err.(Degraded)
	return ok
}

// Handler serves /livez and its other name /healthz: the process can answer; /readyz: it can do
// its work, as ready says, which is asked each time and must not wait, also where that is Degraded;
// /metrics; /debug/pprof/.
func Handler(metrics prometheus.Gatherer, ready func() error) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", alive)
	mux.HandleFunc("GET /healthz", alive)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		switch err := ready(); {
		case err == nil:
			answer(w, http.StatusOK, health{Status: "ok"})
		case degraded(err):
			answer(w, http.StatusOK, health{Status: "ok", Reason: err.Error()})
		default:
			answer(w, http.StatusServiceUnavailable, health{Status: "unavailable", Reason: err.Error()})
		}
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// health is what a prober reads.
type health struct {
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
}

func alive(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, health{Status: "ok"})
}

func answer(w http.ResponseWriter, status int, h health) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(h) // a prober that went away needs no answer
}
