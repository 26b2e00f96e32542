// The tracker. It sends what happens on a page to the collector that served it, and keeps nothing
// before consent where the site asks for it. The collector puts its configuration in.
//
// What a page may call:
//
//   crumbtrail("event", "video_played", {seconds: 30})       what only the page knows
//   crumbtrail("form", element, {mail: "email"}, "signup")    capture a form: field to attribute
//   crumbtrail("consent", "granted")                          or "refused", "withdrawn"
//   crumbtrail("consent", {analytics: true, marketing: false, profiling: false})
//   crumbtrail("visit", (v) => {…})  v is {consent, visit: {began, ends_in} or null}; called now,
//                                    when the visit ends, and when another begins
//   crumbtrail("reset")              signed out: who comes next on this browser is somebody else
//
// consent, visit and reset return a promise; wait for that of reset before leaving the page. A page that calls before the script is there puts this first:
//
//   crumbtrail=function(){(crumbtrail.q=crumbtrail.q||[]).push(arguments)}

interface Config {
  site: string;
  consent: "required" | "implied" | "not_asked";
  // True where browsers keep no cookie of the collector, since the page is of another site.
  cross: boolean;
  // CSS selectors of forms to capture, or of what stands around them, each with the form's name.
  forms?: [string, string][];
  // What decides besides the page's own calls: tcf, gpp, gcm, dnt.
  signals: string[];
  // True where Global Privacy Control takes nothing back.
  ignore_gpc?: boolean;
  // True where nothing is stored of who is not identified.
  cookieless?: boolean;
}
declare const CRUMBTRAIL_CONFIG: Config;
// False in the script of a site without signals, which then does not carry their code.
declare const SIGNALS: boolean;
type Props = Record<string, unknown>;
type Beacon = Record<string, unknown>;
type Purposes = { analytics: boolean; marketing: boolean; profiling: boolean };

const { site, consent, cross, forms, signals, ignore_gpc, cookieless } = CRUMBTRAIL_CONFIG;
const win: any = window;
const doc: any = document;
const nav: any = navigator;
const json = JSON.stringify;
// The collector is where the script came from, whatever stands before it on the way.
const base = (doc.currentScript?.src || "").replace(/\/t\/[^/]*$/, "") + "/v1/";

const enum Most {
  Bytes = 60000, // in one request: browsers refuse beacons of 64 KiB
  Beacons = 100, // in one request
  Waiting = 1000, // oldest go first
}
const enum Ms {
  Ping = 10000,
  Idle = 30000, // without a sign of use the page counts as left
  Retry = 2000, // at first
}
// Besides what has a type that says so. The collector knows more of them, and numbers of cards.
const SECRET =
  /pass(w|phrase|code)|(^|[^a-z])(pwd|otp|cvc|csc|pin|token|secret)([^a-z]|$)|cvv|card.?(n|exp|cod|cv)|cc.?(n|exp|c)|one.?time|(security|verification|sms|auth).?code/i;
const FILE = /\.(csv|(doc|ppt|xls)x?|exe|pdf|zip)$/i;

let waiting: Beacon[] = [];
let claimed = "";

// --- storage ------------------------------------------------------------------------------------

// Every key ends in the site's. A tab has a queue of its own, which the next page takes over.
const VISITOR = "ct_visitor:";
const CHOICE = "ct_consent:"; // where the collector's cookie cannot be read; needs no consent

let disk: Storage | undefined;
try {
  disk = localStorage;
} catch {
  // none: the page's own memory has to do
}
const load = (key: string): string => disk?.getItem(key + site) || "";
const store = (key: string, value: string, may = mayStore()) => {
  try {
    value && may ? disk?.setItem(key + site, value) : disk?.removeItem(key + site);
  } catch {
    // full
  }
};
const keep = () => store(QUEUE, waiting[0] ? json(waiting) : "");
// drain empties the queues of other tabs and of pages that are gone. What still waits in another tab
// comes twice, by one id.
const drain = (): Beacon[] =>
  Object.keys(disk || {}).flatMap((key) => {
    if (!key.startsWith("ct_queue:") || !key.endsWith(":" + site) || key == QUEUE + site) return [];
    const text = disk!.getItem(key)!;
    disk!.removeItem(key);
    return JSON.parse(text);
  });

