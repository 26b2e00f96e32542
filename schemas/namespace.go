package schemas

import (
	"crypto/sha1"
	"encoding/hex"

	"github.com/google/uuid"
)

// NewID returns a UUIDv7, for what no input names: it sorts by the time it was made.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// IsID says whether text is an id as this program writes it: a UUID in lower case.
func IsID(text string) bool {
	id, err := uuid.Parse(text)
	return err == nil && id.String() == text
}

// Names makes ids of one kind that follow from what they name (UUIDv5, RFC 9562): the same input
// gives the same id, wherever and whenever it is read. Not for concurrent use.
type Names struct {
	// hashed is the namespace and then, while an id is made, the name.
	hashed []byte
}

// NewNames returns the ids of a kind: event, visit, bad_beacon, ... Their namespace is the UUIDv5
// of urn:crumbtrail:KIND in the namespace of URLs, so that anyone can compute them again.
func NewNames(kind string) *Names {
	space := uuid.NewSHA1(uuid.NameSpaceURL, []byte("urn:crumbtrail:"+kind))
	return &Names{hashed: space[:]}
}

// ID returns the id of a name. A name of several parts has a zero byte between them.
func (n *Names) ID(name []byte) string { return string(n.AppendID(nil, name)) }

// AppendID appends the id of a name, 36 bytes of text.
func (n *Names) AppendID(to, name []byte) []byte {
	n.hashed = append(n.hashed[:len(uuid.UUID{})], name...)
	sum := sha1.Sum(n.hashed)
	sum[6] = sum[6]&0x0f | 5<<4 // version
	sum[8] = sum[8]&0x3f | 0x80 // variant
	to = append(hex.AppendEncode(to, sum[:4]), '-')
	to = append(hex.AppendEncode(to, sum[4:6]), '-')
	to = append(hex.AppendEncode(to, sum[6:8]), '-')
	to = append(hex.AppendEncode(to, sum[8:10]), '-')
	return hex.AppendEncode(to, sum[10:16])
}
