package schemas

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// Site is the key of a site: the name that its tracking script carries.
type Site string

// VisitorID names a browser on a site. It is opaque and, from outside, only a claim.
type VisitorID string

// VisitorKey is the key of everything that belongs to one visitor on one site, on the topics
// beacons, visits, sessionize.changelog and identities: site, a zero byte, visitor. Neither part
// may hold a zero byte, which the edge sees to.
func VisitorKey(site Site, visitor VisitorID) []byte {
	key := make([]byte, 0, len(site)+1+len(visitor))
	key = append(key, site...)
	key = append(key, 0)
	return append(key, visitor...)
}

// SplitVisitorKey is the inverse of VisitorKey; ok is false where key has no zero byte.
func SplitVisitorKey(key []byte) (site Site, visitor VisitorID, ok bool) {
	before, after, ok := bytes.Cut(key, []byte{0})
	return Site(before), VisitorID(after), ok
}

// IdentityKey is the key of one edge from a visitor to a contact: the visitor's key, a zero byte,
// and when the edge begins, in microseconds, big-endian. Compaction thus keeps the edges of a
// browser that several people share.
func IdentityKey(site Site, visitor VisitorID, validFromUs int64) []byte {
	key := append(VisitorKey(site, visitor), 0)
	return binary.BigEndian.AppendUint64(key, uint64(validFromUs))
}

// EdgeKey is the key of what is known of two records: the one with the lesser number, a zero byte,
// the other.
func EdgeKey(left, right string) []byte {
	key := make([]byte, 0, len(left)+1+len(right))
	return append(append(append(key, left...), 0), right...)
}

// CountedKey is the key of a beacon without a visitor (consent none): it spreads them over the
// partitions, since no state belongs to them.
func CountedKey(site Site, eventID string) []byte {
	key := make([]byte, 0, len(site)+2+len(eventID))
	key = append(key, site...)
	key = append(key, 0, 0)
	return append(key, eventID...)
}

// DayVisitor begins the ids of visitors who are known on a site for a day, and by nobody after it.
// Only the edge gives them out.
const DayVisitor = "day."

// OfOneDay says whether an id is one of those: nothing may be linked to it.
func (v VisitorID) OfOneDay() bool { return strings.HasPrefix(string(v), DayVisitor) }
