package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"crumbtrail/ingest"
	"crumbtrail/internal/strictyaml"
)

// TestConfig loads configurations from a directory that holds models/ and ca.pem. Commands: load
// prints every problem, or what was understood.
func TestConfig(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "models"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "crumbtrail.yaml")
	datadriven.RunTest(t, "testdata/config.txt", func(t *testing.T, d *datadriven.TestData) string {
		if err := os.WriteFile(path, []byte(d.Input), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, problems := LoadConfig(path)
		var b strings.Builder
		if len(problems) > 0 {
			fmt.Fprintln(&b, problems.Error())
		} else {
			describeConfig(&b, cfg)
		}
		return strings.ReplaceAll(b.String(), dir+string(filepath.Separator), "")
	})
}

func describeConfig(b *strings.Builder, cfg Config) {
	fmt.Fprintf(b, "topics %+v\n", cfg.Topics)
	if cfg.Kafka.TLS != nil {
		fmt.Fprintf(b, "tls %+v\n", *cfg.Kafka.TLS)
	}
	if cfg.Kafka.SASL != nil {
		fmt.Fprintf(b, "sasl %+v\n", *cfg.Kafka.SASL)
	}
	for _, s := range cfg.Sites {
		fmt.Fprintf(b, "site %s: origins %v loopback %v gap %v grace %v max %v %d cuts %v consent %s "+
			"zone %v cookie %s redirects %v heartbeat %v\n", s.Key, s.Origins, s.AnyLoopback, s.Gap,
			s.Grace, s.MaxVisit, s.MaxBeacons, s.Cuts, s.Consent, s.Location(),
			strictyaml.FormatDuration(s.CookieLifetime), s.Redirects, s.Heartbeat)
		if s.Address != "" {
			fmt.Fprintf(b, "address %s\n", s.Address)
		}
		if len(s.StripQuery) > 0 {
			fmt.Fprintf(b, "strip %v\n", s.StripQuery)
		}
		if s.BytesPerSecond > 0 {
			fmt.Fprintf(b, "bytes %d a second\n", s.BytesPerSecond)
		}
		describeConsent(b, &s)
	}
	for _, s := range cfg.Strategies {
		fmt.Fprintf(b, "strategy %s: %s\n", s.Name, s.resolved().Summary())
	}
	for _, f := range cfg.Forms {
		double := f.DoubleOptIn
		f.DoubleOptIn = nil
		fmt.Fprintf(b, "form %+v\n", f)
		if double != nil {
			fmt.Fprintf(b, "double opt-in %+v\n", *double)
		}
	}
	describeResolve(b, cfg)
	for _, l := range cfg.Links {
		fmt.Fprintf(b, "link %+v\n", l)
	}
	if d := cfg.Snowplow.DoNotTrack; d != nil || cfg.Segment.Strict {
		fmt.Fprintf(b, "snowplow %+v %v segment %+v\n", d, cfg.Snowplow.Paths, cfg.Segment)
	}
	if cfg.Country.File != "" {
		fmt.Fprintf(b, "country %s\n", cfg.Country.File)
	}
	if cfg.Salts != "" {
		fmt.Fprintf(b, "salts %s\n", cfg.Salts)
	}
	if len(cfg.TrustedProxies) > 0 {
		fmt.Fprintf(b, "trusted %v\n", cfg.TrustedProxies)
	}
	for _, k := range cfg.Keys {
		fmt.Fprintf(b, "key %+v\n", k)
	}
	if cfg.Mail != nil {
		fmt.Fprintf(b, "mail %+v\n", *cfg.Mail)
	}
	for _, w := range cfg.Handoffs.Webhooks {
		fmt.Fprintf(b, "webhook %+v\n", w)
	}
	fmt.Fprintf(b, "models %s lake %+v max_age %v\n", cfg.Models, cfg.Lake, cfg.Limits.MaxAge)
}

// describeResolve writes how contacts are found, where that is not the default.
func describeResolve(b *strings.Builder, cfg Config) {
	if !reflect.DeepEqual(cfg.Resolve, defaultResolve()) {
		fmt.Fprintf(b, "resolve %+v\n", cfg.Resolve)
	}
	for _, s := range cfg.Sites {
		if s.Region != "" {
			fmt.Fprintf(b, "region of %s %s\n", s.Key, s.Region)
		}
	}
}

// The manual's table of limits is what holds without a configuration, in the order of Limits.
func TestReadmeListsEveryLimit(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	defaults := reflect.ValueOf(ingest.DefaultLimits())
	for name, index := range strictyaml.Keys(ingest.Limits{}) {
		value := fmt.Sprint(defaults.Field(index))
		if d, ok := defaults.Field(index).Interface().(time.Duration); ok {
			value = strictyaml.FormatDuration(d)
		}
		want = append(want, name+" "+value)
	}
	_, table, _ := strings.Cut(string(text), "| limit | default | bounds |")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\S+) \\|").FindAllStringSubmatch(table, -1)
	for _, row := range rows {
		got = append(got, row[1]+" "+row[2])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("limits (-program +README):\n%s", diff)
	}
}