// 128 random bits. randomUUID is for secure pages alone.
const fresh = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), (x) => x.toString(36)).join("");
const QUEUE = "ct_queue:" + fresh() + ":";

// What the visitor has said: granted, statistical, refused, withdrawn, or nothing yet.
const near = new URL(base, location as any).hostname == location.hostname;
const recall = (): string =>
  near ? (/(?:^|; )ct_consent=(\w+)/.exec(doc.cookie) || [])[1] || "" : load(CHOICE);
let choice = recall();

const quiet =
  (!ignore_gpc && nav.globalPrivacyControl) || (SIGNALS && signals.includes("dnt") && nav.doNotTrack == "1");
// What may be stored here. The collector decides for itself what it stores and keeps.
const mayStore = () =>
  !/^[rw]/.test(choice) &&
  (cookieless
    ? !quiet && choice[0] != "s" && (consent == "implied" || (choice && consent == "required"))
    : consent != "required" || (choice && !quiet));

// Where the collector's cookie cannot work, a claimed id stands in for it.
const visitor = (): string | undefined => {
  if (!cross || !mayStore()) return;
  claimed = claimed || load(VISITOR) || fresh();
  store(VISITOR, claimed);
  return claimed;
};

const forget = () => {
  claimed = "";
  store(VISITOR, "");
};

// --- sending ------------------------------------------------------------------------------------

let sending: Beacon[] = []; // what a request has that ends with the page
let busy = false;
let underWay: Promise<unknown> = Promise.resolve();
let lowered = 0; // how often less was allowed than before
let resetting = false; // what is on its way asks for the next visitor's cookies
let wasReset: undefined | (() => void);
let gone = false; // the page is, and what it had waits for the next one
let retry = 0; // the timer of the next attempt
let retryMs = 0; // twice that at most

const size = (x: unknown) => new Blob([json(x)]).size;

// take removes from the queue what fits in one request. Without a type it is the mark of a reset,
// and the last of its request: who comes after it is another visitor.
const take = (): Beacon[] => {
  let bytes = 100;
  let n = 0;
  for (const b of waiting) {
    bytes += size(b) + 1;
    if ((n && bytes > Most.Bytes) || ++n == Most.Beacons || !b.type) break;
  }
  return waiting.splice(0, n);
};
// No cookie carries the choice from a page of another site.
const to = (path: string) => base + path + (cross && choice ? "?ct_consent=" + choice : "");
const isReset = (beacons: Beacon[]) => !beacons[beacons.length - 1].type;
const request = (beacons: Beacon[]): [string, string] => [
  to(isReset(beacons) ? "reset" : "beacons"),
  json({ site, sent_at: new Date(), beacons: beacons.filter((b) => b.type) }),
];

const putBack = (beacons: Beacon[]) => {
  waiting = beacons.concat(waiting).slice(-Most.Waiting);
  keep();
};

const post = (url: string, body: string, keepalive?: boolean) =>
  fetch(url, { method: "POST", body, keepalive, credentials: cross ? "omit" : "include" });

// isDown is true for an answer after which the same is sent again.
const isDown = (r: Response) => /^5|429/.test(r.status as any);

// flush sends what waits and learns whether it was taken.
const flush = () => {
  if (busy || retry || gone || !waiting[0]) return;
  const beacons = take();
  resetting = isReset(beacons);
  // All that outlives the page shares 64 KiB, so a backlog does not take part.
  const outlives = (resetting || !waiting[0]) && size(beacons) < Most.Bytes;
  const then = lowered;
  busy = true;
  sending = outlives ? [] : beacons;
  if (outlives) keep();
  underWay = post(...request(beacons), outlives)
    // Its text is not waited for: a page that goes away does not hear of its end.
    .then(isDown, () => true)
    .then((failed) => {
      if (gone) return;
      busy = false;
      if (failed && then == lowered) {
        // Unless they were handed over as the page was hidden.
        if (outlives || sending[0]) putBack(beacons);
        retryMs = Math.min(retryMs * 2 || Ms.Retry, 60000);
        retry = setTimeout(again, retryMs * (1 + Math.random())) as any;
      } else {
        retryMs = 0;
        if (resetting) view(), wasReset?.();
        if (!ending) look();
        keep();
      }
      sending = [];
      flush();
    });
};
const again = () => {
  clearTimeout(retry);
  retry = 0;
  flush();
};

