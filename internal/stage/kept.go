package stage

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// leastRetention is how long the input must be kept at least, and keptCheckpoints how many
// intervals between checkpoints: what lies between a checkpoint and a kill must still be there
// when somebody comes to start the stage again. leastTombstones is how long a changelog that is
// followed must say that a key is gone.
const (
	leastRetention  = time.Hour
	keptCheckpoints = 10
	leastTombstones = 2 * staleAfter
)

// checkKept says no to topics that could lose what recovery reads: an input whose retention may
// overtake the stage, and a changelog that forgets keys by age or size, or deleted ones too soon.
func checkKept(ctx context.Context, cfg Config, cluster Cluster, follows bool) error {
	input, err := cluster.TopicConfig(ctx, cfg.Input)
	if err != nil {
		return err
	}
	changelog, err := cluster.TopicConfig(ctx, cfg.Changelog)
	if err != nil {
		return err
	}
	var problems []error
	least := max(leastRetention, keptCheckpoints*cfg.Checkpoint)
	if ms, err := strconv.ParseInt(input["retention.ms"], 10, 64); err == nil && ms >= 0 &&
		ms < least.Milliseconds() {
		problems = append(problems, fmt.Errorf("topic %q is kept for %v, which could overtake a stage "+
			"that is down: set its retention.ms to %d or more", cfg.Input,
			time.Duration(ms)*time.Millisecond, least.Milliseconds()))
	}
	if policy := input["cleanup.policy"]; strings.Contains(policy, "compact") {
		problems = append(problems, fmt.Errorf("topic %q is compacted, which takes records away: set "+
			"its cleanup.policy to delete", cfg.Input))
	}
	if policy := changelog["cleanup.policy"]; policy != "compact" {
		problems = append(problems, fmt.Errorf("topic %q has cleanup.policy %q, which forgets state: "+
			"set it to compact", cfg.Changelog, policy))
	}
	if ms, err := strconv.ParseInt(changelog["delete.retention.ms"], 10, 64); err == nil && follows &&
		ms < leastTombstones.Milliseconds() {
		problems = append(problems, fmt.Errorf("topic %q keeps word of deleted keys for %v, in which a "+
			"standby may miss it: set its delete.retention.ms to %d or more", cfg.Changelog,
			time.Duration(ms)*time.Millisecond, leastTombstones.Milliseconds()))
	}
	return errors.Join(problems...)
}
