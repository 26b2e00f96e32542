package lake

import (
	"encoding/json"

	"crumbtrail/schemas"
)

// What a message holds several of is JSON in its row; nil where it holds none.

// consentsJSON writes what a submission says of consent.
func consentsJSON(list []*schemas.PurposeConsent) []byte {
	type consent struct {
		Purpose string `json:"purpose"`
		State   string `json:"state"`
		Field   string `json:"field"`
	}
	var out []consent
	for _, c := range list {
		state := "refused"
		if c.Granted {
			state = "granted"
		}
		out = append(out, consent{c.Purpose, state, c.Field})
	}
	return listJSON(out)
}

// reviewJSON writes what a person decided.
func reviewJSON(r *schemas.Review) []byte {
	if r == nil {
		return nil
	}
	return encodeJSON(struct {
		Verdict   string   `json:"verdict"`
		Left      string   `json:"left,omitempty"`
		Right     string   `json:"right,omitempty"`
		Records   []string `json:"records,omitempty"`
		Withdraws string   `json:"withdraws,omitempty"`
		By        string   `json:"by,omitempty"`
		Note      string   `json:"note,omitempty"`
	}{r.Verdict.Name(), r.Left, r.Right, r.Records, r.Withdraws, r.By, r.Note})
}

// reasonsJSON writes what a score was made of when it was handed off.
func reasonsJSON(list []*schemas.HandoffReason) []byte {
	type reason struct {
		Rule   string  `json:"rule"`
		Events int64   `json:"events"`
		Points float64 `json:"points"`
	}
	var out []reason
	for _, r := range list {
		out = append(out, reason{r.Rule, r.Events, float64(r.PointsMicros) / 1e6})
	}
	return listJSON(out)
}

// candidatesJSON writes the contacts that were not taken.
func candidatesJSON(list []*schemas.Candidate) []byte {
	type candidate struct {
		ContactID   string  `json:"contact_id"`
		RecordID    string  `json:"record_id"`
		Weight      float64 `json:"weight"`
		Probability float64 `json:"probability"`
		Reason      string  `json:"reason"`
	}
	var out []candidate
	for _, c := range list {
		out = append(out, candidate{c.ContactId, c.RecordId, c.Weight, c.Probability, c.Reason})
	}
	return listJSON(out)
}

// evidenceJSON writes what each attribute says of a pair.
func evidenceJSON(list []*schemas.Evidence) []byte {
	type evidence struct {
		Attribute string  `json:"attribute"`
		Level     string  `json:"level"`
		Weight    float64 `json:"weight"`
		Rarity    float64 `json:"rarity"`
		Note      string  `json:"note"`
	}
	var out []evidence
	for _, e := range list {
		out = append(out, evidence{e.Attribute, e.Level, e.Weight, e.Rarity, e.Note})
	}
	return listJSON(out)
}

func listJSON[T any](list []T) []byte {
	if len(list) == 0 {
		return nil
	}
	return encodeJSON(list)
}

func encodeJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil { // a number that is none, of a message that some other program wrote
		return nil
	}
	return text
}
