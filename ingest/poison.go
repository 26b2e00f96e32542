package ingest

import (
	"fmt"
	"runtime/debug"
)

// ReasonInternal is the reason of an input that this program fails on, by a mistake of its own.
const ReasonInternal = "internal_error"

// place is how far an intake had come before an input.
type place struct {
	msgs, rejected, index int
	tally                 tally
	clockUs               int64
}

func (in *intake) place() place {
	p := in.parcel
	return place{len(p.msgs), len(in.rejected), in.index, p.tally, p.clockUs}
}

// survive, deferred, keeps an input that makes the program panic from taking its whole request with
// it, which the client would send again and again. What had come of it is taken back; it is kept as
// it came, and can be driven again once the program is mended.
func (in *intake) survive(raw []byte, before place) {
	cause := recover()
	if cause == nil {
		return
	}
	p := in.parcel
	clear(p.msgs[before.msgs:])
	p.msgs, p.tally, p.clockUs = p.msgs[:before.msgs], before.tally, before.clockUs
	p.entry.Beacon = nil
	in.rejected, in.index, in.decoder = in.rejected[:before.rejected], before.index, newDecoder()
	in.c.log.Error("an input has met a mistake of this program: it is kept in bad-beacons; please "+
		"report what is below", "protocol", in.protocol, "panic", fmt.Sprint(cause),
		"stack", string(debug.Stack()))
	in.refuse(raw, "", &Rejection{ReasonInternal, "want a program without this mistake", ""})
}