// describeConsent writes what a site says of consent besides its policy.
func describeConsent(b *strings.Builder, s *Site) {
	if s.Enforcement != (Enforcements{}) {
		fmt.Fprintf(b, "enforcement %+v\n", s.Enforcement)
	}
	if !s.CookieRenew || s.Embedded {
		fmt.Fprintf(b, "cookie_renew %v, embedded %v\n", s.CookieRenew, s.Embedded)
	}
	if s.Cookieless {
		fmt.Fprintf(b, "cookieless, a day from %d:00 in %s\n", s.SaltHour, s.Location())
	}
	if len(s.Signals) > 0 || s.GPC != PrivacyOptOut {
		fmt.Fprintf(b, "gpc %s, signals %v\n", s.GPC, s.Signals)
	}
}

func TestAbsentConfigIsTheDefault(t *testing.T) {
	path := filepath.Join(t.TempDir(), "crumbtrail.yaml")
	cfg, problems := LoadConfig(path)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if diff := cmp.Diff(DefaultConfig(path), cfg); diff != "" {
		t.Errorf("absent file (-default +loaded):\n%s", diff)
	}
	site := cfg.Sites[0]
	if site.Key != "default" || site.Consent != ConsentImplied || !site.AnyLoopback {
		t.Errorf("default site = %+v", site)
	}
}

// An empty file says no more than an absent one.
func TestEmptyConfigIsTheDefault(t *testing.T) {
	cfg, _, problems := parseConfig("crumbtrail.yaml", nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if diff := cmp.Diff(DefaultConfig("crumbtrail.yaml"), cfg); diff != "" {
		t.Errorf("empty file (-default +loaded):\n%s", diff)
	}
}

func TestUnreadableConfigIsAProblem(t *testing.T) {
	_, problems := LoadConfig(t.TempDir())
	if len(problems) != 1 || !strings.Contains(problems[0].Message, "cannot be read") {
		t.Errorf("problems = %v, want that a directory cannot be read", problems)
	}
}

// Whatever durations and numbers a site asks for, either they are refused at their line or the
// rules that the stages rest on hold.
func TestAcceptedSitesKeepTheRules(t *testing.T) {
	duration := func(t *rapid.T, name string) string {
		return fmt.Sprintf("%d%s", rapid.IntRange(-1, 400).Draw(t, name),
			rapid.SampledFrom([]string{"ms", "s", "m", "h", "d", "w"}).Draw(t, name+" unit"))
	}
	rapid.Check(t, func(t *rapid.T) {
		text := fmt.Sprintf(
			"sites:\n- key: a\n  gap: %s\n  grace: %s\n  max_visit: %s\n  max_beacons: %d\n",
			duration(t, "gap"), duration(t, "grace"), duration(t, "max"),
			rapid.IntRange(-2, 5).Draw(t, "n"))
		cfg, _, problems := parseConfig("c.yaml", []byte(text))
		for _, p := range problems {
			if p.Line < 2 || p.Path == "" {
				t.Fatalf("problem without its place: %+v", p)
			}
		}
		s := cfg.Sites[0]
		holds := s.Gap >= time.Millisecond && s.Grace >= 0 && s.MaxVisit >= s.Gap && s.MaxBeacons >= 1 &&
			s.Gap <= longest && s.MaxVisit <= longest && s.Grace <= day
		if holds != (len(problems) == 0) {
			t.Fatalf("%s%+v\nproblems %v", text, s, problems)
		}
	})
}

// FuzzParseConfig holds that no configuration panics, that every problem is in the file, and that
// an accepted configuration has a site.
func FuzzParseConfig(f *testing.F) {
	f.Add("sites: [{key: acme, origins: ['https://acme.example:8443'], cuts: midnight}]\n")
	f.Add("kafka: {tls: {ca: x}, sasl: {mechanism: plain, username: u}}\n" +
		"links: [{name: a, target: b}]\n")
	f.Add("forms: [{name: f, fields: {email: e}, strategy: s}]\nstrategies: [{name: s, all: email}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		cfg, _, problems := parseConfig("c.yaml", []byte(text))
		for _, p := range problems {
			if p.File != "c.yaml" || p.Line < 1 || p.Message == "" {
				t.Errorf("problem %+v", p)
			}
		}
		if len(cfg.Sites) == 0 {
			t.Error("no site")
		}
	})
}
