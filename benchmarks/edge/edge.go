// Package edge puts load on the public listener of a collector: it reads a plan and the answers
// that it gets, writes requests as browsers send them and a file that says what became of each, and
// guarantees that a latency counts from the moment at which a request was due, however late it
// could be sent.
package edge

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// Plan says what load is put on which listener.
type Plan struct {
	// Address is the listener's host:port.
	Address     string `json:"address"`
	Connections int    `json:"connections"`
	// Batch is how many beacons are in a request. The beacons are numbered from First on.
	Batch int    `json:"batch"`
	First uint64 `json:"first"`
	Steps []Step `json:"steps"`
	// Retry sends again what was refused, as late as the tracker does.
	Retry bool `json:"retry,omitempty"`
	// States is the file that gets one State for each request, in order of their numbers.
	States string `json:"states"`
}

// Step is a part of a plan.
type Step struct {
	// Rate is how many requests a second are due, however long the answers take (open loop); 0 sends
	// the next request of a connection with the answer to the last (closed loop).
	Rate    float64 `json:"rate"`
	Seconds float64 `json:"seconds"`
}

// State is what became of a request, at the last attempt.
type State byte

// The states.
const (
	// Unsent is a request that was never sent.
	Unsent State = '-'
	// Acknowledged was answered 200 or 204.
	Acknowledged State = 'a'
	// Refused was answered 429 or 503.
	Refused State = 'r'
	// Broken was answered otherwise, or not at all.
	Broken State = 'b'
)

// Report is what came of a plan.
type Report struct {
	// Requests is how many were sent, attempts after a refusal left out.
	Requests uint64       `json:"requests"`
	Steps    []StepReport `json:"steps"`
	// After are the answers that came after the end.
	After Totals `json:"after"`
	// CoreSeconds is what the load itself took.
	CoreSeconds float64 `json:"core_seconds"`
	// Problem is the first thing that went wrong with a connection or an answer.
	Problem string `json:"problem,omitempty"`
}

// Main runs the plan that is its only argument, JSON, and prints its report.
func Main(ctx context.Context, args []string, stdout io.Writer) error {
	var plan Plan
	if len(args) != 1 {
		return fmt.Errorf("want a plan, got %d arguments", len(args))
	}
	if err := json.Unmarshal([]byte(args[0]), &plan); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	report, err := Run(ctx, plan)
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(report)
}

// Run carries a plan out.
func Run(ctx context.Context, plan Plan) (*Report, error) {
	l := &load{plan: plan, bodies: newBodies(), agents: userAgents()}
	for n := range plan.Connections {
		c := &connection{load: l, number: uint64(n)}
		if err := c.dial(ctx); err != nil {
			return nil, fmt.Errorf("connect to %s: %w", plan.Address, err)
		}
		defer c.close()
		l.connections = append(l.connections, c)
	}
	l.began = time.Now()
	ctx, cancel := context.WithDeadline(ctx, l.began.Add(l.length()+answerTimeout))
	defer cancel()
	var running sync.WaitGroup
	for _, c := range l.connections {
		running.Go(func() { c.run(ctx) })
	}
	running.Wait()
	report := l.report()
	var took syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &took) == nil {
		report.CoreSeconds = time.Duration(took.Utime.Nano() + took.Stime.Nano()).Seconds()
	}
	return report, l.writeStates(report.Requests)
}

// answerTimeout is how long an answer may take.
const answerTimeout = 30 * time.Second

// length is how long the plan takes.
func (l *load) length() (all time.Duration) {
	for _, s := range l.plan.Steps {
		all += seconds(s.Seconds)
	}
	return all
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// writeStates returns once the file is on the disk.
func (l *load) writeStates(requests uint64) (err error) {
	states := make([]byte, requests)
	for i := range states {
		states[i] = byte(Unsent)
	}
	for _, c := range l.connections {
		for _, s := range c.samples {
			// A retry may have been acknowledged by another connection before or after.
			if at := &states[s.request]; *at != byte(Acknowledged) {
				*at = byte(s.state)
			}
		}
	}
	f, err := os.Create(l.plan.States)
	if err != nil {
		return fmt.Errorf("what became of the requests: %w", err)
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	if _, err := f.Write(states); err != nil {
		return fmt.Errorf("what became of the requests: %w", err)
	}
	return f.Sync()
}
