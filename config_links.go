package main

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"strings"

	"crumbtrail/ingest"
	"crumbtrail/internal/strictyaml"
	"crumbtrail/internal/token"
)

// Link is a named redirect, GET /r/name.
type Link struct {
	Name   string `yaml:"name,required"`
	Target string `yaml:"target,required"`
	// Site is the key of the site whose clicks they are; the first where it is left out.
	Site string `yaml:"site"`
	// PassQuery adds to the target what the query of a click has and the target's has not.
	PassQuery bool `yaml:"pass_query"`
}

// Key signs what is handed out to come back: links in mails. The first of several signs, all are
// known, so that a new one is put before the old one until what that has signed has expired.
type Key struct {
	// ID stands in what the key signs.
	ID     string `yaml:"id,required"`
	Secret Secret `yaml:"secret"`
	// SecretFile holds the secret, less a newline at its end; in the file relative to it.
	SecretFile string `yaml:"secret_file"`
}

// Secret is text that is never printed.
type Secret string

// UnmarshalText takes text that reads as a number, too: nothing is to be said of it.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

// String hides the text.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "(secret)"
}

// GoString hides the text.
func (s Secret) GoString() string { return s.String() }

// secretOf is a secret that the configuration gives, or that of a file that it names, less a
// newline at its end.
func secretOf(given, file string) (string, error) {
	if file == "" {
		return given, nil
	}
	text, err := os.ReadFile(file)
	return strings.TrimRight(string(text), "\r\n"), err
}

// tokenKeys returns the configured keys. Without any it is the one that signs the cookies of the
// data directory, which other collectors do not have.
func (c *Config) tokenKeys(data string) (*token.Keys, error) {
	if len(c.Keys) == 0 {
		text, err := signingKey(data)
		if err != nil {
			return nil, err
		}
		secret := sha256.Sum256([]byte(text))
		return token.NewKeys(token.Key{ID: "data", Secret: secret[:]})
	}
	var list []token.Key
	for _, k := range c.Keys {
		secret, err := secretOf(string(k.Secret), k.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("key %q: secret_file: %w", k.ID, err)
		}
		list = append(list, token.Key{ID: k.ID, Secret: []byte(secret)})
	}
	return token.NewKeys(list...)
}

// signingKey is what the collector of a data directory signs its cookies with.
func signingKey(data string) (string, error) { return kept(data, "signing-key", 0o600, rand.Text) }

// snowplowRedirect is a path of Snowplow's trackers, which no link may have.
const snowplowRedirect = "tp2"

func (r *configRules) links() {
	names := map[string]string{}
	sites := r.siteKeys()
	for i := range r.cfg.Links {
		at, l := fmt.Sprintf("links[%d].", i), &r.cfg.Links[i]
		switch {
		case !r.doc.Has(at + "name"):
		case l.Name == snowplowRedirect:
			r.report(at+"name", "choose another name", "/r/%s is for Snowplow's trackers", l.Name)
		default:
			r.name(at+"name", l.Name)
		}
		r.unique(names, at+"name", l.Name, l.Name)
		switch err := strictyaml.OneOf(l.Site, sites...); {
		case r.doc.Has(at+"site") && err != nil:
			r.report(at+"site", "", "no such site: %v", err)
		case !r.doc.Has(at + "site"):
			l.Site = sites[0]
		}
		if !r.doc.Has(at + "target") {
			continue
		}
		if err := ingest.CheckTarget(l.Target); err != nil {
			r.report(at+"target", err.Error(), "%q is no web address to lead to", l.Target)
		}
	}
}

func (r *configRules) keys() {
	ids := map[string]string{}
	for i, k := range r.cfg.Keys {
		at := fmt.Sprintf("keys[%d].", i)
		if r.doc.Has(at+"id") && !token.ValidID(k.ID) {
			r.report(at+"id", "use letters, digits, - and _, at most 16", "%q cannot name a key", k.ID)
		}
		r.unique(ids, at+"id", k.ID, k.ID)
		if (k.Secret == "") == (k.SecretFile == "") {
			r.report(at[:len(at)-1], "", "give secret or secret_file, one of them")
			continue
		}
		if k.SecretFile != "" {
			r.file(at+"secret_file", k.SecretFile)
		} else if n := len(k.Secret); n < token.LeastSecret {
			r.report(at+"secret", "make one with `openssl rand -hex 32`",
				"%d bytes are fewer than %d", n, token.LeastSecret)
		}
	}
}
