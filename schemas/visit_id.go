package schemas

import (
	"strconv"

	"github.com/google/uuid"
)

// VisitID names a visit by what began it, so that the same input gives the same id. It is the
// UUIDv5, in the namespace 6f0e7ab5-6a0f-5f0c-9a7c-0d6c3c1f2b4e, of site, visitor, occurred_at of
// the first beacon in decimal microseconds since the epoch, and that beacon's event id, joined by
// zero bytes. Only the event id, which comes last, may hold a zero byte itself.
func VisitID(site Site, visitor VisitorID, occurredUS int64, eventID string) string {
	name := make([]byte, 0, len(site)+len(visitor)+len(eventID)+24)
	name = append(name, site...)
	name = append(name, 0)
	name = append(name, visitor...)
	name = append(name, 0)
	name = strconv.AppendInt(name, occurredUS, 10)
	name = append(name, 0)
	name = append(name, eventID...)
	return uuid.NewSHA1(visitNamespace(), name).String()
}

// visitNamespace was drawn once and never changes: every visit's id follows from it.
func visitNamespace() uuid.UUID {
	return uuid.UUID{
		0x6f, 0x0e, 0x7a, 0xb5, 0x6a, 0x0f, 0x5f, 0x0c,
		0x9a, 0x7c, 0x0d, 0x6c, 0x3c, 0x1f, 0x2b, 0x4e,
	}
}
