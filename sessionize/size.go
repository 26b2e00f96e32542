package sessionize

// About what one of each takes in memory, its share of maps and queues included.
const (
	openVisitBytes = 1200
	visitorBytes   = 300
)

// Size implements stage.Machine.
func (m *Machine) Size() int64 {
	return openVisitBytes*m.sessions.counts.Open + visitorBytes*int64(len(m.sessions.visitors))
}
