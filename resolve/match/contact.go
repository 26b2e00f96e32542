package match

import _ "embed"

//go:embed contact.yaml
var contactModel []byte

// ContactModelName is what the shipped model of contacts is called.
const ContactModelName = "contact"

// ContactModel is a fixed model of contacts that come in one by one: names, e-mail addresses, phone
// numbers and companies. It is the mean of what made-up contacts of several kinds taught, and knows
// no value's frequency.
func ContactModel() Model {
	m, err := ReadModel("contact.yaml", contactModel)
	if err != nil {
		panic("match: the shipped " + err.Error())
	}
	return m
}
