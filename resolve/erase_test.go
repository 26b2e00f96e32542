package resolve

import (
	"fmt"
	"strings"
	"testing"

	"crumbtrail/internal/stage"
	"crumbtrail/schemas"
)

// erase carries requests out and says what belongs to the person.
func (s *story) erase(t *testing.T, input string) string {
	var b strings.Builder
	for line := range strings.Lines(input) {
		words := strings.Fields(line)
		r := &schemas.ErasureRequest{By: "eve"}
		sub := &schemas.Submission{
			SubmissionId: words[0], Kind: schemas.SubmissionKind_SUBMISSION_KIND_ERASURE, Erasure: r,
		}
		for _, word := range words[1:] {
			switch key, value, _ := strings.Cut(word, "="); key {
			case "email":
				address, _ := s.cfg.Address(value)
				r.AddressKey = []byte("key of " + words[0])
				r.AddressMac = AddressMAC(r.AddressKey, address)
			case "contact":
				r.Contacts = append(r.Contacts, s.id(value))
			case "browser":
				r.Visitors = append(r.Visitors, &schemas.VisitorName{Site: "acme", VisitorId: value})
			case "at":
				sub.ReceivedAtUs = clock(t, value)
			default:
				t.Fatalf("%q: what is %q?", line, word)
			}
		}
		s.sent[sub.SubmissionId] = sub
		b.WriteString(s.applyErasure(t, sub))
	}
	return b.String()
}

func (s *story) applyErasure(t *testing.T, sub *schemas.Submission) string {
	var b strings.Builder
	var out stage.Output
	s.machine.Apply([]stage.Record{s.record(t, sub)}, &out)
	tombstones := map[string]int{}
	for _, m := range out.Messages() {
		switch {
		case m.Value == nil:
			tombstones[m.Topic]++
		case m.Topic == string(schemas.Erasures):
			e := decoded(t, m.Value, &schemas.Erasure{})
			for _, id := range e.Records {
				fmt.Fprintf(&b, "  record %s\n", s.alias(id))
			}
			for _, v := range e.Visitors {
				fmt.Fprintf(&b, "  %s %s from %s to %s\n", v.Site, v.VisitorId, hour(v.FromUs), hour(v.ToUs))
			}
			for _, one := range e.Found.Submissions {
				fmt.Fprintf(&b, "  submission %s of %s\n", one.SubmissionId, one.VisitorId)
			}
		case m.Topic == string(schemas.Decisions):
			d := decoded(t, m.Value, &schemas.Decision{})
			fmt.Fprintf(&b, "%s: %s: %s\n", d.SubmissionId, d.Outcome.Name(), d.Reason)
		default:
			fmt.Fprintf(&b, "  put on %s\n", m.Topic)
		}
	}
	if len(tombstones) > 0 {
		fmt.Fprintf(&b, "  tombstones %v\n", tombstones)
	}
	return b.String()
}
