package lake

import (
	"math/bits"
	"strconv"

	"crumbtrail/schemas"
)

// place is where in its topic a row comes from.
type place struct {
	partition int32
	offset    int64
}

type beaconRow struct {
	*schemas.Beacon
	place
	url urlParts
}

type visitRow struct {
	*schemas.Visit
	place
}

type submissionRow struct {
	*schemas.Submission
	place
}

type recordRow struct {
	*schemas.Record
	place
}

type edgeRow struct {
	*schemas.Edge
	place
}

type aliasRow struct {
	*schemas.Alias
	place
}

type contactRow struct {
	*schemas.Contact
	place
}

type identityRow struct {
	*schemas.Identity
	place
}

type decisionRow struct {
	*schemas.Decision
	place
}

type badBeaconRow struct {
	*schemas.BadBeacon
	place
	topic schemas.Topic
}

type scoreRow struct {
	*schemas.Score
	place
}

type scoreRunRow struct {
	*schemas.Score
	place
}

type handoffRow struct {
	*schemas.Handoff
	place
}

type deliveryRow struct {
	*schemas.HandoffDelivery
	place
}

type explanationRow struct {
	*schemas.Score
	*schemas.Contribution
	place
	ordinal int32
}

type erasureRow struct {
	*schemas.Erasure
	place
}

const (
	partitionDoc = "Partition of the topic that the row came from."
	offsetDoc    = "Offset in that partition."
)

// The tables. A column keeps its id for good; new columns go to the end with the next id, and a
// column that is no longer filled keeps its row here.

