package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strings"

	"crumbtrail/ingest"
)

// runSnippet prints the line that a page carries.
func runSnippet(_ context.Context, c *call) error {
	base := c.flags.String("url", "", "where browsers reach the collector; a path of the site's own "+
		"host is best; default: mail.url of the configuration, else "+localURL)
	integrity := c.flags.Bool("integrity", false,
		"name the hashes of the script; print the line again after each change of version or site")
	if err := c.parse(); err != nil {
		return err
	}
	if len(c.args) != 1 {
		return usagef("want one site key, got %d arguments", len(c.args))
	}
	cfg, problems := LoadConfig(c.config)
	if len(problems) > 0 {
		return problems
	}
	site := c.args[0]
	var known []string
	for _, s := range cfg.Sites {
		known = append(known, s.Key)
	}
	if !slices.Contains(known, site) {
		return fmt.Errorf("site %q is not in %s, or there is no such file: the sites are %s",
			site, c.config, strings.Join(known, ", "))
	}
	public, err := cfg.publicURL(*base)
	if err != nil {
		return err
	}
	hashes := ""
	if *integrity {
		if hashes, err = integrityOf(&cfg, site); err != nil {
			return err
		}
	}
	at := html.EscapeString(public)
	fmt.Fprintf(c.stdout, "<script async src=\"%s/t/%s.js\"%s></script>\n", at, site, hashes)
	fmt.Fprintf(c.stdout, "<noscript><img src=\"%s/v1/pixel.gif?site=%s\" alt=\"\" "+
		"referrerpolicy=\"no-referrer-when-downgrade\"></noscript>\n", at, site)
	return nil
}

// integrityOf are the attributes that make browsers refuse another script than this version's. A
// page of another origin may check a script only if it asks for it as for data, with the cookies.
func integrityOf(cfg *Config, site string) (string, error) {
	sums, err := ingest.ScriptHashes(cfg.collectorConfig(), site)
	if err != nil {
		return "", err
	}
	var hashes []string
	for _, sum := range sums {
		hashes = append(hashes, "sha384-"+base64.StdEncoding.EncodeToString(sum[:]))
	}
	return fmt.Sprintf(` integrity="%s" crossorigin="use-credentials"`,
		strings.Join(hashes, " ")), nil
}

// localURL is where browsers of this machine reach the collector.
const localURL = "http://127.0.0.1:8080"

// publicURL is where browsers reach the collector, as --url says or else the configuration, without
// a slash at the end.
func (c *Config) publicURL(base string) (string, error) {
	switch {
	case base != "":
	case c.Mail != nil:
		base = c.Mail.URL
	default:
		base = localURL
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", usagef("--url %q: want http://host or https://host", base)
	}
	return strings.TrimSuffix(u.String(), "/"), nil
}
