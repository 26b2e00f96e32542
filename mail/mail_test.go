package mail

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"crumbtrail/internal/kafka"
	"crumbtrail/internal/stage"
	"crumbtrail/internal/token"
	"crumbtrail/internal/waiting"
	"crumbtrail/schemas"
)

// world is a broker and a mail server.
type world struct {
	t        *testing.T
	client   *kafka.Client
	producer *kafka.Producer
	office   *office
	keys     *token.Keys
	log      bytes.Buffer
	cfg      Config
	cluster  stage.Cluster
}

func newWorld(t *testing.T) *world {
	broker, err := kafka.Embedded(kafka.EmbeddedConfig{
		Dir: filepath.Join(t.TempDir(), "broker"), LazySync: true, MinSession: 100 * time.Millisecond,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	client, err := kafka.Dial(kafka.Config{Brokers: []string{broker.Addr()}, ClientID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	var specs []kafka.TopicSpec
	for _, topic := range []schemas.Topic{schemas.Submissions, schemas.Decisions, schemas.BadBeacons} {
		specs = append(specs, kafka.TopicSpec{Name: string(topic), Partitions: 1, Replication: 1})
	}
	if err := client.EnsureTopics(t.Context(), specs); err != nil {
		t.Fatal(err)
	}
	producer, err := client.NewProducer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, client: client, producer: producer, office: newOffice(t), keys: token.Draw(),
		cluster: stage.OnKafka(client),
	}
	w.cfg = Config{
		Server: w.office.address, TLS: TLSNone, From: "Acme <news@acme.example>",
		URL: "https://acme.example/e/", PerSecond: 1000, Keys: w.keys,
		PutOff:  waiting.Pauses{First: 50 * time.Millisecond, Most: time.Second},
		Away:    waiting.Pauses{First: 20 * time.Millisecond, Most: 200 * time.Millisecond},
		Session: 200 * time.Millisecond,
	}
	return w
}

// run starts a sender; stop ends it.
func (w *world) run() (s *Sender, stop func()) {
	w.t.Helper()
	log := slog.New(slog.NewTextHandler(&locked{to: &w.log}, nil))
	s, err := New(w.cfg, w.cluster, log, prometheus.NewRegistry())
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(stop)
	return s, stop
}

type locked struct {
	mu sync.Mutex
	to *bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(p)
}

// pend puts submissions that wait for their confirmation to the log, and decisions on them.
func (w *world) pend(list ...*schemas.Submission) {
	w.t.Helper()
	ends, err := w.client.Ends(w.t.Context(), string(schemas.Submissions))
	if err != nil {
		w.t.Fatal(err)
	}
	var submissions, decisions []kafka.Message
	for i, s := range list {
		submissions = append(submissions, w.message(schemas.Submissions, s))
		decisions = append(decisions, w.message(schemas.Decisions, &schemas.Decision{
			SubmissionId: s.SubmissionId, Site: s.Site, Outcome: schemas.Outcome_OUTCOME_PENDING,
			Mail: true, SubmissionOffset: ends[0] + int64(i),
		}))
	}
	for _, msgs := range [][]kafka.Message{submissions, decisions} {
		if err := w.producer.Produce(w.t.Context(), msgs); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) message(
	topic schemas.Topic, m interface{ MarshalVT() ([]byte, error) },
) kafka.Message {
	w.t.Helper()
	value, err := m.MarshalVT()
	if err != nil {
		w.t.Fatal(err)
	}
	return kafka.Message{Topic: string(topic), Partition: 0, Key: []byte("acme"), Value: value}
}

// unconfirmed is a submission that waits for an hour.
func unconfirmed(name string) *schemas.Submission {
	return &schemas.Submission{
		SubmissionId: name, Site: "acme", VisitorId: "v", Form: "news", Email: name + "@x.example",
		FirstName: "Free money", Company: "evil.example", Url: "https://evil.example/",
		Fields:         []byte(`{"a":"evil.example"}`),
		ConfirmUntilUs: time.Now().Add(time.Hour).UnixMicro(),
	}
}

// badBeacons are those on the topic, of which there is at least one.
func (w *world) badBeacons() (list []*schemas.BadBeacon) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	for len(list) == 0 {
		batch, err := w.client.Fetch(ctx, string(schemas.BadBeacons), 0, 0, kafka.FetchWait)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, r := range batch.Records {
			b := &schemas.BadBeacon{}
			if err := b.UnmarshalVT(r.Value); err != nil {
				w.t.Fatal(err)
			}
			list = append(list, b)
		}
	}
	return list
}

// valueOf is what a counter counts.
func valueOf(t *testing.T, c prometheus.Metric) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func idOf(name string) string {
	return "<" + schemas.ConfirmationID(unconfirmed(name)) + "@acme.example>"
}

func TestMailsGoOut(t *testing.T) {
	w := newWorld(t)
	w.cfg.Forms = []Form{
		{Name: "news", Subject: "Für alle"}, {
			Name: "news", Site: "acme", Text: "Hello <you> & co",
			From: "demo@acme.example",
		},
	}
	s, _ := w.run()
	spam := w.message(schemas.Decisions, &schemas.Decision{Outcome: schemas.Outcome_OUTCOME_SPAM})
	silent := w.message(schemas.Decisions, &schemas.Decision{Outcome: schemas.Outcome_OUTCOME_PENDING})
	garbage := kafka.Message{Topic: string(schemas.Decisions), Value: []byte{0xff}}
	if err := w.producer.Produce(t.Context(), []kafka.Message{spam, silent, garbage}); err != nil {
		t.Fatal(err)
	}
	ann := unconfirmed("ann")
	w.pend(ann)
	m := w.office.next()
	body, err := io.ReadAll(m.Body)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(strings.ReplaceAll(string(body), "=\r\n", ""), "=3D", "=")
	if m.Header.Get("To") != "<ann@x.example>" || m.Header.Get("From") != "<demo@acme.example>" ||
		m.Header.Get("Message-Id") != idOf("ann") || m.Header.Get("Subject") != defaultSubject ||
		m.Header.Get("Auto-Submitted") != "auto-generated" || m.Header.Get("Date") == "" {
		t.Errorf("header %v", m.Header)
	}
	links := regexp.MustCompile(`https://acme\.example/e/confirm\?t=([\w-]+)`).
		FindAllStringSubmatch(text, -1)
	if len(links) != 2 || links[0][1] != links[1][1] || !strings.Contains(text, "Hello <you> & co") ||
		!strings.Contains(text, "Hello &lt;you&gt; &amp; co") {
		t.Fatalf("body %s", text)
	}
	payload, err := w.keys.Open(schemas.ConfirmPurpose, links[0][1], time.Now())
	if err != nil {
		t.Fatal(err)
	}
	confirmation := &schemas.Submission{}
	if err := confirmation.UnmarshalVT(payload); err != nil ||
		confirmation.SubmissionId != schemas.ConfirmationID(ann) || confirmation.Confirms != "ann" {
		t.Errorf("confirmation %v, %v", confirmation, err)
	}
	// Whoever fills in a form must not be able to write to strangers.
	if strings.Contains(text, "evil") || strings.Contains(text, "money") {
		t.Errorf("body %s", text)
	}
	w.pend(unconfirmed("bob"))
	if w.office.next().Header.Get("Message-Id") != idOf("bob") {
		t.Error("another mail")
	}
	if n := len(w.office.taken); n != 0 || valueOf(t, s.metrics.refused) != 0 {
		t.Errorf("%d more mails", n)
	}
}

func TestAServerThatIsAway(t *testing.T) {
	w := newWorld(t)
	w.office.close()
	s, stop := w.run()
	w.pend(unconfirmed("ann"), unconfirmed("bob"))
	await(t, func() bool { return strings.Contains(s.Notice(), "2 mails wait") })
	stop()
	_, _ = w.run()
	w.office.open()
	got := map[string]bool{}
	for range 2 {
		got[w.office.next().Header.Get("Message-Id")] = true
	}
	if !got[idOf("ann")] || !got[idOf("bob")] {
		t.Errorf("mails %v", got)
	}
}

// await polls, with no sleep in between but the scheduler's, until a condition holds.
func await(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	ticks := time.NewTicker(5 * time.Millisecond)
	defer ticks.Stop()
	for !condition() {
		select {
		case <-ticks.C:
		case <-deadline:
			t.Fatal("it never came to that")
		}
	}
}

// Greylisting: the first tries are put off, and hold up nobody else.
func TestPutOff(t *testing.T) {
	w := newWorld(t)
	w.cfg.PutOff = waiting.Pauses{First: 300 * time.Millisecond, Most: time.Second}
	w.office.rcpt["ann@x.example"] = onceAfter(2, always(451, smtp.EnhancedCode{4, 7, 1}))
	w.office.data["bob@x.example"] = onceAfter(1, always(452, smtp.EnhancedCode{4, 2, 2}))
	s, _ := w.run()
	w.pend(unconfirmed("ann"), unconfirmed("bob"), unconfirmed("cid"))
	for _, name := range []string{"cid", "bob", "ann"} {
		if got := w.office.next().Header.Get("Message-Id"); got != idOf(name) {
			t.Errorf("%s came, want %s", got, idOf(name))
		}
	}
	if got := valueOf(t, s.metrics.putOff); got != 3 || s.Notice() != "" {
		t.Errorf("%v put off, notice %q", got, s.Notice())
	}
}

func TestRefused(t *testing.T) {
	w := newWorld(t)
	w.office.rcpt["ann@x.example"] = always(550, smtp.EnhancedCode{5, 1, 1})
	w.office.data["bob@x.example"] = always(554, smtp.EnhancedCode{5, 7, 1})
	s, _ := w.run()
	odd := unconfirmed("odd")
	odd.Email = "odd@x.example\r\nBcc: all@x.example"
	foreign := unconfirmed("foreign")
	foreign.Email = "ü@x.example"
	w.pend(unconfirmed("ann"), unconfirmed("bob"), odd, foreign, unconfirmed("cid"))
	if got := w.office.next().Header.Get("Message-Id"); got != idOf("cid") {
		t.Errorf("%s came", got)
	}
	await(t, func() bool { return valueOf(t, s.metrics.refused) == 4 })
	var list []*schemas.BadBeacon
	await(t, func() bool { list = w.badBeacons(); return len(list) == 4 })
	for i, want := range []string{
		"submission ann: 550 5.1.1", "submission bob: 554 5.7.1",
		"submission odd: no address of mail", "submission foreign: the server takes ASCII",
	} {
		b := list[i]
		if !strings.Contains(b.Detail, want) || strings.Contains(b.Detail, "@") ||
			b.Reason != reasonRefused || b.Site != "acme" || b.Protocol != "mail" || len(b.Raw) != 0 {
			t.Errorf("bad beacon %v, want %q", b, want)
		}
	}
	if n := w.office.tried("ann@x.example"); n != 1 {
		t.Errorf("%d tries of an address that is refused", n)
	}
	if log := w.log.String(); strings.Contains(log, "@x.example") {
		t.Errorf("an address in the log: %s", log)
	}
}

// A mail that breaks the server each time holds up no other.
func TestAMailThatHangs(t *testing.T) {
	w := newWorld(t)
	w.cfg.Timeout = 200 * time.Millisecond
	release := make(chan struct{})
	defer close(release)
	w.office.data["ann@x.example"] = func() error { <-release; return errLost }
	s, _ := w.run()
	w.pend(unconfirmed("ann"), unconfirmed("bob"), unconfirmed("cid"))
	got := map[string]bool{}
	for range 2 {
		got[w.office.next().Header.Get("Message-Id")] = true
	}
	if !got[idOf("bob")] || !got[idOf("cid")] {
		t.Errorf("mails %v", got)
	}
	await(t, func() bool { return valueOf(t, s.metrics.failures) > 0 })
}

// What about us is refused keeps every mail: the next try may be of a mended configuration.
func TestASenderThatIsRefused(t *testing.T) {
	w := newWorld(t)
	w.office.rcpt["ann@x.example"] = onceAfter(3, always(530, smtp.EnhancedCode{5, 7, 0}))
	s, _ := w.run()
	w.pend(unconfirmed("ann"))
	if got := w.office.next().Header.Get("Message-Id"); got != idOf("ann") {
		t.Errorf("%s came", got)
	}
	if valueOf(t, s.metrics.refused) != 0 || valueOf(t, s.metrics.failures) != 3 {
		t.Error("it counts as refused")
	}
}

// unlucky is a cluster whose first commits have no known outcome.
type unlucky struct {
	stage.Cluster
	mu   sync.Mutex
	left int
}

func (u *unlucky) Transactional(
	ctx context.Context, id string, reach kafka.Reach,
) (stage.Transactional, error) {
	tx, err := u.Cluster.Transactional(ctx, id, reach)
	return &unluckyTx{u, tx}, err
}

type unluckyTx struct {
	*unlucky
	tx stage.Transactional
}

func (u *unluckyTx) Commit(ctx context.Context, c kafka.Commit) error {
	u.mu.Lock()
	u.left--
	left := u.left
	u.mu.Unlock()
	if left >= 0 {
		return fmt.Errorf("commit: %w", io.ErrUnexpectedEOF)
	}
	return u.tx.Commit(ctx, c)
}

// Whatever ends a sender between a mail and its commit, the mail goes out, again under the same id.
func TestAtLeastOnce(t *testing.T) {
	w := newWorld(t)
	w.cluster = &unlucky{Cluster: w.cluster, left: 2}
	_, stop := w.run()
	w.pend(unconfirmed("ann"))
	for range 3 {
		if got := w.office.next().Header.Get("Message-Id"); got != idOf("ann") {
			t.Errorf("%s came", got)
		}
	}
	stop() // commits
	_, stop = w.run()
	defer stop()
	w.pend(unconfirmed("bob"))
	if got := w.office.next().Header.Get("Message-Id"); got != idOf("bob") {
		t.Errorf("%s came, and was there before", got)
	}
}

// What is put off is remembered by the next sender; what was sent meanwhile is not sent again.
func TestWhatWaitsIsHandedOver(t *testing.T) {
	w := newWorld(t)
	w.office.rcpt["ann@x.example"] = always(450, smtp.EnhancedCode{4, 2, 0})
	_, stop := w.run()
	gone := unconfirmed("gone")
	gone.ConfirmUntilUs = time.Now().Add(-time.Second).UnixMicro()
	w.pend(unconfirmed("ann"), unconfirmed("bob"), gone)
	w.office.next()
	await(t, func() bool { return w.office.tried("ann@x.example") > 0 })
	stop()
	w.office.mu.Lock()
	delete(w.office.rcpt, "ann@x.example")
	w.office.mu.Unlock()
	s, _ := w.run()
	if got := w.office.next().Header.Get("Message-Id"); got != idOf("ann") {
		t.Errorf("%s came", got)
	}
	w.pend(unconfirmed("cid"))
	if got := w.office.next().Header.Get("Message-Id"); got != idOf("cid") {
		t.Errorf("%s came", got)
	}
	await(t, func() bool { return valueOf(t, s.metrics.sent) == 2 })
	if n := w.office.tried("bob@x.example") + w.office.tried("gone@x.example"); n != 1 {
		t.Errorf("%d tries of what was sent, or expired", n)
	}
}

// Two senders: one works, and the other takes over.
func TestStandby(t *testing.T) {
	w := newWorld(t)
	_, stop := w.run()
	w.pend(unconfirmed("ann"))
	w.office.next()
	_, _ = w.run()
	stop()
	w.pend(unconfirmed("bob"))
	if got := w.office.next().Header.Get("Message-Id"); got != idOf("bob") {
		t.Errorf("%s came", got)
	}
	if n := len(w.office.taken); n != 0 {
		t.Errorf("%d more mails", n)
	}
}

// A mail that expires while the server is away is not sent.
func TestExpiredMails(t *testing.T) {
	w := newWorld(t)
	w.office.close()
	s, _ := w.run()
	soon := unconfirmed("soon")
	soon.ConfirmUntilUs = time.Now().Add(300 * time.Millisecond).UnixMicro()
	w.pend(soon, unconfirmed("ann"))
	await(t, func() bool { return valueOf(t, s.metrics.expired) == 1 })
	w.office.open()
	if got := w.office.next().Header.Get("Message-Id"); got != idOf("ann") {
		t.Errorf("%s came", got)
	}
}

func TestMoreThanFitsWaits(t *testing.T) {
	w := newWorld(t)
	w.office.close()
	s, _ := w.run()
	const all = waiting.Most + 100
	var list []*schemas.Submission
	for i := range all {
		list = append(list, unconfirmed(fmt.Sprintf("p%d", i)))
	}
	w.pend(list...)
	await(t, func() bool {
		return strings.Contains(s.Notice(), fmt.Sprintf("%d mails", waiting.Most))
	})
	w.office.open()
	got := map[string]bool{}
	for range all {
		got[w.office.next().Header.Get("Message-Id")] = true
	}
	if len(got) != all {
		t.Errorf("%d mails, want %d", len(got), all)
	}
}
