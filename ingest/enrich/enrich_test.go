package enrich

import (
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"crumbtrail/schemas"

	"github.com/cockroachdb/datadriven"
	"google.golang.org/protobuf/proto"
)

// TestEnrichStories runs commands of a beacon's url, referrer, user agent, address and language.
func TestEnrichStories(t *testing.T) {
	e := New(nil)
	datadriven.RunTest(t, "testdata/enrich.txt", func(t *testing.T, d *datadriven.TestData) string {
		var out strings.Builder
		var policy string
		if d.HasArg("kept") {
			d.ScanArgs(t, "kept", &policy)
		}
		for line := range strings.Lines(d.Input) {
			line = strings.TrimSuffix(line, "\n")
			b := &schemas.Beacon{}
			switch d.Cmd {
			case "agent":
				b.UserAgent = line
				e.Enrich(b, "", netip.Addr{}, nil)
				fmt.Fprintf(&out, "device=%s browser=%s os=%s bot=%s\n",
					b.Agent.Device, b.Agent.Browser, b.Agent.Os, b.Agent.BotRule)
			case "channel":
				b.Url, b.Referrer, _ = strings.Cut(line, " <- ")
				e.Enrich(b, "", netip.Addr{}, nil)
				fmt.Fprintln(&out, b.Channel)
				if c := b.Campaign; c != nil {
					fmt.Fprintf(&out, "  source=%q medium=%q name=%q term=%q content=%q\n",
						c.Source, c.Medium, c.Name, c.Term, c.Content)
				}
			case "address":
				e.Enrich(b, AddressPolicy(policy), ParseAddress(line), nil)
				fmt.Fprintf(&out, "%s\n", b.Ip)
			case "language":
				e.Enrich(b, "", netip.Addr{}, http.Header{"Accept-Language": {line}})
				fmt.Fprintf(&out, "%s\n", b.Agent.Language)
			default:
				d.Fatalf(t, "unknown command %s", d.Cmd)
			}
		}
		return out.String()
	})
}

func TestEnrichPrefersTheBeaconsUserAgent(t *testing.T) {
	e := New(nil)
	header := http.Header{"User-Agent": {"curl/8.0"}, "Accept-Language": {"de"}}
	forwarded := &schemas.Beacon{
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0",
	}
	e.Enrich(forwarded, "", ParseAddress("198.51.100.77:4711"), header)
	if forwarded.Agent.BotRule != "" || forwarded.Agent.Browser != "Firefox" {
		t.Errorf("a forwarded beacon's agent is %v", forwarded.Agent)
	}
	direct := &schemas.Beacon{Ip: "203.0.113.9"}
	e.Enrich(direct, "", ParseAddress("198.51.100.77:4711"), header)
	if direct.UserAgent != "curl/8.0" || direct.Agent.BotRule != "curl" {
		t.Errorf("the request's own agent is %q, %v", direct.UserAgent, direct.Agent)
	}
	if direct.Ip != "198.51.100.0" {
		t.Errorf("the claimed address won: %s", direct.Ip)
	}
	// What is remembered of curl must not speak German from now on.
	again := &schemas.Beacon{UserAgent: "curl/8.0"}
	if e.Enrich(again, "", netip.Addr{}, nil); again.Agent.Language != "" {
		t.Errorf("a shared agent was changed: %v", again.Agent)
	}
}

// FuzzEnrich holds enrichment to what must never be: a whole address, a channel of its own
// making, text that protobuf refuses.
func FuzzEnrich(f *testing.F) {
	f.Add("https://a.example/?utm_source=%ff%00&gclid=1", "android-app://b/", "UA", "1.2.3.4:5", "de")
	f.Add("//?#", "://[::1]:80:", "", "[fe80::1%25x]:1", "a-\x80")
	f.Add("/?utm_source", "http://@:", "bot", "::ffff:1.2.3.4", "zh-Hans-CN;q=x,*")
	e := New(nil)
	channels := []string{
		channelDirect, channelInternal, channelSearch, channelSocial, channelEmail,
		channelReferral, channelPaid, channelCampaign,
	}
	f.Fuzz(func(t *testing.T, url, referrer, userAgent, address, language string) {
		if !utf8.ValidString(url) || !utf8.ValidString(referrer) {
			return // the decoder lets none through
		}
		b := &schemas.Beacon{Url: url, Referrer: referrer}
		e.Enrich(b, "", ParseAddress(address), http.Header{
			"User-Agent": {userAgent}, "Accept-Language": {language},
		})
		if !slices.Contains(channels, b.Channel) {
			t.Errorf("channel %q", b.Channel)
		}
		if b.Ip != "" {
			ip, err := netip.ParseAddr(b.Ip)
			if err != nil || ip.Is4() && ip.As4()[3] != 0 || ip.Is6() && ip.As16()[6] != 0 {
				t.Errorf("of %q remains %q", address, b.Ip)
			}
		}
		if _, err := proto.Marshal(b); err != nil {
			t.Error(err)
		}
	})
}