// leave hands over what waits while the page goes away; what the browser refuses stays. It does not
// say what becomes of it, so while the collector takes nothing the next page is the better hope. The
// same goes for a reset and what follows it: another answer could bring the old cookies back.
const leave = () => {
  if (gone) return;
  waiting = sending.concat(waiting);
  sending = [];
  keep();
  while (waiting[0] && !(busy && resetting) && !((retry || !nav.onLine) && mayStore())) {
    const beacons = take();
    if (isReset(beacons) || !nav.sendBeacon(...request(beacons))) return putBack(beacons);
    keep();
  }
};

const add = (type: string, props?: Props, more?: Beacon) => {
  if (choice[0] == "w") return;
  waiting.push({
    id: fresh(),
    site,
    type,
    visitor: visitor(),
    created_at: new Date(),
    url: location.href,
    title: doc.title,
    consent: choice == "refused" ? "none" : undefined,
    props,
    ...more,
  });
  if (waiting.length > Most.Waiting) waiting.shift();
};

// --- page views and engaged time ----------------------------------------------------------------

let engaged = 0;
let last = Date.now();
let used = last;
let page = "";
let cameFrom = doc.referrer;
let visible = !doc.hidden;

// count takes what has passed since it was called last, in the state that the page was in.
const count = () => {
  const now = Date.now();
  if (visible) engaged += Math.max(0, Math.min(now, used + Ms.Idle) - last);
  last = now;
};
const ping = () => {
  count();
  const ms = engaged | 0;
  if (ms < 100 || !page) return;
  engaged = 0;
  add("ping", { engaged_ms: ms }, { url: page });
};
// begin says where somebody is of whom nothing was known before.
const begin = () => add("page_view", undefined, { referrer: cameFrom });
const view = () => {
  if (location.href == page) return;
  ping();
  if (page) cameFrom = page;
  page = location.href;
  begin();
  flush();
};

// --- links and forms ----------------------------------------------------------------------------

const click = (e: MouseEvent) => {
  if (e.button > 1) return; // 1 is the middle one
  const a: any = e.composedPath().find((n: any) => n.matches?.("a[href]"));
  if (!a || !/^(https?|mailto|tel):/.test(a.href)) return;
  add("link_click", {
    href: a.href,
    text: a.textContent.trim().slice(0, 200),
    new_tab: e.button == 1 || e.ctrlKey || e.metaKey || a.target == "_blank" || undefined,
    download: a.hasAttribute("download") || FILE.test(a.pathname) || undefined,
  });
  flush();
};

// How to read a form: from its own field names to the contact's, and its name.
const mapped = new Map<HTMLFormElement, [Record<string, string>?, string?]>();
let submitted = "";

const submit = (el: HTMLFormElement) => {
  const named = el.getAttribute("data-crumbtrail-form");
  const chosen = forms?.find((f) => {
    try {
      return el.closest(f[0]);
    } catch {
      // no selector
    }
  });
  const own = mapped.get(el);
  if (named == null && !chosen && !own) return;
  const fields: Props = {};
  for (const f of el.elements as any) {
    const key = f.name || f.id;
    if (
      !key || f.disabled || /^(pass|file|subm|butt|image|res)/.test(f.type) ||
      (/^(check|rad)/.test(f.type) && !f.checked) ||
      SECRET.test(f.autocomplete + " " + key)
    ) continue;
    const value = f.selectedOptions ? Array.from(f.selectedOptions, (o: any) => o.value).join(", ") : f.value;
    const to = own?.[0]?.[key] || key;
    fields[to] = to in fields ? ([] as any[]).concat(fields[to], value) : value;
  }
  const form = own?.[1] || named || chosen?.[1] || el.getAttribute("id") || undefined;
  // A handler that stops the event and submits by itself makes one submission, not two.
  if (submitted == (submitted = page + json([form, fields]))) return;
  add("form_submit", { form, fields });
  flush();
};

