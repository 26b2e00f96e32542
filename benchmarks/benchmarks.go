// Package benchmarks measures whole processes of the program that it is part of: it reads what
// they report and put out, writes their input to topics and files of its own, and guarantees that
// a figure is given only for a run whose output is right.
package benchmarks

import (
	"io"

	"crumbtrail/benchmarks/edge"
	"crumbtrail/internal/kafka"
)

// Config says what is measured, and with what.
type Config struct {
	// Exe is the program's own file.
	Exe string
	// Brokers are those of a Kafka cluster; empty: the embedded broker in a process of its own.
	Brokers []string
	// Topics are made for recorded time, with a prefix of their own for each run.
	Topics []kafka.TopicSpec
	// Progress is told how far it is.
	Progress io.Writer
}

// Result is what a bench measures. CPU and memory are those of the process under test alone.
type Result struct {
	Name   string `json:"name"`
	Events int    `json:"events"`
	// Seconds is wall time from the start of the process until it had done its work.
	Seconds             float64 `json:"seconds"`
	EventsPerSecond     float64 `json:"events_per_second"`
	EventsPerCoreSecond float64 `json:"events_per_core_second"`
	UserSeconds         float64 `json:"user_seconds"`
	SystemSeconds       float64 `json:"system_seconds"`
	PeakRSSBytes        int64   `json:"peak_rss_bytes"`
	// Visits were put out.
	Visits int `json:"visits,omitempty"`
	// BrokerCoreSeconds is the embedded broker's CPU in the same time.
	BrokerCoreSeconds float64         `json:"broker_core_seconds,omitempty"`
	LatencyMS         *edge.Quantiles `json:"latency_ms,omitempty"`
	Recoveries        []Recovery      `json:"recoveries,omitempty"`
	Collectors        []Collector     `json:"collectors,omitempty"`
	Overload          *Overload       `json:"overload,omitempty"`
	Matching          *Matching       `json:"matching,omitempty"`
	Resolver          *Resolver       `json:"resolver,omitempty"`
	// Repeated beacons are in the topic more than once: their first answer was not certain.
	Repeated int `json:"repeated,omitempty"`
}

// took fills in what a process took.
func (r *Result) took(u usage) {
	r.UserSeconds += u.user.Seconds()
	r.SystemSeconds += u.system.Seconds()
	r.PeakRSSBytes = max(r.PeakRSSBytes, u.peakRSSBytes)
	r.EventsPerSecond = float64(r.Events) / r.Seconds
	r.EventsPerCoreSecond = float64(r.Events) / (r.UserSeconds + r.SystemSeconds)
}
