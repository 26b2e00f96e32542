// Package admin serves the private listener of a process: it reads its metrics, its health and its
// profiles, writes nothing, and guarantees that whether the process lives never depends on
// anything outside it.
package admin

import (
	"encoding/json"
	"errors"
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

// Check is a part of a process that must be ready, each time it is asked, and may not wait.
type Check struct {
	Name string
	// Ready returns nil, what keeps the part from its work, or what it lacks, as Degraded.
	Ready func() error
}

// Handler serves /livez and its other name /healthz: the process can answer; /readyz: it can do
// its work, as all checks say, also where one is Degraded, and with ?verbose what each says;
// /metrics; /debug/pprof/.
func Handler(metrics prometheus.Gatherer, checks ...Check) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", alive)
	mux.HandleFunc("GET /healthz", alive)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		var all []error
		var each []health
		for _, c := range checks {
			err := c.Ready()
			all = append(all, err)
			one := healthOf(err)
			one.Name = c.Name
			each = append(each, one)
		}
		h := healthOf(errors.Join(all...))
		if r.URL.Query().Has("verbose") {
			h.Checks = each
		}
		status := http.StatusOK
		if h.Status != statusOK {
			status = http.StatusServiceUnavailable
		}
		answer(w, status, h)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// health is what a prober reads, of the process or of a part of it.
type health struct {
	Name   string   `json:"name,omitempty"`
	Status string   `json:"status"`
	Reason string   `json:"reason,omitempty"`
	Checks []health `json:"checks,omitempty"`
}

const statusOK = "ok"

func healthOf(err error) health {
	switch {
	case err == nil:
		return health{Status: statusOK}
	case degraded(err):
		return health{Status: statusOK, Reason: err.Error()}
	}
	return health{Status: "unavailable", Reason: err.Error()}
}

func alive(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, health{Status: statusOK})
}

func answer(w http.ResponseWriter, status int, h health) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(h) // a prober that went away needs no answer
}
