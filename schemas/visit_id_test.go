package schemas

import "testing"

// TestVisitID holds the ids of visits that are in the lake already: computed by another
// implementation of UUIDv5 over the name that VisitID describes.
func TestVisitID(t *testing.T) {
	const want = "eba9c8df-b474-5d44-bde9-290f47f3a3e2"
	if got := VisitID("acme", "v1", 1767225600000000, "e1"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
