package ingest

import "time"

// Limits bounds what one request, and one beacon in it, may ask of the collector.
type Limits struct {
	// BeaconBytes is the most bytes of one beacon's JSON.
	BeaconBytes int
	// BatchBeacons is the most beacons in one request.
	BatchBeacons int
	// Depth is the deepest nesting of objects and arrays in one beacon, itself included.
	Depth int
	// Keys is the most object keys in one beacon, at any depth.
	Keys int
	// RawBytes is the most of a refused input that is kept in a BadBeacon.
	RawBytes int
	// MaxAge is how far before received_at a beacon may have happened.
	MaxAge time.Duration
}

// DefaultLimits are the limits where the configuration says nothing.
func DefaultLimits() Limits {
	return Limits{
		BeaconBytes:  64 << 10,
		BatchBeacons: 1000,
		Depth:        32,
		Keys:         512,
		RawBytes:     8 << 10,
		MaxAge:       7 * 24 * time.Hour,
	}
}