// --- what the page may say and ask --------------------------------------------------------------

let turn = 0;

// note keeps the choice until the collector sets its own cookie.
const note = () =>
  near ? (doc.cookie = "ct_consent=" + choice + ";path=/;max-age=15552000;samesite=lax") : store(CHOICE, choice, true);

// say lowers at once what is stored and sent, and raises it once the collector has agreed. What the
// collector does not hear is said again.
const say = (said: any, more?: Props): Promise<unknown> => {
  const now = ++turn;
  const word = said.at && said;
  if (word ? word != "granted" : !said.analytics) {
    choice = said == "withdrawn" ? said : "refused"; // a word that is none is taken for the safe one
    note();
    waiting = sending = [];
    lowered++;
    drain();
    keep();
    forget();
  }
  const tell = (): Promise<unknown> =>
    post(to("consent"), json({ site, [word ? "choice" : "purposes"]: said, ...more }), true)
      .then((r) => (r.ok ? r.json() : isDown(r) ? Promise.reject() : {}))
      .then((answer) => {
        if (now != turn) return; // something else was said since
        const could = mayStore();
        const allowed = answer.consent;
        if (word != choice && allowed) {
          choice = ({ identified: "granted", none: "refused" } as any)[allowed] || allowed;
        }
        if (!near) note();
        // What came before is in no visit, so the visit begins with this page.
        if (!could && mayStore()) begin();
        flush();
        look();
        return allowed;
      }, () => void setTimeout(() => now == turn && tell(), Ms.Retry));
  // What is under way may bring the cookies back.
  return underWay.then(tell);
};

// before calls a function with what a method is called on, and with its arguments.
const before = (on: any, name: string, then: (on: any, ...args: any) => void) => {
  const original = on[name];
  on[name] = function (...args: any) {
    then(this, ...args);
    return original.apply(this, args);
  };
};

let watching: ((state: unknown) => void) | undefined;
let known = "";
let ending = 0; // the timer of the visit's end

// look asks which visit this is: the collector alone knows. To ask does not make it longer.
const look = (): Promise<unknown> | undefined => {
  if (!watching) return;
  clearTimeout(ending);
  return post(to("visit"), json({ site })).then((r) => r.json()).then((state) => {
    ending = state.visit && setTimeout(look, state.visit.ends_in * 1000 + 1000);
    const now = state.consent + state.visit?.began;
    if (now != known) watching!(state);
    known = now;
    return state;
  }).catch(() => {});
};

const api: any = (what: string, a: any, b?: any, c?: string) => {
  if (what == "event") {
    add("custom", { ...b, name: a });
    flush();
  } else if (what == "form") {
    mapped.set(a, [b, c]);
  } else if (what == "consent") {
    return say(a);
  } else if (what == "visit") {
    watching = a || (() => {});
    known = "";
    return look();
  } else if (what == "reset") {
    ping();
    forget();
    if (mayStore()) {
      waiting.push({});
      page = ""; // until somebody else has cookies to view it with
    }
    flush();
    return new Promise<void>((done) => (wasReset = done));
  }
};

// --- what others say for the visitor -------------------------------------------------------------

let heard = "";
// decide takes over what a signal says where it is news: on most pages it repeats the last choice.
// Who withdrew here is not overruled by what a banner has kept.
const decide = (said: Purposes, source: string, more?: Props) => {
  const text = source + json(said);
  const word = !said.analytics ? "refused" : said.marketing && said.profiling ? "granted" : "statistical";
  const first = !heard;
  if (text == heard) return;
  heard = text;
  if (!first || (choice != word && choice[0] != "w")) say(said, { source, ...more });
};

// once calls back with a function of the page as soon as it is there, within half a minute.
const once = (name: string, then: (f: any) => void, tries = 60) => {
  if (win[name]) then(win[name]);
  else if (tries) setTimeout(once, 500, name, then, tries - 1);
};

