// Package fault names the points of the way of data at which a process may be made to die or to
// stand still. A normal build reads nothing and writes nothing here, and its Point is empty. Built
// with the tag fault it reads CRUMBTRAIL_FAULT, name:hit:action, acts when the point of that name
// is reached for the hit-th time, and guarantees that what it is about to do stands in the file
// CRUMBTRAIL_FAULT_LOG before it does it, so that a test can prove that a fault happened.
//
// The actions are kill (SIGKILL to the process itself), kill=DURATION (that much later, with the
// process going on until then, so as to hit it in the middle of what follows), stop (SIGSTOP) and
// sleep=DURATION (the goroutine alone).
package fault

import "slices"

// Name is a point's.
type Name string

// The points of the collector, in the order in which a request comes by them.
const (
	// Read: a request has been read and judged, and nothing of it is on its way.
	Read Name = "ingest.after-read"
	// Acknowledged: the log has what a request brought, and the request has no answer yet.
	Acknowledged Name = "ingest.after-acknowledgement"
	// Created: a segment of the spill is there, and its directory may not know of it.
	Created Name = "spill.before-directory-sync"
	// Written: frames are written, and may not be on the disk.
	Written Name = "spill.after-write"
	// Synced: they are, and their requests have no answer yet.
	Synced Name = "spill.after-sync"
	// Delivered: the log has frames of the spill, and the position does not say so.
	Delivered Name = "spill.before-position"
	// Position: it says so, and their segment is still there.
	Position Name = "spill.before-remove"
)

// EdgeNames lists the points of the collector.
func EdgeNames() []Name {
	return []Name{Read, Acknowledged, Created, Written, Synced, Delivered, Position}
}

// The points of a stage, in the order in which a partition comes by them.
const (
	// Restore: some of the changelog has been read, and not all of it applied.
	Restore Name = "stage.mid-restore"
	// Replay: records between the checkpoint and the committed offset are being applied again.
	Replay Name = "stage.mid-replay"
	// Checkpoint: some of the changed state has been gathered for the changelog.
	Checkpoint Name = "stage.mid-checkpoint"
	// HandOver: a generation has ended, and its last commit has not begun.
	HandOver Name = "stage.hand-over"
	// Begin: outputs wait, and no request of their transaction has been sent.
	Begin Name = "transaction.before-begin"
	// Added: the transaction knows the partitions that it will write to.
	Added Name = "transaction.after-add-partitions"
	// Produce: a request with outputs is about to be sent.
	Produce Name = "transaction.produce"
	// Offsets: the transaction knows that it will commit an input offset.
	Offsets Name = "transaction.after-add-offsets"
	// End: everything is in the transaction but its end.
	End Name = "transaction.before-end"
	// Ended: it is committed, and the process does not go by that yet.
	Ended Name = "transaction.after-end"
)

// StageNames lists the points of a stage.
func StageNames() []Name {
	return []Name{
		Restore, Replay, Checkpoint, HandOver, Begin, Added, Produce, Offsets, End, Ended,
	}
}

// The points of the lake, in the order in which a partition comes by them.
const (
	// LakeRows: rows wait, and nothing of them is in a file.
	LakeRows Name = "lake.before-write"
	// LakeWritten: a file, of rows or of a manifest, has its bytes under its temporary name, and the
	// disk may not have them.
	LakeWritten Name = "lake.after-write"
	// LakeSynced: the disk has them, and the file does not have its own name.
	LakeSynced Name = "lake.after-sync"
	// LakeFiles: all files are there, and no manifest names them.
	LakeFiles Name = "lake.before-publish"
	// LakeLinked: the manifest has its name, and its directory may not know of it.
	LakeLinked Name = "lake.after-link"
	// LakePublished: the manifest counts, and the process does not go by that yet.
	LakePublished Name = "lake.after-publish"
	// LakeRetired: files that no manifest names any more are about to be removed.
	LakeRetired Name = "lake.before-remove"
	// LakeBuilt: a catalog is built, and the one before it is in its place.
	LakeBuilt Name = "lake.before-catalog"
	// LakeShown: the catalog is in its place, and its directory may not know of it.
	LakeShown Name = "lake.after-catalog"
	// LakeCompacted: files of past days are compacted, and no manifest names what came of them.
	LakeCompacted Name = "lake.compact-made"
	// LakeReplaced: a manifest names them, and no catalog shows it.
	LakeReplaced Name = "lake.compact-published"
)

// LakeNames lists the points of the lake.
func LakeNames() []Name {
	return []Name{
		LakeRows, LakeWritten, LakeSynced, LakeFiles, LakeLinked, LakePublished, LakeRetired, LakeBuilt,
		LakeShown, LakeCompacted, LakeReplaced,
	}
}

// The points of a run of scores, in the order in which it comes by them.
const (
	// ScoreRead: scores have been read, and these are not on the topic.
	ScoreRead Name = "score.before-write"
	// ScoreWritten: they are, and the next ones are not.
	ScoreWritten Name = "score.after-write"
	// ScoreEnded: the topic says so, and the lake may not have it.
	ScoreEnded Name = "score.after-end"
)

// ScoreNames lists the points of a run of scores.
func ScoreNames() []Name { return []Name{ScoreRead, ScoreWritten, ScoreEnded} }

// Names lists every point.
func Names() []Name {
	return slices.Concat(EdgeNames(), StageNames(), LakeNames(), ScoreNames())
}
