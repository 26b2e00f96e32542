package ingest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"crumbtrail/ingest/spill"
)

var errUnknown = errors.New("nothing has been appended to the log yet")

// slowError says that the log has not answered for a while, which it may still do.
type slowError struct{ after time.Duration }

// Error says for how long.
func (e *slowError) Error() string { return fmt.Sprintf("no answer for %s", e.after) }

// health knows whether the log takes anything. Safe for concurrent use.
type health struct{ state atomic.Pointer[error] }

// note takes in an outcome and says whether it differs from the one before.
func (h *health) note(err error) (changed bool) {
	before := h.state.Swap(&err)
	return before == nil || (*before == nil) != (err == nil)
}

// log returns nil if the last that was appended to the log got through.
func (h *health) log() error {
	var slow *slowError
	switch state := h.state.Load(); {
	case state == nil:
		return errUnknown
	case errors.As(*state, &slow):
		return fmt.Errorf("the log is slow: %w", *state)
	case *state != nil:
		return fmt.Errorf("the log takes nothing: %w", *state)
	}
	return nil
}

// note takes in what the log has answered, or that it has not.
func (a *appender) note(err error) {
	instead := "requests are answered 503 until it does"
	if a.spill != nil {
		instead = "beacons go to the spill until it does"
	}
	var slow *slowError
	switch changed := a.health.note(err); {
	case changed && errors.As(err, &slow):
		a.log.Warn("the log is slow; "+instead, "err", err)
	case changed && err != nil:
		a.log.Error("the log takes nothing; "+instead, "err", err)
	case changed:
		a.log.Info("the log takes records")
	}
}

// check returns nil if what comes in now can be made durable, as far as is known.
func (a *appender) check() error {
	err := a.health.log()
	if a.spill == nil || errors.Is(err, errUnknown) {
		return err
	}
	switch s := a.spill.Stats(); {
	case s.Err != nil && err != nil:
		return fmt.Errorf("%w; nor does the spill: %w", err, s.Err)
	case s.Err != nil && s.Records > 0: // the log is for what waits there first
		return fmt.Errorf("the spill takes nothing: %w", s.Err)
	}
	return nil
}

// notice is what those who run the collector should know although it takes beacons; empty is
// nothing.
func (a *appender) notice() string {
	if a.spill == nil {
		return ""
	}
	s := a.spill.Stats()
	switch err := a.health.log(); {
	case err != nil && !errors.Is(err, errUnknown):
		return fmt.Sprintf("%v; beacons go to the spill, %s", err, waiting(s))
	case s.Records > 0:
		return "the spill is being emptied, " + waiting(s)
	case s.Err != nil:
		return fmt.Sprintf("the spill takes nothing: %v", s.Err)
	case s.Corrupt > 0:
		return fmt.Sprintf("%d files of the spill did not verify; see `crumbtrail spill verify`",
			s.Corrupt)
	}
	return ""
}

func waiting(s spill.Stats) string {
	return fmt.Sprintf("where %d records wait and %d of %d MB are used",
		s.Records, s.Used>>20, s.Capacity>>20)
}
