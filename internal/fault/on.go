//go:build fault

package fault

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// planned is the fault of this process, read when the first point is reached.
var planned = sync.OnceValue(func() *plan {
	p, err := parse(os.Getenv("CRUMBTRAIL_FAULT"))
	if err != nil {
		panic("CRUMBTRAIL_FAULT: " + err.Error()) // a test that injects nothing must not pass
	}
	p.log = os.Getenv("CRUMBTRAIL_FAULT_LOG")
	return p
})

// Point acts if the fault of this process is due here.
func Point(name Name) {
	p := planned()
	if name != p.name || p.reached.Add(1) != p.hit {
		return
	}
	if err := p.note(); err != nil {
		panic("CRUMBTRAIL_FAULT_LOG: " + err.Error())
	}
	switch p.action {
	case "kill":
		if p.after > 0 {
			time.AfterFunc(p.after, kill)
			return
		}
		kill()
	case "stop":
		signal(syscall.SIGSTOP)
	case "sleep":
		time.Sleep(p.after)
	}
}

func kill() {
	signal(syscall.SIGKILL)
	select {} // the signal may take a moment to reach this thread
}

func signal(s syscall.Signal) {
	if err := syscall.Kill(os.Getpid(), s); err != nil {
		panic("fault: " + err.Error())
	}
}

// plan is one fault.
type plan struct {
	name    Name
	hit     int64
	action  string
	after   time.Duration
	log     string
	reached atomic.Int64
}

// parse reads name:hit:action; nothing is no fault.
func parse(text string) (*plan, error) {
	if text == "" {
		return &plan{}, nil
	}
	fields := strings.Split(text, ":")
	if len(fields) != 3 {
		return nil, fmt.Errorf("%q: want name:hit:action", text)
	}
	p := &plan{name: Name(fields[0])}
	if !slices.Contains(Names(), p.name) {
		return nil, fmt.Errorf("%q: no such point, there are %v", text, Names())
	}
	var err error
	if p.hit, err = strconv.ParseInt(fields[1], 10, 64); err != nil || p.hit < 1 {
		return nil, fmt.Errorf("%q: hits are counted from 1", text)
	}
	action, after, timed := strings.Cut(fields[2], "=")
	p.action = action
	if timed {
		if p.after, err = time.ParseDuration(after); err != nil || p.after <= 0 {
			return nil, fmt.Errorf("%q: want a duration after =", text)
		}
	}
	switch {
	case action == "kill", action == "stop" && !timed, action == "sleep" && timed:
		return p, nil
	}
	return nil, fmt.Errorf("%q: want kill, kill=DURATION, stop or sleep=DURATION", text)
}

// note writes down that the fault happens and waits until it is on the disk.
func (p *plan) note() error {
	if p.log == "" {
		return nil
	}
	file, err := os.OpenFile(p.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, "%s %d %s pid %d\n", p.name, p.hit, p.action, os.Getpid())
	return errors.Join(err, file.Sync(), file.Close())
}
