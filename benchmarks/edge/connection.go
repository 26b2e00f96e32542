package edge

import (
	"context"
	"errors"
	"net"
	"time"
)

// connection is one that is kept open, with the visitor who uses it.
type connection struct {
	load    *load
	number  uint64
	conn    net.Conn
	answers answers
	visitor *visitor
	// visitors counts those who have used it.
	visitors uint64
	body     []byte
	out      []byte
	samples  []sample
	problem  error
}

// sample is an attempt to have a request taken.
type sample struct {
	request uint64
	state   State
	// at is when its answer was there, from the beginning on; late how long after it was due it was
	// sent; took how long the answer took.
	at, late, took time.Duration
	// hurried is a refusal that did not say when to come again.
	hurried bool
}

// latency is from when it was due.
func (s *sample) latency() time.Duration { return s.late + s.took }

func (c *connection) dial(ctx context.Context) error {
	conn, err := (&net.Dialer{Timeout: answerTimeout}).DialContext(ctx, "tcp", c.load.plan.Address)
	if err != nil {
		return err
	}
	c.conn, c.answers.from = conn, conn
	return nil
}

func (c *connection) close() {
	if c.conn != nil {
		_ = c.conn.Close() // nothing is lost with it
		c.conn = nil
	}
}

// run sends requests until the plan or ctx ends.
func (c *connection) run(ctx context.Context) {
	for ctx.Err() == nil {
		r, ok := c.load.next()
		if !ok {
			return
		}
		if wait := r.due - time.Since(c.load.began); wait > 0 {
			time.Sleep(wait)
		}
		c.send(ctx, r)
	}
}

// send makes one attempt and notes what came of it.
func (c *connection) send(ctx context.Context, r request) {
	began := time.Now()
	s := sample{request: r.number, state: Broken, late: began.Sub(c.load.began) - r.due}
	a, err := c.exchange(ctx, r, began)
	s.took = time.Since(began)
	s.at = r.due + s.latency()
	switch {
	case err != nil:
		c.fail(err)
		c.close()
	case a.status == 200 || a.status == 204:
		s.state = Acknowledged
		c.visitor.keep(a.header)
	case a.status == 429 || a.status == 503:
		s.state, s.hurried = Refused, a.retryAfter == 0
		if c.load.plan.Retry {
			c.load.again(r, time.Duration(a.retryAfter)*time.Second)
		}
	default:
		c.fail(errors.New(string(a.header)))
	}
	c.samples = append(c.samples, s)
}

func (c *connection) fail(err error) {
	if c.problem == nil {
		c.problem = err
	}
}

func (c *connection) exchange(ctx context.Context, r request, now time.Time) (answer, error) {
	if c.conn == nil {
		if err := c.dial(ctx); err != nil {
			return answer{}, err
		}
	}
	plan := &c.load.plan
	if c.visitor == nil || c.visitor.left == 0 {
		number := c.number<<32 | c.visitors ^ plan.First<<16
		c.visitor = newVisitor(number, plan.Address, c.load.agents)
		c.visitors++
	}
	c.visitor.left--
	c.body = c.load.bodies.append(c.body[:0], plan.First+r.number*uint64(plan.Batch), plan.Batch,
		now.UTC())
	c.out = append(c.visitor.append(c.out[:0], len(c.body)), c.body...)
	if err := c.conn.SetDeadline(now.Add(answerTimeout)); err != nil {
		return answer{}, err
	}
	if _, err := c.conn.Write(c.out); err != nil {
		return answer{}, err
	}
	return c.answers.next()
}
