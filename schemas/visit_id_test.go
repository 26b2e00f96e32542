package schemas

import "testing"

// TestVisitIDs holds the ids of visits that are in the lake already: computed by another
// implementation of UUIDv5 over the name that VisitIDs describes.
func TestVisitIDs(t *testing.T) {
	const want = "5263c06b-43cd-5d8e-a3f0-f22871cbe42c"
	got := string(NewVisitIDs().AppendID(nil, "acme\x00v1", 1767225600000000, []byte("e1")))
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
