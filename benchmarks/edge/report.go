package edge

import (
	"slices"
	"time"
)

// StepReport is what came of a step: of the answers that came in its time.
type StepReport struct {
	Seconds float64 `json:"seconds"`
	Totals
	// Windows are its seconds, one after the other.
	Windows []Totals `json:"windows"`
}

// Broken is how many requests were answered neither with yes nor with later.
func (r *Report) Broken() (all int) {
	all = r.After.Broken
	for _, s := range r.Steps {
		all += s.Broken
	}
	return all
}

// Totals are the answers of some time.
type Totals struct {
	Acknowledged int `json:"acknowledged"`
	Refused      int `json:"refused"`
	Broken       int `json:"broken"`
	// Hurried are the refusals without a Retry-After.
	Hurried int `json:"hurried,omitempty"`
	// Latency is that of the acknowledged from when they were due; Late how much of it passed before
	// they were sent.
	Latency Quantiles `json:"latency_ms"`
	Late    Quantiles `json:"late_ms"`
	// Refusal is how long after it was sent a refused request had its answer.
	Refusal Quantiles `json:"refusal_ms"`
}

// Quantiles are some of a distribution of times, in milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// QuantilesOf sorts the times; of none, all are 0.
func QuantilesOf(times []time.Duration) Quantiles {
	if len(times) == 0 {
		return Quantiles{}
	}
	slices.Sort(times)
	at := func(percent int) float64 {
		rank := (len(times)*percent + 99) / 100 // nearest rank, from 1
		return float64(times[max(rank, 1)-1].Microseconds()) / 1000
	}
	return Quantiles{P50: at(50), P99: at(99), Max: at(100)}
}

// gathered is what Totals are made of.
type gathered struct {
	totals                 Totals
	latency, late, refusal []time.Duration
}

func (g *gathered) add(s *sample) {
	switch s.state {
	case Acknowledged:
		g.totals.Acknowledged++
		g.latency = append(g.latency, s.latency())
		g.late = append(g.late, s.late)
	case Refused:
		g.totals.Refused++
		g.refusal = append(g.refusal, s.took)
		if s.hurried {
			g.totals.Hurried++
		}
	default:
		g.totals.Broken++
	}
}

func (g *gathered) sum() Totals {
	g.totals.Latency, g.totals.Late = QuantilesOf(g.latency), QuantilesOf(g.late)
	g.totals.Refusal = QuantilesOf(g.refusal)
	return g.totals
}

// report puts each answer into the second and the step in which it came.
func (l *load) report() *Report {
	out := &Report{Requests: l.requests}
	var samples []sample
	for _, c := range l.connections {
		samples = append(samples, c.samples...)
		if c.problem != nil && out.Problem == "" {
			out.Problem = c.problem.Error()
		}
	}
	slices.SortFunc(samples, func(a, b sample) int { return int(a.at - b.at) })
	end := time.Duration(0)
	for _, s := range l.plan.Steps {
		whole := &gathered{}
		step := StepReport{Seconds: s.Seconds}
		begin := end
		end = begin + seconds(s.Seconds)
		for from := begin; from < end; from += time.Second {
			to := min(from+time.Second, end)
			window := &gathered{}
			for len(samples) > 0 && samples[0].at < to {
				whole.add(&samples[0])
				window.add(&samples[0])
				samples = samples[1:]
			}
			step.Windows = append(step.Windows, window.sum())
		}
		step.Totals = whole.sum()
		out.Steps = append(out.Steps, step)
	}
	after := &gathered{}
	for i := range samples {
		after.add(&samples[i])
	}
	out.After = after.sum()
	return out
}
