package main

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"time"

	"crumbtrail/ingest/spill"
	"crumbtrail/internal/strictyaml"
)

// configRules are the rules between and beyond the types of a configuration's keys.
type configRules struct {
	cfg      *Config
	doc      *strictyaml.Document
	problems Problems
}

// What a name in the configuration may look like: it stands in URLs, topics and SQL.
var (
	namePattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	prefixPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{0,100}$`)
)

const (
	nameRule      = "use a-z, 0-9, - and _, beginning with a letter or digit, at most 64"
	day           = 24 * time.Hour
	longest       = 366 * day
	maxPartitions = 1024
	maxVisitBound = 1_000_000
	maxLimit      = 1 << 30
	// maxSpill is more than any disk has, in bytes.
	maxSpill = 1 << 50
	// maxRecordPart is what of a beacon or its raw bytes fits a record of the log, in bytes.
	maxRecordPart = 512 << 10
)

// check adds to the problems what the rules find, in the order of the file.
func (r *configRules) check() {
	r.topics()
	r.kafka()
	r.stages()
	r.sites()
	strategies := r.strategies()
	r.forms(strategies)
	r.resolve(strategies)
	r.mail()
	r.links()
	r.keys()
	if r.doc.Has("models") {
		r.directory("models", r.cfg.Models)
	}
	r.handoffs()
	r.lake()
	r.limits()
	r.country()
	r.snowplow()
	r.problems.Sort()
}

// report adds a problem, unless the value has one already: the second would be its consequence.
func (r *configRules) report(path, hint, format string, args ...any) {
	if slices.ContainsFunc(r.problems, func(p Problem) bool { return p.Path == path }) {
		return
	}
	r.problems = append(r.problems, r.doc.Problem(path, fmt.Sprintf(format, args...), hint))
}

func (r *configRules) lake() {
	l := r.cfg.Lake
	r.between("lake.flush", l.Flush, 100*time.Millisecond, time.Hour)
	r.between("lake.compact_after", l.CompactAfter, time.Second, 30*24*time.Hour)
	r.between("lake.grace", l.Grace, time.Second, 7*24*time.Hour)
	r.between("lake.erasure_grace", l.ErasureGrace, 0, 24*time.Hour)
	if l.Keep != 0 {
		// Shorter, and what comes late is dropped as soon as it is there.
		r.between("lake.keep", l.Keep, 7*24*time.Hour, 100*366*24*time.Hour)
	}
}

func (r *configRules) between(path string, d, least, most time.Duration) {
	if d < least || d > most {
		r.report(path, fmt.Sprintf("set it to between %s and %s",
			strictyaml.FormatDuration(least), strictyaml.FormatDuration(most)),
			"%s is out of range", strictyaml.FormatDuration(d))
	}
}

func (r *configRules) count(path string, n, least, most int) {
	if n < least || n > most {
		r.report(path, fmt.Sprintf("set it to between %d and %d", least, most),
			"%d is out of range", n)
	}
}

func (r *configRules) name(path, name string) {
	if !namePattern.MatchString(name) {
		r.report(path, nameRule, "%q is no name", name)
	}
}

func (r *configRules) file(path, file string) {
	if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
		r.report(path, "make it, or name another", "no file at %s", file)
	}
}

func (r *configRules) directory(path, dir string) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		r.report(path, "make it, or leave the key out", "no directory at %s", dir)
	}
}

// unique reports the second of two equal names; an absent name is another problem.
func (r *configRules) unique(seen map[string]string, path, name, shown string) {
	if !r.doc.Has(path) {
		return
	}
	if first, twice := seen[name]; twice {
		r.report(path, "rename one", "%q is taken by %s in line %d", shown, first, r.doc.Line(first))
		return
	}
	seen[name] = path
}

func (r *configRules) topics() {
	t := r.cfg.Topics
	if !prefixPattern.MatchString(t.Prefix) {
		r.report("topics.prefix", "use letters, digits, ., - and _, at most 100",
			"%q cannot begin a topic's name", t.Prefix)
	}
	r.count("topics.partitions", t.Partitions, 1, maxPartitions)
	r.count("topics.replication", t.Replication, 1, 9)
}

func (r *configRules) kafka() {
	if tls := r.cfg.Kafka.TLS; tls != nil {
		for name, file := range map[string]string{"ca": tls.CA, "cert": tls.Cert, "key": tls.Key} {
			if file != "" {
				r.file("kafka.tls."+name, file)
			}
		}
		if (tls.Cert == "") != (tls.Key == "") {
			r.report("kafka.tls", "give both or neither", "cert and key go together")
		}
	}
	r.between("kafka.session_timeout", r.cfg.Kafka.SessionTimeout, 100*time.Millisecond, 5*time.Minute)
	if sasl := r.cfg.Kafka.SASL; sasl != nil {
		if sasl.PasswordFile != "" {
			r.file("kafka.sasl.password_file", sasl.PasswordFile)
		}
		if (sasl.Password == "") == (sasl.PasswordFile == "") {
			r.report("kafka.sasl", "", "give password or password_file, one of them")
		}
	}
}

func (r *configRules) stages() {
	s := r.cfg.Stages
	r.between("stages.commit", s.Commit, time.Millisecond, time.Minute)
	r.between("stages.checkpoint", s.Checkpoint, s.Commit, time.Hour)
	r.count("stages.state_bytes", s.StateBytes, 1<<20, maxStateBytes)
}

// maxStateBytes is more memory than any machine has.
const maxStateBytes = 1 << 46

// limits checks every limit of the edge alike, at least one of what it bounds and no number that
// only a slip of the keyboard makes, and then that each leaves room for the others.
func (r *configRules) limits() {
	v := reflect.ValueOf(r.cfg.Limits)
	for name, index := range strictyaml.Keys(r.cfg.Limits) {
		path := "limits." + name
		switch limit := v.Field(index).Interface().(type) {
		case time.Duration:
			r.between(path, limit, time.Millisecond, longest)
		case int:
			if name == "spill_bytes" {
				r.count(path, limit, spill.LeastCapacity, maxSpill)
			} else {
				r.count(path, limit, 1, maxLimit)
			}
		case float64:
			if !(limit > 0 && limit <= maxLimit) {
				r.report(path, "set it above 0", "%v is out of range", limit)
			}
		}
	}
	l := r.cfg.Limits
	if l.SpillAfter > l.ProduceTimeout {
		r.report(r.given("limits.spill_after", "limits.produce_timeout"), "lower the first",
			"spill_after is %s, more than produce_timeout, %s: nothing would come to the spill in time",
			strictyaml.FormatDuration(l.SpillAfter), strictyaml.FormatDuration(l.ProduceTimeout))
	}
	r.count("limits.beacon_bytes", l.BeaconBytes, 1, maxRecordPart)
	r.count("limits.raw_bytes", l.RawBytes, 1, maxRecordPart)
	if l.UnpackedBytes < l.BeaconBytes {
		r.report(r.given("limits.unpacked_bytes", "limits.beacon_bytes"), "raise the first",
			"unpacked_bytes is %d, less than beacon_bytes, %d", l.UnpackedBytes, l.BeaconBytes)
	}
	if l.QueueBytes < 2*l.UnpackedBytes {
		r.report(r.given("limits.queue_bytes", "limits.unpacked_bytes"), "raise the first",
			"queue_bytes is %d, less than twice unpacked_bytes, %d", l.QueueBytes, l.UnpackedBytes)
	}
	if l.WriteTimeout <= l.ProduceTimeout {
		r.report(r.given("limits.write_timeout", "limits.produce_timeout"), "raise the first",
			"write_timeout is %s, not more than produce_timeout, %s: nobody would hear the answer",
			strictyaml.FormatDuration(l.WriteTimeout), strictyaml.FormatDuration(l.ProduceTimeout))
	}
}

// given returns the path that the file names, the first of the two where it names both.
func (r *configRules) given(first, second string) string {
	if r.doc.Has(first) {
		return first
	}
	return second
}
