package score

import _ "embed"

//go:embed models/engagement.yaml
var engagementModel []byte

//go:embed queries/best_leads.sql
var bestLeads string

// Default returns the model that runs where a configuration names none: the engagement of contacts
// with the site.
func Default() *Model {
	m, err := ParseModel("models/engagement.yaml", engagementModel)
	if err != nil {
		panic("score: the shipped model is not valid: " + err.Error())
	}
	return m
}

// BestLeads returns a query over the views scores, score_explanations and contacts: the ten
// highest scores, each with its strongest reasons in words.
func BestLeads() string { return bestLeads }
