package main

import (
	"context"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strings"
)

// runSnippet prints the line that a page carries.
func runSnippet(_ context.Context, c *call) error {
	base := c.flags.String("url", "http://127.0.0.1:8080",
		"where browsers reach the collector; a path of the site's own host is best")
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
	u, err := url.Parse(*base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return usagef("--url %q: want http://host or https://host", *base)
	}
	at := html.EscapeString(strings.TrimSuffix(u.String(), "/"))
	fmt.Fprintf(c.stdout, "<script async src=\"%s/t/%s.js\"></script>\n", at, site)
	fmt.Fprintf(c.stdout, "<noscript><img src=\"%s/v1/pixel.gif?site=%s\" alt=\"\"></noscript>\n",
		at, site)
	return nil
}
