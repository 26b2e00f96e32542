// Package stage is the one shell that runs a pure stage: it reads an input topic, owns the
// goroutines, the transactions, the changelog, recovery and shutdown, and writes what the stage
// puts out. It guarantees that outputs, state and input offset move together or not at all.
package stage

import "crumbtrail/internal/kafka"

// Record is one input record.
type Record = kafka.Record

// Machine is a pure stage bound to one input partition: no clock, no I/O, no goroutine. One
// goroutine calls it. The same records in any split into batches must give the same outputs in
// the same order and the same state: recovery rests on it (V3).
type Machine interface {
	// Apply advances the state by the batch, in the order of its offsets, and puts what comes of it
	// to out. The records' bytes stay valid after it returns.
	Apply(batch []Record, out *Output)
	// Checkpoint calls put for each key whose state changed since the last Checkpoint or the last
	// Restore, with a nil value where nothing is left of it. The bytes are not copied. No key begins
	// with a zero byte.
	Checkpoint(put func(key, value []byte))
	// Restore loads one key of a checkpoint. It is called before the first Apply, and once for each
	// key, but see Follower. An error means that the state cannot be read by this binary.
	Restore(key, value []byte) error
	// Size returns about how many bytes of memory the state takes. It is asked for often.
	Size() int64
}

// Follower is a Machine that can be brought from one checkpoint to the next. A member that has no
// part in a partition of its stage follows the changelog, and has the state when the partition
// comes to it: its process holds the state of all partitions, not of its own alone.
//
// Restore may then be called for a key again, where the newest value takes the place of the one
// before, and with a nil value, where nothing is left of the key. There is no order between keys.
type Follower interface {
	Machine
	// Restored is called whenever what was restored is a whole checkpoint: once where a partition is
	// taken over, and on a standby after each checkpoint of the owner. Apply comes after it alone. An
	// error means that the state cannot be read by this binary.
	Restored() error
}

// Output collects what a machine puts out, in order.
type Output struct {
	messages []kafka.Message
	bytes    int
	// Timestamp is stamped on what is put, in milliseconds since the epoch. The shell sets it to the
	// input record's own; a machine that applies a batch sets it as it goes.
	Timestamp int64
}

// Put appends a record to an output topic; its key chooses the partition. Key and value are not
// copied and must not be written again.
func (o *Output) Put(topic string, key, value []byte) {
	o.messages = append(o.messages, kafka.Message{
		Topic: topic, Partition: kafka.AnyPartition, Timestamp: o.Timestamp, Key: key, Value: value,
	})
	o.bytes += len(key) + len(value)
}

// Messages returns what was put since the last Reset.
func (o *Output) Messages() []kafka.Message { return o.messages }

// Reset empties the output and keeps its room.
func (o *Output) Reset() {
	clear(o.messages)
	o.messages, o.bytes = o.messages[:0], 0
}
