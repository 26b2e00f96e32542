package kafka

// Record is one record of a partition, as it lies in the log.
type Record struct {
	Offset int64
	// Timestamp is the broker's append time or the producer's time, as the topic is configured, in
	// milliseconds since the epoch.
	Timestamp int64
	// Key and Value alias the buffer of the fetched batch, which is never written again.
	Key, Value []byte
}

// AnyPartition as a Message's partition leaves the choice to the key.
const AnyPartition int32 = -1

// Message is a record on its way to a topic.
type Message struct {
	Topic     string
	Partition int32
	// Timestamp in milliseconds since the epoch; a topic of append time overrides it.
	Timestamp int64
	// Key decides the partition where Partition is AnyPartition. A nil Value is a tombstone.
	Key, Value []byte
}

// Fetched is what one fetch brought of one partition.
type Fetched struct {
	Records []Record
	// Next is the offset to go on from. It passes control records and aborted ones too.
	Next int64
	// Missing is how many offsets before Next are not in the log: compaction takes some away, and
	// on a topic that is not compacted they are lost.
	Missing int64
	// Stable is the last stable offset: where a read_committed reader ends for now.
	Stable int64
}