func beaconsTable() *rowTable[beaconRow] {
	type row = beaconRow
	return define(
		"beacons", "Every beacon once: one event of one visitor on one site.",
		unique(keyText(1, "event_id", "The sender's id of the event, or a UUIDv7 made at the edge.", func(r *row) string { return r.EventId })),
		keyText(2, "site", "Key of the site.", func(r *row) string { return r.Site }),
		text(3, "visitor_id", "The browser on that site; NULL without consent to visits.", func(r *row) string { return r.VisitorId }),
		text(4, "type", "page_view, ping, link_click, form_submit, custom or request.", func(r *row) string { return r.Type.Name() }),
		dated(keyInstant(5, "occurred_at", "When it happened: the client's clock, corrected by its own offset and clamped.", func(r *row) int64 { return r.OccurredAtUs })),
		keyInstant(6, "received_at", "The collector's clock when it came in.", func(r *row) int64 { return r.ReceivedAtUs }),
		instant(7, "created_at", "When it happened by the client's clock.", func(r *row) int64 { return r.CreatedAtUs }),
		instant(8, "sent_at", "When it was sent by the client's clock.", func(r *row) int64 { return r.SentAtUs }),
		text(9, "url", "Address of the page.", func(r *row) string { return r.Url }),
		text(10, "url_host", "Host of the address, lower case, without the port.", func(r *row) string { return r.url.host }),
		text(11, "url_path", "Path of the address.", func(r *row) string { return r.url.path }),
		text(12, "url_query", "What follows the question mark in the address.", func(r *row) string { return r.url.query }),
		text(13, "referrer", "The page before, as the browser tells it.", func(r *row) string { return r.Referrer }),
		text(14, "title", "Title of the page.", func(r *row) string { return r.Title }),
		text(15, "utm_source", "Campaign parameter utm_source of the address.", func(r *row) string { return r.GetCampaign().GetSource() }),
		text(16, "utm_medium", "Campaign parameter utm_medium.", func(r *row) string { return r.GetCampaign().GetMedium() }),
		text(17, "utm_campaign", "Campaign parameter utm_campaign.", func(r *row) string { return r.GetCampaign().GetName() }),
		text(18, "utm_term", "Campaign parameter utm_term.", func(r *row) string { return r.GetCampaign().GetTerm() }),
		text(19, "utm_content", "Campaign parameter utm_content.", func(r *row) string { return r.GetCampaign().GetContent() }),
		text(20, "channel", "What led here: direct, internal, search, social, email, referral, paid or campaign.", func(r *row) string { return r.Channel }),
		text(21, "device", "desktop, mobile, tablet, tv or bot.", func(r *row) string { return r.GetAgent().GetDevice() }),
		text(22, "browser", "Name of the browser.", func(r *row) string { return r.GetAgent().GetBrowser() }),
		text(23, "os", "Name of the operating system.", func(r *row) string { return r.GetAgent().GetOs() }),
		text(24, "country", "Country of the address, ISO 3166-1 alpha-2.", func(r *row) string { return r.GetAgent().GetCountry() }),
		text(25, "language", "The language that the browser asks for first.", func(r *row) string { return r.GetAgent().GetLanguage() }),
		text(26, "consent", "none (counted only), statistical (visits, no people) or identified.", func(r *row) string { return r.Consent.Name() }),
		boolean(27, "is_bot", "True where a rule calls the client a bot.", func(r *row) bool { return r.GetAgent().GetBotRule() != "" }),
		text(28, "bot_rule", "Name of that rule.", func(r *row) string { return r.GetAgent().GetBotRule() }),
		bigint(29, "engaged_ms", "Milliseconds that the page was in sight and in use since the last ping.", func(r *row) int64 { return int64(r.EngagedMs) }),
		jsonText(30, "props", "The sender's own properties.", func(r *row) []byte { return r.Props }),
		text(31, "protocol", "How it came in: native, pixel, form, combined, snowplow, segment, link or open.", func(r *row) string { return r.Protocol }),
		text(32, "collector", "Which collector took it.", func(r *row) string { return r.Collector }),
		boolean(33, "clamped", "True where the client's clock was out of range, so that occurred_at was clamped.", func(r *row) bool { return r.Clamped }),
		text(34, "user_agent", "The browser's name of itself.", func(r *row) string { return r.UserAgent }),
		text(35, "ip", "Address of the client, truncated.", func(r *row) string { return r.Ip }),
		key(integer(36, "topic_partition", partitionDoc, func(r *row) int32 { return r.partition })),
		unique(key(bigint(37, "topic_offset", offsetDoc, func(r *row) int64 { return r.offset }))),
		text(38, "consent_choice", "What the visitor had said: granted, statistical (analytics alone), refused or withdrawn; NULL: nothing.", func(r *row) string { return r.ConsentChoice.Name() }),
		text(39, "consent_source", "What decided the consent: site (its setting), api, tcf, gpp, gcm, gpc, dnt or client (who asked for less).", func(r *row) string { return r.ConsentSource.Name() }),
		instant(40, "consent_at", "When the visitor said it.", func(r *row) int64 { return r.ConsentAtUs }),
		boolean(41, "gpc", "True where the browser sent Global Privacy Control.", func(r *row) bool { return r.Gpc }),
		text(42, "tc_sha256", "SHA-256 of the IAB TC string that the choice rests on.", func(r *row) string { return r.TcSha256 }),
		text(43, "tcf_purposes", "IAB TCF purposes that it consents to, as 1,7,8.", func(r *row) string { return purposeList(r.TcfPurposes) }),
		text(44, "link", "Name of the redirect that was followed.", func(r *row) string { return r.Link }),
		text(45, "recipient", "The contact that a signed link or pixel was made for.", func(r *row) string { return r.Recipient }),
		text(46, "referring_visitor_id", "Who it was on the site that led here, by Snowplow's cross-domain links.", func(r *row) string { return r.ReferringVisitorId }),
		instant(47, "referring_visitor_at", "When that site said so, by the client's clock.", func(r *row) int64 { return r.ReferringVisitorAtUs }),
	)
}

// purposeList writes the numbers of the bits that are set, counted from 1.
func purposeList(set uint32) string {
	var out []byte
	for ; set != 0; set &= set - 1 {
		if len(out) > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendInt(out, int64(bits.TrailingZeros32(set)+1), 10)
	}
	return string(out)
}

