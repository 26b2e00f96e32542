//go:build !fault

package fault

// Point does nothing in a normal build.
func Point(Name) {}
