// Package tidy holds the house rules as tests: which room may import which, how long a function
// may get, what a package's first sentence says. It reads the source tree, writes nothing, and
// guarantees that each finding names a file, a line and the mend.
package tidy