func visitsTable() *rowTable[visitRow] {
	type row = visitRow
	return define(
		"visits", "Every visit: all beacons of one visitor on one site without a gap longer than the site's; each version of it.",
		unique(keyText(1, "visit_id", "UUIDv5 of site, visitor, first moment and first event; of a late visit, also of its wait.", func(r *row) string { return r.VisitId })),
		keyText(2, "site", "Key of the site.", func(r *row) string { return r.Site }),
		keyText(3, "visitor_id", "The browser on that site.", func(r *row) string { return r.VisitorId }),
		dated(keyInstant(4, "started_at", "When its first beacon happened.", func(r *row) int64 { return r.StartedAtUs })),
		keyInstant(5, "ended_at", "When its last beacon happened.", func(r *row) int64 { return r.EndedAtUs }),
		bigint(6, "beacons", "How many beacons it has, without duplicates.", func(r *row) int64 { return r.Visit.Beacons }),
		bigint(7, "duplicates", "How many beacons came again.", func(r *row) int64 { return r.Duplicates }),
		bigint(8, "page_views", "Beacons of type page_view.", func(r *row) int64 { return r.PageViews }),
		bigint(9, "pings", "Beacons of type ping.", func(r *row) int64 { return r.Pings }),
		bigint(10, "link_clicks", "Beacons of type link_click.", func(r *row) int64 { return r.LinkClicks }),
		bigint(11, "form_submits", "Beacons of type form_submit.", func(r *row) int64 { return r.FormSubmits }),
		bigint(12, "customs", "Beacons of type custom.", func(r *row) int64 { return r.Customs }),
		bigint(13, "requests", "Beacons of type request.", func(r *row) int64 { return r.Requests }),
		bigint(14, "engaged_ms", "Milliseconds that its pages were in sight and in use.", func(r *row) int64 { return r.EngagedMs }),
		text(15, "entry_url", "Address of its first page.", func(r *row) string { return r.EntryUrl }),
		text(16, "exit_url", "Address of its last page.", func(r *row) string { return r.ExitUrl }),
		text(17, "referrer", "The page that led to it.", func(r *row) string { return r.Referrer }),
		text(18, "channel", "What led to it: direct, internal, search, social, email, referral, paid or campaign.", func(r *row) string { return r.Channel }),
		text(19, "utm_source", "Campaign parameter utm_source of its entry.", func(r *row) string { return r.GetCampaign().GetSource() }),
		text(20, "utm_medium", "Campaign parameter utm_medium.", func(r *row) string { return r.GetCampaign().GetMedium() }),
		text(21, "utm_campaign", "Campaign parameter utm_campaign.", func(r *row) string { return r.GetCampaign().GetName() }),
		text(22, "utm_term", "Campaign parameter utm_term.", func(r *row) string { return r.GetCampaign().GetTerm() }),
		text(23, "utm_content", "Campaign parameter utm_content.", func(r *row) string { return r.GetCampaign().GetContent() }),
		text(24, "device", "desktop, mobile, tablet, tv or bot.", func(r *row) string { return r.GetAgent().GetDevice() }),
		text(25, "browser", "Name of the browser.", func(r *row) string { return r.GetAgent().GetBrowser() }),
		text(26, "os", "Name of the operating system.", func(r *row) string { return r.GetAgent().GetOs() }),
		text(27, "country", "Country of the address, ISO 3166-1 alpha-2.", func(r *row) string { return r.GetAgent().GetCountry() }),
		text(28, "language", "The language that the browser asks for first.", func(r *row) string { return r.GetAgent().GetLanguage() }),
		boolean(29, "is_bot", "True where a rule calls the client a bot.", func(r *row) bool { return r.GetAgent().GetBotRule() != "" }),
		text(30, "bot_rule", "Name of that rule.", func(r *row) string { return r.GetAgent().GetBotRule() }),
		text(31, "consent", "The least consent of its beacons: statistical or identified.", func(r *row) string { return r.Consent.Name() }),
		boolean(32, "late", "True where its beacons came after their time had been closed.", func(r *row) bool { return r.Late }),
		text(33, "start_reason", "Why it began: first_beacon, gap, max_visit, max_beacons, campaign, midnight or late.", func(r *row) string { return r.StartReason }),
		text(34, "end_reason", "Why it ended: gap, max_visit, max_beacons, campaign, midnight, flush or linger.", func(r *row) string { return r.EndReason }),
		unique(text(35, "first_event_id", "Event id of its first beacon.", func(r *row) string { return r.FirstEventId })),
		unique(text(36, "last_event_id", "Event id of its last beacon.", func(r *row) string { return r.LastEventId })),
		integer(37, "input_partition", "Partition of the topic of beacons that it was made from.", func(r *row) int32 { return r.InputPartition }),
		bigint(38, "last_offset", "Offset there of the last beacon in it.", func(r *row) int64 { return r.LastOffset }),
		key(integer(39, "topic_partition", partitionDoc, func(r *row) int32 { return r.partition })),
		unique(key(bigint(40, "topic_offset", offsetDoc, func(r *row) int64 { return r.offset }))),
		text(41, "rebuild_id", "The rebuild that made it; NULL: the sessionizer did.", func(r *row) string { return r.RebuildId }),
		boolean(42, "gone", "True where that rebuild found that there is no such visit.", func(r *row) bool { return r.Visit.Gone }),
	)
}

