package handoff

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// stopGrace is how long the request under way may take at a stop. A hand-off whose request takes
	// longer is sent again, by whoever works next.
	stopGrace = 3 * time.Second
	// maxAnswer bounds what is read of an answer, in bytes, so that its connection can be used again.
	maxAnswer = 64 << 10
	// maxRetryAfter is the longest pause that a webhook can ask for.
	maxRetryAfter = 24 * time.Hour
)

// verdict is what became of a request.
type verdict int

const (
	delivered verdict = iota
	// refused is an answer that says no to this hand-off: it is offered again, others first.
	refused
	// away is no answer, or one that says no to all of them for now.
	away
	// gone is an answer that says no for good.
	gone
)

// answer is what a request came to.
type answer struct {
	verdict verdict
	// status is 0 where there was no answer.
	status int32
	detail string
	// after is how long the webhook asked to be left alone.
	after time.Duration
}

// poster posts to a webhook.
type poster struct {
	Webhook
	client *http.Client
}

func newPoster(w Webhook) *poster {
	dialer := &net.Dialer{Timeout: w.Timeout}
	if !w.Private {
		dialer.Control = refusePrivate
	}
	return &poster{w, &http.Client{
		Transport: &http.Transport{ // no proxy: the address that is looked at must be the webhook's
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, MaxIdleConns: 1,
			IdleConnTimeout: time.Minute, TLSHandshakeTimeout: w.Timeout,
			MaxResponseHeaderBytes: maxAnswer,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// post sends a body once. A stop gives it a little time.
func (p *poster) post(ctx context.Context, id string, body []byte) answer {
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.Timeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(stopGrace, cancel) })()
	request, err := http.NewRequestWithContext(own, http.MethodPost, p.URL, bytes.NewReader(body))
	if err != nil {
		return answer{verdict: away, detail: err.Error()}
	}
	now := time.Now()
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "crumbtrail")
	request.Header.Set("webhook-id", id)
	request.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	request.Header.Set("webhook-signature", sign(p.Secret, id, now.Unix(), body))
	response, err := p.client.Do(request)
	if err != nil {
		return answer{verdict: away, detail: withoutURL(err)}
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, maxAnswer) // its status has been read
	return judge(response, now)
}

// withoutURL says what went wrong, but for the address, which may hold a secret.
func withoutURL(err error) string {
	var of *url.Error
	if errors.As(err, &of) {
		if of.Timeout() {
			return "no answer in time"
		}
		err = of.Err
	}
	return err.Error()
}

// judge reads an answer that came after a time.
func judge(r *http.Response, now time.Time) answer {
	a := answer{status: int32(r.StatusCode), detail: fmt.Sprintf("answered %d", r.StatusCode)}
	switch {
	case r.StatusCode >= 200 && r.StatusCode <= 299:
		return answer{verdict: delivered, status: a.status}
	case r.StatusCode == http.StatusGone:
		a.verdict = gone
	case r.StatusCode == http.StatusTooManyRequests || r.StatusCode >= 500:
		a.verdict, a.after = away, retryAfter(r.Header.Get("Retry-After"), now)
	default:
		a.verdict = refused
	}
	return a
}

// retryAfter reads seconds, or a date; 0 is nothing that it understands.
func retryAfter(text string, now time.Time) time.Duration {
	var pause time.Duration
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		pause = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		pause = at.Sub(now)
	}
	return max(0, min(pause, maxRetryAfter))
}
