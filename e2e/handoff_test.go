package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const leadModel = `model: lead
version: 1
subject: contact
score: {min: 0, max: 100}
rules:
  - {id: seen, on: page_view, points: 10, window: 5d}
sales_ready: {at: 30, rearm_below: 20, every: 1d}
`

// leads writes two weeks in which contacts become ready for sales twice: on the second day and on
// the 15th.
func leads(t *testing.T, contacts int) string {
	t.Helper()
	var lines strings.Builder
	encoder := json.NewEncoder(&lines)
	first := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	put := func(hours float64, id, visitor, kind, path string, props map[string]string) {
		at := first.Add(time.Duration(hours * float64(time.Hour)))
		if err := encoder.Encode(map[string]any{
			"id": id, "site": "acme", "visitor": visitor, "type": kind, "consent": "identified",
			"url": "https://acme.example" + path, "props": props,
			"created_at": at, "sent_at": at, "received_at": at,
		}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range contacts {
		put(float64(i)/10, fmt.Sprint("f", i), fmt.Sprint("v", i), "form_submit", "/demo",
			map[string]string{"form": "demo", "email": fmt.Sprintf("p%d@firm%d.example", i, i)})
	}
	for i := range 6 * contacts {
		put(float64(24+i/(3*contacts)*13*24)+float64(i)/1000, fmt.Sprint("p", i),
			fmt.Sprint("v", i%contacts), "page_view", "/pricing", nil)
	}
	return write(t, "leads.ndjson", lines.String())
}

// receiver is a webhook that may be away.
type receiver struct {
	t       *testing.T
	address string
	secret  []byte
	// before is asked what to do with a request before it is taken; nil where nothing is wrong.
	before func(id string) http.HandlerFunc

	mu     sync.Mutex
	server *httptest.Server
	// taken is what was taken, by id, and in order.
	taken map[string]string
	order []string
}

func (r *receiver) open() {
	r.t.Helper()
	listener, err := net.Listen("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: r}}
	server.Start()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.address, r.server = listener.Addr().String(), server
}

func (r *receiver) close() {
	r.mu.Lock()
	server := r.server
	r.mu.Unlock()
	server.CloseClientConnections()
	server.Close()
}

func (r *receiver) ServeHTTP(out http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	head := request.Header
	id := head.Get("webhook-id")
	mac := hmac.New(sha256.New, r.secret)
	fmt.Fprintf(mac, "%s.%s.%s", id, head.Get("webhook-timestamp"), body)
	signed := head.Get("webhook-signature") == "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))
	sent, err := strconv.ParseInt(head.Get("webhook-timestamp"), 10, 64)
	if age := time.Since(time.Unix(sent, 0)); !signed || err != nil || age.Abs() > patience {
		r.t.Errorf("%s is not signed, or at another time: %v", id, head)
	}
	r.mu.Lock()
	before := r.before
	r.mu.Unlock()
	if before != nil {
		if answer := before(id); answer != nil {
			answer(out, request)
			return
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if was, again := r.taken[id]; again && was != string(body) {
		r.t.Errorf("%s was first %s, and then %s", id, was, body)
	}
	r.taken[id] = string(body)
	r.order = append(r.order, id)
}

func (r *receiver) will(before func(id string) http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before = before
}

// ids are those that were taken.
func (r *receiver) ids() (ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range r.taken {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (r *receiver) requests() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.order)
}

// troubles answers the first request of each of so many hand-offs with one trouble after the other.
func troubles(elsewhere string) func(id string) http.HandlerFunc {
	list := []http.HandlerFunc{
		func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(http.StatusInternalServerError) },
		func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		func(out http.ResponseWriter, _ *http.Request) {
			out.Header().Set("Retry-After", "1")
			out.WriteHeader(http.StatusTooManyRequests)
		},
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		func(out http.ResponseWriter, r *http.Request) {
			http.Redirect(out, r, elsewhere, http.StatusTemporaryRedirect)
		},
	}
	var mu sync.Mutex
	met := map[string]bool{}
	return func(id string) http.HandlerFunc {
		mu.Lock()
		defer mu.Unlock()
		if met[id] || len(list) == 0 {
			return nil
		}
		met[id] = true
		answer := list[0]
		list = list[1:]
		return answer
	}
}

// A webhook that fails, does not answer, asks to be left alone, dies and comes back gets each
// hand-off, signed, under one id, though the program is killed again and again; and a past that is
// scored once more hands nobody off a second time.
func TestHandoffs(t *testing.T) {
	needThorough(t)
	const contacts = 20
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a redirect was followed")
	}))
	t.Cleanup(elsewhere.Close)
	r := &receiver{
		t: t, address: "127.0.0.1:0", secret: []byte("twenty-four bytes or more"),
		taken: map[string]string{},
	}
	r.open()
	t.Cleanup(func() { r.close() })
	data := filepath.Join(t.TempDir(), "data")
	config := write(t, "crumbtrail.yaml", quick+fmt.Sprintf(`
handoffs:
  webhooks:
    - name: crm
      url: "http://%s/leads"
      secret: whsec_%s
      contact: email
      timeout: 1s
      private: true
`, r.address, base64.StdEncoding.EncodeToString(r.secret)))
	models := filepath.Join(filepath.Dir(config), "models")
	if err := os.Mkdir(models, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(models, "lead.yaml"), []byte(leadModel), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, "replay", "--data", data, "--config", config, leads(t, contacts))
	if n := number(t, data, "SELECT count(*) FROM handoffs"); n != contacts {
		t.Fatalf("%d hand-offs, want one of each contact", n)
	}

	// Killed while the webhook holds the fourth request: it takes that, and nobody knows.
	reached, release := make(chan struct{}), make(chan struct{})
	hold := sync.OnceFunc(func() { close(reached); <-release })
	r.will(func(string) http.HandlerFunc {
		if r.requests() == 3 {
			hold()
		}
		return nil
	})
	s := up(t, data, config)
	select {
	case <-reached:
	case <-time.After(patience):
		t.Fatalf("four hand-offs did not come:\n%s", s.said())
	}
	s.kill()
	close(release)

	// All kinds of trouble, while the other half is handed off; then it dies, and the program too.
	r.will(troubles(elsewhere.URL))
	s = up(t, data, config)
	score := []string{"score", "--data", data, "--config", config, "--as-of", "2026-03-03T00:00:00Z"}
	must(t, score...)
	eventually(t, patience, "some hand-offs to be taken", func() bool {
		return len(r.ids()) >= contacts
	})
	r.close()
	eventually(t, patience, "word of the webhook", func() bool {
		must(t, score...)
		return len(r.ids()) == 2*contacts ||
			strings.Contains(pageAt(t, s.admin+"/readyz"), "webhook crm takes nothing")
	})
	s.kill()
	s = up(t, data, config)
	r.open()
	eventually(t, patience, "every hand-off to be taken", func() bool {
		return len(r.ids()) == 2*contacts
	})
	must(t, score...)
	must(t, "score", "--data", data, "--config", config, "--as-of", "2026-03-16T12:00:00Z")
	eventually(t, patience, "word of every delivery", func() bool {
		return number(t, data, "SELECT count(DISTINCT handoff_id) FROM handoff_deliveries "+
			"WHERE webhook = 'crm' AND outcome = 'delivered'") == 2*contacts
	})
	if page := pageAt(t, s.admin+"/readyz"); strings.Contains(page, "crm") {
		t.Errorf("ready says %s", page)
	}
	s.stop()
	checkHandoffs(t, data, r, 2*contacts)
}

// checkHandoffs wants all hand-offs of the lake at the receiver: so many, two of each contact.
func checkHandoffs(t *testing.T, data string, r *receiver, n int) {
	t.Helper()
	var want []string
	for _, row := range rows(t, data, "SELECT handoff_id FROM handoffs ORDER BY 1") {
		want = append(want, row[0])
	}
	if diff := cmp.Diff(want, r.ids()); diff != "" {
		t.Errorf("handed off, and taken:\n%s", diff)
	}
	if got := number(t, data, "SELECT count(*) FROM files.handoffs"); got != n {
		t.Errorf("%d rows of hand-offs, want %d", got, n)
	}
	// A kill may have what was under way sent again, and no more.
	if again := r.requests() - n; again > 20 {
		t.Errorf("%d hand-offs were sent again", again)
	}
	for id, body := range r.taken {
		var m struct {
			Type string
			Data struct {
				HandoffID string `json:"handoff_id"`
				Contact   struct{ Email string }
				Score     float64
			}
		}
		if err := json.Unmarshal([]byte(body), &m); err != nil || m.Data.HandoffID != id ||
			m.Data.Score != 30 || !strings.Contains(m.Data.Contact.Email, "@firm") {
			t.Errorf("%s says %s (%v)", id, body, err)
		}
	}
	episodes := rows(t, data, "SELECT contact_id, count(*), count(DISTINCT episode) FROM handoffs "+
		"GROUP BY 1 HAVING NOT (count(*) = 2 AND count(DISTINCT episode) = 2)")
	if len(episodes) > 0 {
		t.Errorf("not two episodes each: %v", episodes)
	}
}
