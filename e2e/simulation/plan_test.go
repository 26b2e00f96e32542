package simulation

import (
	"strings"
	"time"

	"crumbtrail/internal/kafka/simnet"
)

// aim is how a request may be hit: one in how many, and with what. A kind that is there twice is
// twice as likely.
type aim struct {
	oneIn uint64
	kinds []simnet.Kind
}

// aims are most often at the requests of a commit and of a take-over.
func aims() map[int16]aim {
	const (
		dropRequest   = simnet.DropRequest
		dropAnswer    = simnet.DropAnswer
		holdRequest   = simnet.HoldRequest
		holdAnswer    = simnet.HoldAnswer
		repeat        = simnet.Repeat
		resend        = simnet.Resend
		refuse        = simnet.Refuse
		settle        = simnet.Settle
		settleUnheard = simnet.SettleUnheard
		stall         = simnet.Stall
		killBefore    = simnet.KillBefore
		killAfter     = simnet.KillAfter
	)
	step := []simnet.Kind{
		dropRequest, dropAnswer, holdRequest, holdAnswer, repeat, refuse, stall, killBefore, killAfter,
	}
	member := []simnet.Kind{dropRequest, dropAnswer, refuse, stall, killBefore, killAfter}
	return map[int16]aim{
		simnet.EndTxn: {18, []simnet.Kind{
			dropRequest, dropAnswer, dropAnswer, holdRequest, holdRequest, holdAnswer, repeat, refuse,
			settle, settleUnheard, settleUnheard, stall, killBefore, killAfter, killAfter,
		}},
		simnet.TxnOffsetCommit:    {70, step},
		simnet.AddOffsetsToTxn:    {70, step},
		simnet.AddPartitionsToTxn: {70, step},
		simnet.Produce:            {60, append(step, resend, dropAnswer)},
		simnet.InitProducerID:     {10, append(step, resend, resend)},
		simnet.OffsetFetch:        {15, append(step, resend)},
		simnet.JoinGroup: {12, []simnet.Kind{
			dropRequest, holdRequest, refuse, stall, killBefore,
		}},
		simnet.Heartbeat:       {100, member},
		simnet.LeaveGroup:      {10, member},
		simnet.FindCoordinator: {400, []simnet.Kind{dropRequest, dropAnswer, holdAnswer}},
		simnet.ListOffsets:     {60, []simnet.Kind{dropRequest, dropAnswer, holdAnswer, refuse}},
		simnet.Fetch:           {400, []simnet.Kind{dropRequest, dropAnswer, holdAnswer, refuse}},
		simnet.Metadata:        {60, []simnet.Kind{dropRequest, dropAnswer, holdAnswer}},
	}
}

// plan chooses faults for all clients but those that watch.
func plan(seed uint64) func(simnet.Request) simnet.Fault {
	aims := aims()
	return func(r simnet.Request) simnet.Fault {
		at, ok := aims[r.Key]
		if !ok || strings.HasPrefix(r.Client, watchers) ||
			simnet.Draw(seed, r, 'f')%at.oneIn != 0 {
			return simnet.Fault{}
		}
		f := simnet.Fault{Kind: at.kinds[simnet.Draw(seed, r, 'k')%uint64(len(at.kinds))]}
		if f.Kind == simnet.Stall && strings.HasPrefix(r.Client, "collector") {
			f.Kind = simnet.HoldAnswer
		}
		if codes := simnet.Codes(r.Key); f.Kind == simnet.Refuse {
			if len(codes) == 0 {
				return simnet.Fault{}
			}
			f.Code = codes[simnet.Draw(seed, r, 'c')%uint64(len(codes))]
		}
		f.For = lasting(f.Kind, simnet.Draw(seed, r, 'd'))
		return f
	}
}

// lasting is for how long a fault lasts: some are over in no time, some last longer than sessions
// (6 s), transactions (10 s) and requests (15 s) may.
func lasting(kind simnet.Kind, draw uint64) time.Duration {
	between := func(least, most time.Duration) time.Duration {
		return least + time.Duration(draw>>8)%(most-least)
	}
	switch {
	case kind == simnet.Settle, kind == simnet.SettleUnheard:
		return between(20*time.Millisecond, 1500*time.Millisecond)
	case kind == simnet.Stall:
		return between(2*time.Second, 14*time.Second)
	case draw%8 < 4:
		return between(30*time.Millisecond, 600*time.Millisecond)
	case draw%8 < 6:
		return between(time.Second, 5*time.Second)
	default:
		return between(5*time.Second, 18*time.Second)
	}
}