// Every text of every rule leads to its own rule or to one that stands before it.
func TestBotRules(t *testing.T) {
	b := newBots(botList)
	order := map[string]int{}
	for i, name := range b.names {
		if _, twice := order[name]; twice {
			t.Errorf("rule %s stands twice in the list", name)
		}
		order[name] = i
	}
	for line := range strings.Lines(botList) {
		name, texts, ok := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		if !ok || name == "!" {
			continue
		}
		for text := range strings.SplitSeq(texts, "\t") {
			got := b.rule("Some " + strings.ToUpper(text) + " Thing")
			if got == "" || order[got] > order[name] {
				t.Errorf("%q is found by %q, want %q or a rule before it", text, got, name)
			}
		}
	}
}

// Every text of every expression of the list is found, as it is and where it may stand.
func TestCrawlers(t *testing.T) {
	b, n := newCrawlers(crawlerList), 0
	for line := range strings.Lines(crawlerList) {
		if line = strings.TrimRight(line, "\n"); line[0] == '#' {
			continue
		}
		parsed, err := syntax.Parse(line, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		pattern := regexp.MustCompile(line)
		for _, text := range textsOf(parsed) {
			n++
			userAgent := "Some " + text + " Thing"
			userAgent = userAgent[strings.LastIndex(userAgent, begins)+1:]
			userAgent, _, _ = strings.Cut(userAgent, ends)
			if !pattern.MatchString(userAgent) || b.rule(userAgent) == "" {
				t.Errorf("%q: rule %q, pattern %v", userAgent, b.rule(userAgent), pattern)
			}
		}
	}
	if n < 1500 {
		t.Errorf("%d texts", n)
	}
	for _, userAgent := range []string{
		"Some curl/8", "x", "", "Mozilla/5.0 SSL Labs 2",
		"Mozilla/5.0 (Linux; Android 14; SM-T970) AppleWebKit/537.36 (KHTML, like Gecko) " +
			"Silk/120.4.1 like Chrome/120.0.6099.230 Safari/537.36",
	} {
		if rule := b.rule(userAgent); rule != "" {
			t.Errorf("%q is called %s", userAgent, rule)
		}
	}
}

func TestTextsOf(t *testing.T) {
	for pattern, want := range map[string][]string{
		`a\/b`: {"a/b"}, `^a$`: {"\x01a\x02"}, `[wW]get`: {"wget", "Wget"}, `(^| )a`: {"\x01a", " a"},
		`a(b|cd)`: {"ab", "acd"}, `a.*b`: nil, `a[^b]`: nil, `a([^b]|$)`: nil, `a[0-4]`: {"a0", "a1", "a2", "a3", "a4"}, `a?`: nil,
	} {
		parsed, err := syntax.Parse(pattern, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		if got := textsOf(parsed); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
}

// The automaton says what a search for every text, one after the other, would.
func FuzzBotRule(f *testing.F) {
	f.Add("Mozilla/5.0 (compatible; Googlebot/2.1)")
	f.Add("cubot bot")
	f.Add("ahrefsahrefsbot")
	b := newBots(botList)
	f.Fuzz(func(t *testing.T, userAgent string) {
		if got, want := b.rule(userAgent), slowRule(userAgent); got != want {
			t.Errorf("%q: got %q, want %q", userAgent, got, want)
		}
	})
}

func slowRule(userAgent string) string {
	lower := strings.ToLower(userAgent)
	for line := range strings.Lines(botList) {
		name, texts, ok := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		switch {
		case !ok:
			continue
		case name == "!": // before all others
			lower = strings.ReplaceAll(lower, texts, "\x00")
			continue
		}
		for text := range strings.SplitSeq(texts, "\t") {
			if strings.Contains(lower, text) {
				return name
			}
		}
	}
	return ""
}

func TestAgentsAreBounded(t *testing.T) {
	a := newAgents()
	var all sync.WaitGroup
	for worker := range 2 {
		all.Go(func() {
			for i := range 3 * agentsKept {
				a.lookup(fmt.Sprintf("visitor %d of %d", i, worker))
				if a.lookup("Googlebot/2.1").BotRule != "googlebot" {
					t.Error("a bot in steady use was forgotten")
				}
			}
		})
	}
	all.Wait()
	if n := len(a.young) + len(a.old); n > 2*agentsKept {
		t.Errorf("%d user agents are kept, want at most %d", n, 2*agentsKept)
	}
}

func BenchmarkEnrich(b *testing.B) {
	e := New(nil)
	address := ParseAddress("198.51.100.77:4711")
	beacon := &schemas.Beacon{
		Url:      "https://acme.example/pricing?utm_source=news&utm_medium=email&utm_campaign=may",
		Referrer: "https://www.google.com/",
		UserAgent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) " +
			"Chrome/126.0.0.0 Safari/537.36",
	}
	b.ReportAllocs()
	for b.Loop() {
		e.Enrich(beacon, "", address, nil)
	}
}

func BenchmarkBotRule(b *testing.B) {
	bots := newBots(botList)
	const people = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 " +
		"(KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
	b.ReportAllocs()
	for b.Loop() {
		if bots.rule(people) != "" {
			b.Fatal("a person is called a bot")
		}
	}
}
