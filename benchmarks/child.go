package benchmarks

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"crumbtrail/benchmarks/edge"
	"crumbtrail/benchmarks/peers"
)

// ChildCommand is the argument after which a process of the program is a bench's child.
const ChildCommand = "bench-child"

// The children.
const (
	childLoad   = "load"
	childPeer   = "peer"
	childDecide = "decide"
)

// Child is the whole of such a process; it returns the exit code.
func Child(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := fmt.Errorf("%s: want %s, %s or %s", ChildCommand, childLoad, childPeer, childDecide)
	if len(args) > 0 {
		switch args[0] {
		case childLoad:
			err = edge.Main(ctx, args[1:], stdout)
		case childPeer:
			err = peers.Main(ctx, args[1:], slog.New(slog.NewJSONHandler(stderr, nil)))
		case childDecide:
			err = decide(args[1:], stdout)
		}
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}
