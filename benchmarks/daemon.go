package benchmarks

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"crumbtrail/internal/kafka"
)

// daemon is a run of a stage of the program, with its private listener.
type daemon struct {
	*process
	url string // of that listener
}

// daemon starts a stage on the brokers of the bed.
func (b *bed) daemon(ctx context.Context, name string, args ...string) (*daemon, error) {
	p, err := b.launch(ctx, name, append(args, "--brokers", b.brokers,
		"--admin-listen", "127.0.0.1:0")...)
	if err != nil {
		return nil, err
	}
	url, err := p.address(ctx, p.admin)
	return &daemon{process: p, url: url}, err
}

// ready waits until the process says that it is: a sessionizer has the state of all its partitions.
func (d *daemon) ready(ctx context.Context) error {
	for {
		_, status, err := d.get(ctx, "/readyz")
		if err != nil || status == http.StatusOK {
			return err
		}
		if !kafka.Pause(ctx, poll) {
			return ctx.Err()
		}
	}
}

// get asks the admin listener.
func (d *daemon) get(ctx context.Context, path string) (text []byte, status int, err error) {
	if err := d.alive(); err != nil {
		return nil, 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+path, nil)
	if err != nil {
		return nil, 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, 0, d.failed(err)
	}
	defer res.Body.Close()
	text, err = io.ReadAll(res.Body)
	return text, res.StatusCode, err
}

// profile writes a CPU profile of so many seconds to a file.
func (d *daemon) profile(ctx context.Context, path string, seconds int) error {
	profile, status, err := d.get(ctx, "/debug/pprof/profile?seconds="+strconv.Itoa(seconds))
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("profile: status %d: %s", status, profile)
	}
	return os.WriteFile(path, profile, 0o644)
}

// metric reads one of the process's metrics.
func (d *daemon) metric(ctx context.Context, name string) (float64, error) {
	text, _, err := d.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("%s: no metric %s", d.name, name)
}
