// Package progress shows how far long work has got: a bar on a terminal, a plain line now and
// then elsewhere. It writes to one writer, reads nothing, and guarantees that a log file gets a
// bounded number of lines.
package progress

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Bar is one piece of long work. It is not for concurrent use.
type Bar struct {
	w     io.Writer
	what  string
	total int64
	bar   *progressbar.ProgressBar // nil where w is no terminal
	next  int64                    // of the plain lines: when to write the next
	began time.Time
}

// plainLines is how many lines a whole run of plain output has.
const plainLines = 10

// Options say how the figures are shown.
type Options struct {
	// What is being done, two or three words.
	What string
	// Total is what Set counts up to; 0 where that is not known.
	Total int64
	// Bytes shows the figures as sizes.
	Bytes bool
}

// New starts showing.
func New(w io.Writer, o Options) *Bar {
	b := &Bar{w: w, what: o.What, total: o.Total, began: time.Now()}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		b.next = max(1, o.Total/plainLines)
		return b
	}
	total := o.Total
	if total == 0 {
		total = -1
	}
	opts := []progressbar.Option{
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(o.What),
		progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(100 * time.Millisecond),
		progressbar.OptionShowCount(),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionFullWidth(),
	}
	if o.Bytes {
		opts = append(opts, progressbar.OptionShowBytes(true))
	}
	b.bar = progressbar.NewOptions64(total, opts...)
	return b
}

// Set says how much has been done in all.
func (b *Bar) Set(n int64) {
	if b.bar != nil {
		_ = b.bar.Set64(min(n, max(b.total, 0))) // a bar that cannot draw is no reason to stop
		return
	}
	if b.total > 0 && n >= b.next {
		fmt.Fprintf(b.w, "%s: %d %%\n", b.what, 100*n/b.total)
		b.next += b.total / plainLines
		b.next = max(b.next, n+1)
	}
}

// Done ends the bar and says in one line what came of it.
func (b *Bar) Done(format string, args ...any) {
	if b.bar != nil {
		_ = b.bar.Finish()
	}
	fmt.Fprintf(b.w, "%s: %s (%.1f s)\n", b.what, fmt.Sprintf(format, args...),
		time.Since(b.began).Seconds())
}
