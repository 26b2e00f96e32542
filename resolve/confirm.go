package resolve

import (
	"fmt"
	"time"

	"crumbtrail/internal/stage"
	"crumbtrail/schemas"
)

// Double opt-in: the submission of a form that asks for it has no effect until its confirmation,
// which is a record of its own on the same topic. Time is what the records say: nothing expires
// while nothing comes in.

// wait holds a submission until its confirmation, if there is an address to ask at.
func (m *Machine) wait(s *schemas.Submission, offset int64, out *stage.Output) {
	address := m.reader.read(s).email
	if address.Fault != "" {
		m.counts.Unresolved++
		d := decisionOn(s, schemas.Outcome_OUTCOME_UNRESOLVED)
		d.Reason = "nobody can be asked to confirm it: " + address.Fault.Words("e-mail address")
		m.tell(d, out)
		return
	}
	id := schemas.ConfirmationID(s)
	if m.pending.byID[id] != nil { // older than what recent remembers
		m.counts.Duplicates++
		return
	}
	m.counts.Pending++
	d := decisionOn(s, schemas.Outcome_OUTCOME_PENDING)
	d.SubmissionOffset = offset
	d.Mail = m.pending.addresses[address.Address] < maxMails
	if d.Mail {
		d.Reason = "it counts once it is confirmed by mail"
	} else {
		d.Reason = fmt.Sprintf("%d earlier ones of the same e-mail address wait for their "+
			"confirmation: no mail is sent for this one", m.pending.addresses[address.Address])
	}
	m.tell(d, out)
	m.pending.add(id, s, address.Address)
}

// confirm lets a pending submission count, as if it had been sent now by who sent it then.
func (m *Machine) confirm(c *schemas.Submission, out *stage.Output) {
	s := m.pending.take(c.SubmissionId)
	if s == nil || s.ConfirmUntilUs < c.ReceivedAtUs {
		m.counts.Unresolved++
		d := decisionOn(c, schemas.Outcome_OUTCOME_UNRESOLVED)
		d.Reason = "what it confirms is not pending"
		if s != nil {
			m.giveUp(s, c.ReceivedAtUs, out)
			d.Reason = "it came too late for what it confirms"
		}
		m.tell(d, out)
		return
	}
	sentUs := s.ReceivedAtUs
	if s.OccurredAtUs == 0 {
		s.OccurredAtUs = sentUs
	}
	s.ReceivedAtUs = c.ReceivedAtUs
	m.counts.Confirmed++
	d := m.decide(s, sentUs, out)
	d.Outcome, d.Resolution = schemas.Outcome_OUTCOME_CONFIRMED, d.Outcome
	d.Reason = "confirmed by mail; " + d.Reason
	m.tell(d, out)
}

// expire gives up the pending submissions whose time was up before a moment.
func (m *Machine) expire(us int64, out *stage.Output) {
	for s := m.pending.due(us); s != nil; s = m.pending.due(us) {
		m.giveUp(s, us, out)
	}
}

func (m *Machine) giveUp(s *schemas.Submission, us int64, out *stage.Output) {
	m.counts.Expired++
	d := decisionOn(s, schemas.Outcome_OUTCOME_EXPIRED)
	d.DecidedAtUs = us
	d.Reason = "it was not confirmed by " +
		time.UnixMicro(s.ConfirmUntilUs).UTC().Format(time.RFC3339)
	if s.ConfirmUntilUs >= us {
		d.Reason = "it was given up unconfirmed, as too many wait for their confirmation"
	}
	m.tell(d, out)
}
