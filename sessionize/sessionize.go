// Package sessionize reads beacons, writes visits, and guarantees that the same log gives the same
// visits, whatever the batches, the ticks between them or the restarts (V3), and that every beacon
// it reads is counted in exactly one visit, as a duplicate, as without consent, or as bad (V1, V6).
//
// A visit is all beacons of one visitor on one site in which no gap exceeds the site's gap. Time
// is in the log: see clock.go for what moves it, sessions.go for what opens, joins and closes a
// visit, cut.go for what splits one when it closes, state.go for what survives a restart, and
// memory.go for what all that takes.
package sessionize
