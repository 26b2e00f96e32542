package lake_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/prometheus/client_golang/prometheus"

	"crumbtrail/internal/duck"
	"crumbtrail/lake"
	"crumbtrail/schemas"
)

// TestMain lets this test binary be the child that queries run in.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == duck.ChildCommand {
		os.Exit(duck.Main(os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// world is a lake that runs over topics in memory.
type world struct {
	t    *testing.T
	dir  string
	log  *lake.Log
	lake *lake.Lake
	stop func()
	// rewriter compacts where compact is true: after each drain, all days.
	rewriter lake.Rewriter
	compact  bool
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: t.TempDir(), log: lake.NewLog(2), rewriter: lake.RewriterOf(t)}
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *world) start() {
	w.t.Helper()
	l, err := lake.Open(w.t.Context(), lake.Config{
		Dir: w.dir, Flush: time.Hour, Rewriter: w.rewriter,
	}, w.log,
		duck.Catalog{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	w.lake = l
	w.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	}
}

func (w *world) drain() {
	w.t.Helper()
	if err := w.lake.Drain(w.t.Context(), w.log.AllEnds()); err != nil {
		w.t.Fatal(err)
	}
	if w.compact {
		if err := w.lake.Compact(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) query(sql, format string) string {
	w.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	var out bytes.Buffer
	query := duck.Query{Database: filepath.Join(w.dir, "lake.duckdb"), SQL: sql}
	if err := (duck.Child{Exe: exe}).Format(w.t.Context(), query, format, &out); err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	return out.String()
}

// instant reads day/hh:mm:ss as a moment of January 2026, in microseconds; never is one that no
// test lives to see.
func instant(t *testing.T, s string) int64 {
	if s == "never" {
		return time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	}
	at, err := time.Parse("2/15:04:05", s)
	if err != nil {
		t.Fatal(err)
	}
	return time.Date(2026, 1, at.Day(), at.Hour(), at.Minute(), at.Second(), 0, time.UTC).UnixMicro()
}

// TestViews runs the stories of testdata/views over the real catalog: each line of "put" is a
// record, as its topic and field=value. That days are compacted changes no answer.
func TestViews(t *testing.T) {
	t.Run("as written", func(t *testing.T) { tellViews(t, false) })
	t.Run("compacted", func(t *testing.T) { tellViews(t, true) })
}

func tellViews(t *testing.T, compact bool) {
	datadriven.Walk(t, "testdata/views", func(t *testing.T, path string) {
		w := newWorld(t)
		w.compact = compact
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			w.t = t
			switch d.Cmd {
			case "put":
				for line := range strings.Lines(d.Input) {
					w.put(strings.Fields(line))
				}
				w.drain()
				return ""
			case "restart":
				w.stop()
				w.start()
				return ""
			default:
				return w.query(d.Input, d.Cmd)
			}
		})
	})
}

// fields are a record of a story.
type fields map[string]string

func (w *world) put(words []string) {
	w.t.Helper()
	f := fields{}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		f[name] = value
	}
	at := func(name string) int64 {
		if f[name] == "" {
			return 0
		}
		return instant(w.t, f[name])
	}
	n := func(name string) int64 {
		v, _ := strconv.ParseInt(f[name], 10, 64)
		return v
	}
	partition := int(n("partition"))
	site := f["site"]
	if site == "" {
		site = "acme"
	}
	switch words[0] {
	case "beacon":
		kind, _ := schemas.ParseBeaconType(f["type"])
		beacon := &schemas.Beacon{
			EventId: f["id"], Site: site, VisitorId: f["visitor"], Type: kind,
			Consent:      consent(f["consent"]),
			ReceivedAtUs: at("at"), OccurredAtUs: at("at"), Url: f["url"], Props: []byte(f["props"]),
			Campaign: &schemas.Campaign{Source: f["source"]},
			Agent:    &schemas.Agent{BotRule: f["bot"]},

			ConsentChoice: schemas.ConsentChoice(n("choice")), ConsentAtUs: at("said"),
			ConsentSource: schemas.ConsentSource(n("by")), Gpc: f["gpc"] != "",
			TcSha256: f["tc"], TcfPurposes: uint32(n("purposes")),

			Link: f["link"], Recipient: f["recipient"], Protocol: f["protocol"],
			EngagedMs: int32(n("engaged")),
		}
		w.log.Append(schemas.Beacons, partition, &schemas.BeaconRecord{
			Entry: &schemas.BeaconRecord_Beacon{Beacon: beacon},
		})
	case "tick":
		tick := &schemas.Tick{Collector: "c", ClockUs: at("at")}
		w.log.Append(schemas.Beacons, partition, &schemas.BeaconRecord{
			Entry: &schemas.BeaconRecord_Tick{Tick: tick},
		})
	case "visit":
		w.log.Append(schemas.Visits, partition, &schemas.Visit{
			VisitId: f["id"], Site: site, VisitorId: f["visitor"], StartedAtUs: at("from"),
			EndedAtUs: at("to"), Beacons: n("beacons"), Duplicates: n("duplicates"),
			PageViews: n("views"), EngagedMs: n("engaged"),
			Channel: f["channel"], EntryUrl: f["url"], ExitUrl: f["exit"], Late: f["late"] != "",
			Campaign: &schemas.Campaign{Source: f["source"]}, Consent: consent(f["consent"]),
			RebuildId: f["rebuild"], Gone: f["gone"] != "",
			FirstEventId: f["first"], LastEventId: f["last"], LastOffset: n("offset"),
			InputPartition: int32(partition),
			Agent:          &schemas.Agent{Browser: f["browser"], Os: f["os"], BotRule: f["bot"]},
		})
	case "rebuilt":
		w.log.Append(schemas.Visits, partition, &schemas.Visit{
			RebuildId: f["id"], Rebuild: &schemas.Rebuild{
				RebuiltAtUs: at("at"), FromDay: "2026-01-01", ToDay: "2026-01-02", VisitsAfter: 3,
			},
		})
	case "score":
		w.log.Append(schemas.Scores, partition, &schemas.Score{
			Model: f["model"], Version: 1, SubjectType: "contact", SubjectId: f["subject"],
			AsOfUs: at("asof"), RunId: f["run"], RunAtUs: at("at"), Grade: f["grade"],
			ScoreHundredths: n("hundredths"),
			Contributions: []*schemas.Contribution{
				{Rule: "pricing", EventId: "e1", PointsMicros: n("hundredths")*10_000 + 1},
				{Rule: "round", PointsMicros: -1},
			},
		})
	case "bad":
		w.log.Append(schemas.BadBeacons, partition, &schemas.BadBeacon{
			BadBeaconId: f["id"], ReceivedAtUs: at("at"), Reason: f["reason"], Raw: []byte(f["raw"]),
			Context: &schemas.BadContext{Origin: f["origin"]},
		})
	case "garbage":
		w.log.AppendRaw(schemas.Topic(f["topic"]), partition, []byte{0xff, 0xfe, 'x'})
	default:
		w.putPeople(words[0], site, f, at, n)
	}
}

// putPeople puts a record that the resolver reads or writes.
func (w *world) putPeople(
	kind, site string, f fields, at func(string) int64, n func(string) int64,
) {
	w.t.Helper()
	real := func(name string) float64 {
		v, _ := strconv.ParseFloat(f[name], 64)
		return v
	}
	switch kind {
	case "identity":
		w.log.Append(schemas.Identities, 0, &schemas.Identity{
			Site: site, VisitorId: f["visitor"], ContactId: f["contact"], ValidFromUs: at("from"),
			LinkedAtUs: at("at"), Evidence: "form", SubmissionId: f["submission"],
			RecordId: f["record"],
		})
	case "contact":
		w.log.Append(schemas.Contacts, 0, &schemas.Contact{
			ContactId: f["id"], Version: n("version"), Email: f["email"], CreatedAtUs: at("at"),
			UpdatedAtUs: at("at"), MergedInto: f["into"], Records: n("records"),
		})
	case "submission":
		w.log.Append(schemas.Submissions, 0, &schemas.Submission{
			SubmissionId: f["id"], Site: site, VisitorId: f["visitor"], OccurredAtUs: at("at"),
			Email: f["email"], Fields: []byte(`{"a":1}`),
			Kind: schemas.SubmissionKind_SUBMISSION_KIND_FORM, ConfirmUntilUs: at("until"),
			Confirms: f["confirms"], SpamRule: f["spam"], Consents: consents(f["purpose"]),
		})
	case "decision":
		w.log.Append(schemas.Decisions, 0, &schemas.Decision{
			SubmissionId: f["submission"], Site: strings.Trim(site, "-"), VisitorId: f["visitor"],
			ContactId: f["contact"], RecordId: f["record"], DecidedAtUs: at("at"), By: f["by"],
			Merged: strings.Fields(f["merged"]), Parted: strings.Fields(f["parted"]),
			RunnersUp: candidates(f["next"]), Evidence: evidence(f["agrees"]), Weight: real("weight"),
			Outcome: schemas.Outcome(cmp.Or(schemas.Outcome_value["OUTCOME_"+f["outcome"]],
				int32(schemas.Outcome_OUTCOME_CREATED))),
		})
	case "record":
		w.log.Append(schemas.Records, 0, &schemas.Record{
			RecordId: f["id"], Number: n("number"), Email: f["email"], Submissions: 1,
			FirstSubmissionId: f["submission"], LastSubmissionId: f["submission"],
			FirstAtUs: at("at"), LastAtUs: at("at"), Site: site,
		})
	case "edge":
		w.log.Append(schemas.Edges, 0, &schemas.Edge{
			Left: f["left"], Right: f["right"], Weight: real("weight"),
			Verdict:     schemas.EdgeVerdict(schemas.EdgeVerdict_value["EDGE_VERDICT_"+f["verdict"]]),
			Probability: real("p"), Evidence: f["by"], DecidedAtUs: at("at"),
			SubmissionId: f["submission"], Refused: f["refused"],
		})
	case "alias":
		w.log.Append(schemas.Aliases, 0, &schemas.Alias{
			ContactId: f["id"], CurrentContactId: f["is"], SinceUs: at("at"),
			SubmissionId: f["submission"],
		})
	case "review":
		w.log.Append(schemas.Submissions, 0, &schemas.Submission{
			SubmissionId: f["id"], ReceivedAtUs: at("at"),
			Kind: schemas.SubmissionKind_SUBMISSION_KIND_REVIEW,
			Review: &schemas.Review{
				Verdict: schemas.Verdict(schemas.Verdict_value["VERDICT_"+f["verdict"]]),
				Left:    f["left"], Right: f["right"], Withdraws: f["withdraws"], By: f["by"],
				Note: f["note"], Records: strings.FieldsFunc(f["records"],
					func(r rune) bool { return r == ',' }),
			},
		})
	default:
		w.putHandoff(kind, f, at, n)
	}
}

// putHandoff puts a record of the topic of hand-offs.
func (w *world) putHandoff(kind string, f fields, at func(string) int64, n func(string) int64) {
	w.t.Helper()
	switch kind {
	case "handoff":
		w.log.Append(schemas.Handoffs, 0, &schemas.HandoffRecord{
			Entry: &schemas.HandoffRecord_Handoff{Handoff: &schemas.Handoff{
				HandoffId: f["id"], Model: f["model"], Version: 1, SubjectType: f["type"],
				SubjectId: f["subject"], EpisodeUs: at("episode"), AtUs: at("ready"),
				AsOfUs: at("asof"), RunAtUs: at("at"), ScoreHundredths: n("hundredths"),
				Reasons: []*schemas.HandoffReason{
					{Rule: "pricing", Events: 2, PointsMicros: n("hundredths") * 10_000},
				},
				Contact: &schemas.HandoffContact{Email: "ada@acme.example"},
			}},
		})
	case "delivery":
		w.log.Append(schemas.Handoffs, 0, &schemas.HandoffRecord{
			Entry: &schemas.HandoffRecord_Delivery{Delivery: &schemas.HandoffDelivery{
				HandoffId: f["id"], Webhook: f["webhook"], AtUs: at("at"), Attempts: n("attempts"),
				Outcome: schemas.DeliveryOutcome(n("outcome")), Status: int32(n("status")),
				Detail: f["detail"],
			}},
		})
	case "redelivery":
		w.log.Append(schemas.Handoffs, 0, &schemas.HandoffRecord{
			Entry: &schemas.HandoffRecord_Redelivery{Redelivery: &schemas.HandoffRedelivery{
				HandoffId: f["id"], Webhook: f["webhook"], AtUs: at("at"),
			}},
		})
	default:
		w.t.Fatalf("no record of kind %q", kind)
	}
}

func candidates(id string) []*schemas.Candidate {
	if id == "" {
		return nil
	}
	return []*schemas.Candidate{{ContactId: id, RecordId: id, Weight: 1.5, Reason: "older"}}
}

func evidence(attribute string) []*schemas.Evidence {
	if attribute == "" {
		return nil
	}
	return []*schemas.Evidence{{Attribute: attribute, Level: "exact", Weight: 8, Rarity: 2}}
}

// consents grant a purpose, and refuse another.
func consents(purpose string) []*schemas.PurposeConsent {
	if purpose == "" {
		return nil
	}
	return []*schemas.PurposeConsent{
		{Purpose: purpose, Granted: true, Field: `the "box"`}, {Purpose: "profiling", Field: "other"},
	}
}

// consent is identified where a line says nothing.
func consent(name string) schemas.Consent {
	if c, ok := schemas.ParseConsent(name); ok {
		return c
	}
	return schemas.Consent_CONSENT_IDENTIFIED
}
