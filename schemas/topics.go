package schemas

// Topic is the name of a topic, without the configured prefix.
type Topic string

// The topics, in the order of the data. See ARCHITECTURE.md for who writes and who reads them.
const (
	Beacons             Topic = "beacons"
	Submissions         Topic = "submissions"
	BadBeacons          Topic = "bad-beacons"
	Visits              Topic = "visits"
	SessionizeChangelog Topic = "sessionize.changelog"
	ResolveChangelog    Topic = "resolve.changelog"
	Records             Topic = "records"
	Edges               Topic = "edges"
	Aliases             Topic = "aliases"
	Contacts            Topic = "contacts"
	Identities          Topic = "identities"
	Decisions           Topic = "decisions"
	Scores              Topic = "scores"
	Handoffs            Topic = "handoffs"
	Erasures            Topic = "erasures"
)

// TopicSpec says how a topic is laid out.
type TopicSpec struct {
	Topic Topic
	// Single is true where one partition gives its records one order.
	Single bool
	// Compacted is true where only the last value of a key is kept; else records go by time.
	Compacted bool
	// Clocked is true where the broker's append time is part of the meaning (LogAppendTime).
	Clocked bool
}

// Topics lists every topic of the pipeline.
func Topics() []TopicSpec {
	return []TopicSpec{
		{Topic: Beacons, Clocked: true},
		{Topic: Submissions, Single: true},
		{Topic: BadBeacons},
		{Topic: Visits},
		{Topic: SessionizeChangelog, Compacted: true},
		{Topic: ResolveChangelog, Single: true, Compacted: true},
		{Topic: Records, Single: true, Compacted: true},
		{Topic: Edges, Single: true, Compacted: true},
		{Topic: Aliases, Single: true, Compacted: true},
		{Topic: Contacts, Single: true, Compacted: true},
		{Topic: Identities, Single: true, Compacted: true},
		{Topic: Decisions, Single: true},
		{Topic: Scores, Compacted: true},
		{Topic: Handoffs, Single: true},
		{Topic: Erasures, Single: true, Compacted: true},
	}
}