// IAB TCF: purpose 1 is storage, 8 to 10 measure, study and improve; 4 and 3 make use of profiles
// and build them. Consent alone counts, no legitimate interest.
const tcf = (f: any) =>
  f("addEventListener", 2, async (d: any, ok: boolean) => {
    if (!ok || d.gdprApplies === false || !/^(tcloaded|useractioncomplete)$/.test(d.eventStatus)) return;
    const has = d.purpose.consents;
    const analytics = [1, 8, 9, 10].every((n) => has[n]);
    const text = new TextEncoder().encode(d.tcString);
    const sum = await crypto.subtle?.digest("SHA-256", text);
    decide({ analytics, marketing: analytics && !!has[4], profiling: analytics && !!has[3] }, "tcf", {
      tc_sha256: sum && Array.from(new Uint8Array(sum), (x) => (256 + x).toString(16).slice(1)).join(""),
      tcf_purposes: Object.keys(has).filter((n) => has[n]).map(Number),
    });
  });

// IAB GPP: the sections of the United States know opt-outs, 1 where somebody has, 2 where not.
const gpp = (f: any) =>
  f("addEventListener", (e: any, ok: boolean) => {
    const ping = e.pingData;
    if (!ok || ping?.signalStatus != "ready") return;
    const said = json(Object.entries(ping.parsedSections || {}).filter((s) => /^us/.test(s[0])));
    if (!/OptOut":[12]|"Gpc":true/.test(said)) return;
    const in_ = !/(Sale|Sharing|Advertising)OptOut":1|"Gpc":true/.test(said);
    decide({ analytics: true, marketing: in_, profiling: in_ }, "gpp");
  });

// Google Consent Mode: what a banner pushes. A default is nobody's choice.
const gcm = () => {
  const layer = (win.dataLayer = win.dataLayer || []);
  const state: any = {};
  const hear = (e: any) => {
    if (e?.[0] != "consent") return;
    Object.assign(state, e[2]);
    const has = (key: string) => state[key] == "granted";
    const analytics = has("analytics_storage");
    if (e[1] == "update") {
      decide({
        analytics,
        marketing: analytics && has("ad_user_data"),
        profiling: analytics && has("ad_personalization"),
      }, "gcm");
    }
  };
  layer.forEach(hear);
  before(layer, "push", (_, ...entries) => entries.forEach(hear));
};

// --- start --------------------------------------------------------------------------------------

if (!win.crumbtrail?.site) {
  const early = win.crumbtrail?.q || [];
  win.crumbtrail = api;
  api.site = site; // a second script of the page does nothing
  const adopt = () => {
    const kept = drain();
    if (mayStore()) waiting = kept.concat(waiting);
    flush();
  };
  const listen = (names: string, f: any, on: any = window) => {
    for (const name of names.split(" ")) on.addEventListener(name, f, { capture: true, passive: true });
  };
  listen("pointerdown pointermove keydown scroll", () => (count(), (used = last)));
  const soon = () => setTimeout(view); // the page sets its title after
  before(history, "pushState", soon);
  before(history, "replaceState", soon);
  before(HTMLFormElement.prototype, "submit", submit);
  listen("popstate", soon);
  listen("click auxclick", click);
  listen("submit", (e: Event) => submit(e.target as HTMLFormElement));
  listen("visibilitychange", () => {
    count();
    visible = !doc.hidden;
    if (visible) {
      used = last;
      choice = recall(); // another tab may have chosen
    } else {
      ping();
      leave();
    }
  }, doc);
  listen("pagehide", () => (ping(), leave(), (gone = true)));
  listen("online", again);
  listen("pageshow", (e: PageTransitionEvent) => {
    if (!e.persisted) return;
    gone = false;
    busy = false;
    page = "";
    view();
  });
  setInterval(() => (ping(), flush()), Ms.Ping);
  adopt();
  setTimeout(adopt, Ms.Retry); // the page before may have gone while this one came
  if (doc.prerendering) listen("prerenderingchange", view, doc);
  else view();
  for (const args of early) api(...args);
  if (SIGNALS) {
    if (signals.includes("tcf")) once("__tcfapi", tcf);
    if (signals.includes("gpp")) once("__gpp", gpp);
    if (signals.includes("gcm")) gcm();
  }
}
