// Package harness has what end-to-end tests of all kinds need of the machine: it waits for
// conditions and finds free ports. It reads and writes nothing that lasts, and guarantees that a
// wait ends.
package harness

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"time"
)

// WaitFor waits until a condition holds and is false where it does not in time.
func WaitFor(within time.Duration, holds func() bool) bool {
	const every = 20 * time.Millisecond
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			return false
		}
	}
	return true
}

// FreePorts finds a port of loopback that is free, and so is the next. They lie below those that
// the system gives to outgoing connections: a broker comes back to its port.
func FreePorts() (int, error) {
	const from, to = 20_000, 32_000
	free := func(port int) bool {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		return err == nil && l.Close() == nil
	}
	for range 100 {
		if port := from + rand.IntN(to-from); free(port) && free(port+1) {
			return port, nil
		}
	}
	return 0, errors.New("no two ports in a row are free")
}
