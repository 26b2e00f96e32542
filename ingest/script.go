package ingest

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"

	"crumbtrail/ingest/tracker"
)

// scriptsKept bounds how many scripts are kept, since AnySite takes any key.
const scriptsKept = 1024

// scripts keeps the trackers of sites as they are served. Safe for concurrent use.
type scripts struct {
	mu   sync.Mutex
	made map[scriptKey]script
}

type scriptKey struct {
	site      string
	crossSite bool
}

type script struct {
	text []byte
	etag string
}

func newScripts() *scripts { return &scripts{made: map[scriptKey]script{}} }

func (s *scripts) of(key string, site *Site, crossSite bool) script {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := scriptKey{key, crossSite}
	if made, ok := s.made[at]; ok {
		return made
	}
	text := tracker.Script(tracker.Config{
		Site: key, Consent: string(site.Consent), CrossSite: crossSite,
	})
	sum := sha256.Sum256(text)
	made := script{text, `"` + hex.EncodeToString(sum[:8]) + `"`}
	if len(s.made) >= scriptsKept {
		clear(s.made)
	}
	s.made[at] = made
	return made
}
