package handoff

import (
	"encoding/json"
	"fmt"
	"time"

	"crumbtrail/schemas"
)

// eventType is what the webhook is told of.
const eventType = "handoff.ready"

// message is the body of a request. For one hand-off and one webhook its bytes are always the same.
type message struct {
	Type string `json:"type"`
	// Timestamp is when it happened, RFC 3339.
	Timestamp string `json:"timestamp"`
	Data      data   `json:"data"`
}

type data struct {
	HandoffID     string            `json:"handoff_id"`
	Model         string            `json:"model"`
	Version       int64             `json:"version"`
	SubjectType   string            `json:"subject_type"`
	SubjectID     string            `json:"subject_id"`
	Contact       map[string]string `json:"contact,omitempty"`
	Score         json.Number       `json:"score"`
	Grade         string            `json:"grade,omitempty"`
	BecameReadyAt string            `json:"became_ready_at"`
	AsOf          string            `json:"as_of"`
	Reasons       []reason          `json:"reasons"`
}

type reason struct {
	Rule   string      `json:"rule"`
	Events int64       `json:"events"`
	Points json.Number `json:"points"`
}

// bodyOf writes what a webhook is told of a hand-off.
func bodyOf(h *schemas.Handoff, contact []string) []byte {
	ready := instant(h.AtUs)
	m := message{Type: eventType, Timestamp: ready, Data: data{
		HandoffID: h.HandoffId, Model: h.Model, Version: h.Version, SubjectType: h.SubjectType,
		SubjectID: h.SubjectId, Score: decimal(h.ScoreHundredths, 2), Grade: h.Grade,
		BecameReadyAt: ready, AsOf: instant(h.AsOfUs), Reasons: []reason{},
	}}
	for _, r := range h.Reasons {
		m.Data.Reasons = append(m.Data.Reasons, reason{r.Rule, r.Events, decimal(r.PointsMicros, 6)})
	}
	for _, attribute := range contact {
		if value := attributeOf(h.Contact, attribute); value != "" {
			if m.Data.Contact == nil {
				m.Data.Contact = map[string]string{}
			}
			m.Data.Contact[attribute] = value
		}
	}
	body, err := json.Marshal(m)
	if err != nil {
		panic("encode a hand-off: " + err.Error())
	}
	return body
}

func attributeOf(c *schemas.HandoffContact, name string) string {
	switch name {
	case "email":
		return c.GetEmail()
	case "first_name":
		return c.GetFirstName()
	case "last_name":
		return c.GetLastName()
	case "phone":
		return c.GetPhone()
	case "company":
		return c.GetCompany()
	}
	return ""
}

func instant(us int64) string { return time.UnixMicro(us).UTC().Format(time.RFC3339Nano) }

// decimal writes n of 10^-places as a number without loss.
func decimal(n int64, places int) json.Number {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	unit := int64(1)
	for range places {
		unit *= 10
	}
	return json.Number(fmt.Sprintf("%s%d.%0*d", sign, n/unit, places, n%unit))
}
