package main

import (
	"context"
	"errors"
	"fmt"
)

// part is one piece of the process that runs until its context ends.
type part struct {
	name string
	run  func(context.Context) error
}

// running is a set of parts that run beside each other.
type running struct {
	// ctx ends with the context that start was given, or as soon as a part has failed.
	ctx   context.Context
	end   context.CancelCauseFunc
	parts []runningPart
}

type runningPart struct {
	part
	cancel context.CancelFunc
	done   chan error
}

// start sets the parts going, which are given in the order of the data.
func start(ctx context.Context, parts ...part) *running {
	ctx, fail := context.WithCancelCause(ctx)
	r := &running{ctx: ctx, end: fail}
	for _, p := range parts {
		// Not ended with ctx: stop ends the parts one after the other.
		partCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		rp := runningPart{part: p, cancel: cancel, done: make(chan error, 1)}
		r.parts = append(r.parts, rp)
		go func() {
			err := rp.run(partCtx)
			if err != nil {
				err = fmt.Errorf("%s: %w", rp.name, err)
				fail(err)
			}
			rp.done <- err
		}()
	}
	return r
}

// stop ends the parts in the order of the data, each once the one before it has ended, so that
// what an earlier one wrote last is still seen by the later ones. It returns what failed.
func (r *running) stop() error {
	var errs []error
	for _, p := range r.parts {
		p.cancel()
		errs = append(errs, <-p.done)
	}
	r.end(nil)
	return errors.Join(errs...)
}

// until runs the parts until ctx ends or one of them fails.
func until(ctx context.Context, parts ...part) error {
	r := start(ctx, parts...)
	<-r.ctx.Done()
	return r.stop()
}
