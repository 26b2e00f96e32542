package schemas

import (
	"crypto/sha1"
	"hash"

	"github.com/google/uuid"
)

// NewID returns a UUIDv7, for what no input names: it sorts by the time it was made.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// Names makes ids of one kind that follow from what they name (UUIDv5, RFC 9562): the same input
// gives the same id, wherever and whenever it is read. Not for concurrent use.
type Names struct {
	space uuid.UUID
	hash  hash.Hash
}

// NewNames returns the ids of a kind: event, visit, bad_beacon, ... Their namespace is the UUIDv5
// of urn:crumbtrail:KIND in the namespace of URLs, so that anyone can compute them again.
func NewNames(kind string) *Names {
	space := uuid.NewSHA1(uuid.NameSpaceURL, []byte("urn:crumbtrail:"+kind))
	return &Names{space: space, hash: sha1.New()}
}

// ID returns the id of a name. A name of several parts has a zero byte between them.
func (n *Names) ID(name []byte) string {
	return uuid.NewHash(n.hash, n.space, name, 5).String()
}
