package e2e

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// node runs a script in which a client sends to the gateway, and returns what it prints.
func (g *gateway) node(t *testing.T, dir, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", script, g.url)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node %s: %v\n%s", script, err, tail(stderr.String()))
	}
	return strings.TrimSpace(string(out))
}

func TestSnowplowInNode(t *testing.T) {
	needThorough(t)
	dir := npmPackages(t, "testdata/clients")
	data := filepath.Join(t.TempDir(), "data")
	s := up(t, data, write(t, "crumbtrail.yaml", clientsConfig))
	g := newGateway(t, s.url)
	if got := g.node(t, dir, "snowplow-node.js"); got != "[200,200,200,200,503,200,400,200,200]" {
		t.Errorf("the tracker heard %s", got)
	}
	g.settled(t, data, "snowplow")
	wantRows(t, data, `SELECT type, props->>'name', title, url, referrer, utm_source, engaged_ms,
			props->>'href', props->'data'->>'sign', props->'_raw'->'co'->0->'data'->>'items'
		FROM beacons ORDER BY received_at, created_at`,
		"page_view |  | Pricing | https://acme.example/pricing?utm_source=news | "+
			"https://www.google.com/ | news | 0 |  |  | 2",
		"ping |  |  | https://acme.example/pricing |  |  | 1000 |  |  | ",
		"link_click |  |  |  |  |  | 0 | https://shop.example/ |  | ",
		"custom | true time |  |  |  |  | 0 |  |  | ",
		"custom | again |  |  |  |  | 0 |  |  | ",
		"custom | more |  |  |  |  | 0 |  |  | ",
		"custom | after |  |  |  |  | 0 |  |  | ",
		"custom | checkout |  |  |  |  | 0 |  | +/ü | ",
	)
	wantRows(t, data, `SELECT DISTINCT visitor_id, ip, browser, os, language, props->'_raw'->>'uid',
			props->'_raw'->>'sid' FROM beacons`,
		"22222222-2222-4222-8222-222222222222 | 203.0.113.0 | Firefox | Linux | de-DE | u-17 | "+
			"33333333-3333-4333-8333-333333333333")
	wantRows(t, data, `SELECT date_diff('second', occurred_at, received_at) BETWEEN 59 AND 90
		FROM beacons WHERE props->>'name' = 'true time'`, "true")
	s.stop()
}

func TestSegmentInNode(t *testing.T) {
	needThorough(t)
	dir := npmPackages(t, "testdata/clients")
	data := filepath.Join(t.TempDir(), "data")
	s := up(t, data, write(t, "crumbtrail.yaml", clientsConfig))
	g := newGateway(t, s.url)
	if got := g.node(t, dir, "segment-node.js"); got != `["refused"]` {
		t.Errorf("the library gave up on %s", got)
	}
	g.settled(t, data, "segment")
	wantRows(t, data, `SELECT type, props->>'name', title, url, utm_source, utm_medium, ip, browser,
			language, props->'properties'->>'price', props->>'category', is_bot
		FROM beacons ORDER BY type, props->>'name'`,
		"custom | Product Viewed |  |  | ads | cpc | 203.0.113.0 | Firefox | de-DE | 9.5 |  | false",
		"custom | after |  |  |  |  |  |  |  |  |  | false",
		"custom | again |  |  |  |  |  |  |  |  |  | false",
		"custom | alias |  |  |  |  |  |  |  |  |  | false",
		"custom | group |  |  |  |  |  |  |  |  |  | false",
		"custom | identify |  |  |  |  |  |  |  |  |  | false",
		"custom | more |  |  |  |  |  |  |  |  |  | false",
		"custom | screen |  |  |  |  |  |  |  |  |  | false",
		"page_view | Pricing | Pricing | https://acme.example/pricing?utm_source=news | news |  |  |  |  |  | "+
			"docs | false",
	)
	checkIdentified(t, data, "ada@example.com | Ada | Lovelace | ")
	wantRows(t, data, `SELECT date_diff('second', occurred_at, received_at) BETWEEN 59 AND 90
		FROM beacons WHERE props->>'name' = 'Product Viewed'`, "true")
	s.stop()
}
