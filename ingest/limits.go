package ingest

import (
	"errors"
	"fmt"
	"time"

	"crumbtrail/ingest/spill"
)

// Limits bounds what one request, and one beacon in it, may ask of the collector.
type Limits struct {
	// BeaconBytes is the most bytes of one beacon's JSON, and of the fields of one form.
	BeaconBytes int
	// BatchBeacons is the most beacons in one request.
	BatchBeacons int
	// Depth is the deepest nesting of objects and arrays in one beacon, itself included.
	Depth int
	// Keys is the most object keys in one beacon, at any depth, and the most fields of one form.
	Keys int
	// StringBytes is the most of a text in a beacon's properties, as JSON; what is longer is cut.
	StringBytes int
	// RawBytes is the most of a refused input that is kept in a BadBeacon.
	RawBytes int
	// MaxAge is how far before received_at a beacon may have happened.
	MaxAge time.Duration

	// Connections is how many clients may be connected at once. Beyond, those go that are idle
	// longest; where none is idle, the next client waits.
	Connections int
	// BodyBytes is the most bytes of a request's body as it comes over the wire.
	BodyBytes int
	// UnpackedBytes is the most bytes of a body once it is decompressed.
	UnpackedBytes int
	// HeaderBytes is the most bytes of a request's line and header.
	HeaderBytes int
	// HeaderTimeout and BodyTimeout are how long a client may take to send the header, and all of
	// the request; WriteTimeout is how long its answer may take from the end of the header on,
	// IdleTimeout how long a connection may wait for its next request.
	HeaderTimeout time.Duration
	BodyTimeout   time.Duration
	WriteTimeout  time.Duration
	IdleTimeout   time.Duration

	// ProcessorWait is how long nine tenths of all work may wait for a processor before a share of
	// the requests is turned away.
	ProcessorWait time.Duration
	// QueueBytes and QueueRequests are how much may wait for the log before requests are shed.
	QueueBytes    int
	QueueRequests int
	// ProduceTimeout is how long the log may take before a request is answered 503, where the spill
	// has not taken it. A replay waits for as long as it takes.
	ProduceTimeout time.Duration
	// SpillAfter is how long the log may take before a request goes to the spill.
	SpillAfter time.Duration
	// SpillBytes is the most that the spill takes of the disk.
	SpillBytes int
	// RedirectAfter is how long a click may take to be durable before the browser is led on all the
	// same.
	RedirectAfter time.Duration
	// StrangersPerSecond is how many beacons a second of unknown sites and of origins that are not
	// allowed are kept in bad-beacons; the others are only counted.
	StrangersPerSecond float64
	// RequestsPerSecond and RequestsAtOnce bound each client address, IPv6 by its /64, as a token
	// bucket. Loopback is left alone.
	RequestsPerSecond float64
	RequestsAtOnce    int
}

// DefaultLimits are the limits where the configuration says nothing.
func DefaultLimits() Limits {
	return Limits{
		BeaconBytes:  64 << 10,
		BatchBeacons: 500,
		Depth:        64,
		Keys:         256,
		StringBytes:  8 << 10,
		RawBytes:     8 << 10,
		MaxAge:       7 * 24 * time.Hour,

		Connections:   8192,
		BodyBytes:     1 << 20,
		UnpackedBytes: 4 << 20,
		HeaderBytes:   32 << 10,
		HeaderTimeout: 5 * time.Second,
		BodyTimeout:   15 * time.Second,
		WriteTimeout:  30 * time.Second,
		IdleTimeout:   60 * time.Second,

		ProcessorWait:      100 * time.Millisecond,
		QueueBytes:         64 << 20,
		QueueRequests:      4096,
		ProduceTimeout:     10 * time.Second,
		SpillAfter:         time.Second,
		SpillBytes:         1 << 30,
		RedirectAfter:      2 * time.Second,
		StrangersPerSecond: 10,
		RequestsPerSecond:  200,
		RequestsAtOnce:     1000,
	}
}

// validate returns every limit that leaves no room for another one.
func (l Limits) validate() error {
	var errs []error
	atLeast := func(name string, value, least int, why string) {
		if value < least {
			errs = append(errs, fmt.Errorf("limit %s is %d: want at least %d, %s",
				name, value, least, why))
		}
	}
	atLeast("batch_beacons", l.BatchBeacons, 1, "or nothing can come in")
	atLeast("connections", l.Connections, 1, "or nobody can come in")
	atLeast("string_bytes", l.StringBytes, 1, "or nothing is left of a text")
	atLeast("unpacked_bytes", l.UnpackedBytes, l.BeaconBytes, "which is beacon_bytes")
	atLeast("queue_bytes", l.QueueBytes, 2*l.UnpackedBytes, "twice unpacked_bytes")
	atLeast("queue_requests", l.QueueRequests, 1, "or nothing can come in")
	atLeast("spill_bytes", l.SpillBytes, spill.LeastCapacity, "a few segments")
	// A record of the log holds a beacon and what enrichment adds to it.
	const mostBeaconBytes = 512 << 10
	if l.BeaconBytes > mostBeaconBytes || l.RawBytes > mostBeaconBytes {
		errs = append(errs, fmt.Errorf("limits beacon_bytes and raw_bytes are %d and %d: want at "+
			"most %d, which fits a record of the log", l.BeaconBytes, l.RawBytes, mostBeaconBytes))
	}
	if l.ProcessorWait <= 0 {
		errs = append(errs, fmt.Errorf("limit processor_wait is %s: want more than nothing",
			l.ProcessorWait))
	}
	if l.SpillAfter <= 0 || l.SpillAfter > l.ProduceTimeout {
		errs = append(errs, fmt.Errorf("limit spill_after is %s: want more than nothing and at most "+
			"produce_timeout, which is %s", l.SpillAfter, l.ProduceTimeout))
	}
	if least := l.BodyTimeout + l.ProduceTimeout; l.WriteTimeout < least {
		errs = append(errs, fmt.Errorf("limit write_timeout is %s: want at least body_timeout and "+
			"produce_timeout, which are %s, or nobody hears the answer", l.WriteTimeout, least))
	}
	return errors.Join(errs...)
}