func rebuildsTable() *rowTable[visitRow] {
	type row = visitRow
	return define(
		"rebuilds", "Every rebuild of visits, by partition.",
		unique(keyText(1, "rebuild_id", "Id of the rebuild.", func(r *row) string { return r.RebuildId })),
		dated(keyInstant(2, "rebuilt_at", "When it ran.", func(r *row) int64 { return r.Rebuild.RebuiltAtUs })),
		keyText(3, "from_day", "The first day whose visits it made again, UTC.", func(r *row) string { return r.Rebuild.FromDay }),
		keyText(4, "to_day", "The last of those days.", func(r *row) string { return r.Rebuild.ToDay }),
		key(bigint(5, "reached_offset", "Beacons of the partition before this offset are in the visits.", func(r *row) int64 { return r.Rebuild.ReachedOffset })),
		key(bigint(6, "visits_before", "Visits of those days, and what hangs together with them, as they stood.", func(r *row) int64 { return r.Rebuild.VisitsBefore })),
		key(bigint(7, "visits_after", "The same as they are since.", func(r *row) int64 { return r.Rebuild.VisitsAfter })),
		key(bigint(8, "added", "Visits that are new.", func(r *row) int64 { return r.Rebuild.Added })),
		key(bigint(9, "changed", "Visits that say something else.", func(r *row) int64 { return r.Rebuild.Changed })),
		key(bigint(10, "gone", "Visits that there are no longer.", func(r *row) int64 { return r.Rebuild.Gone })),
		key(bigint(11, "late_beacons", "Beacons of late visits that found their place.", func(r *row) int64 { return r.Rebuild.LateBeacons })),
		key(bigint(12, "open", "Visits that stayed as they were, as one that hangs together with them was still open.", func(r *row) int64 { return r.Rebuild.Open })),
		key(bigint(13, "incomplete", "Visits that stayed as they were, as the lake has their beacons no longer.", func(r *row) int64 { return r.Rebuild.Incomplete })),
		key(integer(14, "topic_partition", partitionDoc, func(r *row) int32 { return r.partition })),
		unique(key(bigint(15, "topic_offset", offsetDoc, func(r *row) int64 { return r.offset }))),
	)
}

func badBeaconsTable() *rowTable[badBeaconRow] {
	type row = badBeaconRow
	return define(
		"bad_beacons", "Input that could not be used, as it came, and why.",
		unique(keyText(1, "bad_beacon_id", "Id of the bad input.", func(r *row) string { return r.BadBeaconId })),
		text(2, "site", "Key of the site, where it could be read.", func(r *row) string { return r.Site }),
		dated(keyInstant(3, "received_at", "When it came in.", func(r *row) int64 { return r.ReceivedAtUs })),
		text(4, "protocol", "How it came in, or the stage that could not read it.", func(r *row) string { return r.Protocol }),
		text(5, "reason", "Why it could not be used, a constant.", func(r *row) string { return r.Reason }),
		text(6, "detail", "Where in the input, and what was expected.", func(r *row) string { return r.Detail }),
		text(7, "path", "JSON pointer to the place, where there is one.", func(r *row) string { return r.Path }),
		unique(blob(8, "raw", "The bytes as they came.", func(r *row) []byte { return r.Raw })),
		boolean(9, "truncated", "True where raw was cut at the limit.", func(r *row) bool { return r.Truncated }),
		text(10, "source", "File that a replay read it from.", func(r *row) string { return r.Source }),
		bigint(11, "line", "Line in that file, counted from 1; else 0.", func(r *row) int64 { return r.Line }),
		instant(15, "redriven_at", "When it was driven again and taken; NULL: it was not.", func(r *row) int64 { return r.RedrivenAtUs }),
		integer(16, "redriven_beacons", "How many beacons came of that; else 0.", func(r *row) int32 { return r.RedrivenBeacons }),
		text(17, "part_of", "The bad input that it is a part of, whose other parts were taken.", func(r *row) string { return r.PartOf }),
		text(18, "origin", "The origin that its browser named, if it did.", func(r *row) string { return r.Context.GetOrigin() }),
		text(12, "topic", "Topic that the row came from.", func(r *row) string { return string(r.topic) }),
		key(integer(13, "topic_partition", partitionDoc, func(r *row) int32 { return r.partition })),
		unique(key(bigint(14, "topic_offset", offsetDoc, func(r *row) int64 { return r.offset }))),
	)
}
