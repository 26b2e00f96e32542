package ingest

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"

	"crumbtrail/ingest/tracker"
)

// scriptsKept bounds how many scripts are kept, since AnySite takes any key.
const scriptsKept = 1024

// scripts keeps the trackers of sites as they are served. Safe for concurrent use.
type scripts struct {
	mu     sync.Mutex
	made   map[scriptKey]script
	packer *gzip.Writer
	forms  forms
}

type scriptKey struct {
	site      string
	crossSite bool
}

// script is a tracker in both of its encodings.
type script struct{ plain, packed encoded }

// encoded is a text as it is sent. Each encoding has an ETag of its own, since what a cache keeps
// under one are the bytes.
type encoded struct {
	text []byte
	etag string
}

func newScripts(list []Form) *scripts {
	packer, err := gzip.NewWriterLevel(nil, gzip.BestCompression)
	if err != nil {
		panic("gzip has no best compression: " + err.Error())
	}
	return &scripts{made: map[scriptKey]script{}, packer: packer, forms: list}
}

func (s *scripts) of(key string, site *Site, crossSite bool) script {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := scriptKey{key, crossSite}
	if made, ok := s.made[at]; ok {
		return made
	}
	text := s.forms.script(key, site, crossSite)
	sum := sha256.Sum256(text)
	name := hex.EncodeToString(sum[:8])
	made := script{
		plain:  encoded{text, `"` + name + `"`},
		packed: encoded{s.pack(text), `"` + name + `-gzip"`},
	}
	if len(s.made) >= scriptsKept {
		clear(s.made)
	}
	s.made[at] = made
	return made
}

func signalNames(list []Signal) []string {
	var names []string
	for _, s := range list {
		names = append(names, string(s))
	}
	return names
}

// script is the tracker of a site as it is configured.
func (f forms) script(key string, site *Site, crossSite bool) []byte {
	return tracker.Script(tracker.Config{
		Site: key, Consent: string(site.purposes.script()), CrossSite: crossSite,
		Signals: signalNames(site.Signals), IgnoreGPC: site.objection == noObjection,
		Cookieless: site.Cookieless,
		Forms:      f.captured(key),
	})
}

// ScriptHashes are the SHA-384 of the scripts that a site's pages may be served: that of pages of
// the collector's own site, and that of others.
func ScriptHashes(cfg Config, key string) (sums [][sha512.Size384]byte, err error) {
	sites, err := newSites(cfg.Sites, cfg.AnySite)
	if err != nil {
		return nil, err
	}
	site := sites.find(key)
	if site == nil {
		return nil, fmt.Errorf("site %q: not configured", key)
	}
	for _, crossSite := range []bool{false, true} {
		sums = append(sums, sha512.Sum384(forms(cfg.Forms).script(key, site, crossSite)))
	}
	return sums, nil
}

func (s *scripts) pack(text []byte) []byte {
	var out bytes.Buffer
	s.packer.Reset(&out)
	_, err := s.packer.Write(text)
	if err == nil {
		err = s.packer.Close()
	}
	if err != nil {
		panic(fmt.Sprintf("gzip %d bytes into memory: %v", len(text), err))
	}
	return out.Bytes()
}

// send answers a request for the script, in the encoding that the client takes.
func (s script) send(w http.ResponseWriter, r *http.Request) {
	body, h := s.plain, w.Header()
	h.Add("Vary", "Accept-Encoding")
	zipped := acceptsGzip(r.Header)
	if zipped {
		body = s.packed
	}
	h.Set("ETag", body.etag)
	if r.Header.Get("If-None-Match") == body.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if zipped {
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(len(body.text)))
	_, _ = w.Write(body.text) // a client that went away needs no answer
}

// acceptsGzip is true where Accept-Encoding names gzip, or anything, and not with a weight of 0.
func acceptsGzip(h http.Header) bool {
	anything := false
	for _, value := range h.Values("Accept-Encoding") {
		for coding := range strings.SplitSeq(value, ",") {
			name, weight, _ := strings.Cut(coding, ";")
			accepted := !isZeroWeight(weight)
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "gzip", "x-gzip":
				return accepted
			case "*":
				anything = accepted
			}
		}
	}
	return anything
}

// isZeroWeight is true for q=0, with up to three decimals of nothing.
func isZeroWeight(weight string) bool {
	name, q, _ := strings.Cut(strings.TrimSpace(weight), "=")
	if !strings.EqualFold(name, "q") {
		return false
	}
	value, err := strconv.ParseFloat(q, 64)
	return err != nil || value == 0
}
