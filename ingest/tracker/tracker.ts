// The tracker. It sends what happens on a page to the collector that served it and keeps nothing
// before consent where the site asks for it. The collector puts its configuration in.

interface Config {
  site: string;
  consent: "required" | "implied" | "not_asked";
  // True where browsers keep no cookie of the collector, since the page is of another site.
  cross: boolean;
}
declare const CRUMBTRAIL_CONFIG: Config;
type Props = Record<string, unknown>;
type Beacon = Record<string, unknown>;

const { site, consent, cross } = CRUMBTRAIL_CONFIG;
const win: any = window;
const doc = document;
const nav: any = navigator;
// The collector is where the script came from, whatever stands before it on the way.
const base = ((doc.currentScript as any)?.src || "").replace(/\/t\/[^/]*$/, "") + "/v1/";

const MOST_BYTES = 60000; // browsers refuse beacons of 64 KiB
const MOST_BEACONS = 100; // in one request
const MOST_WAITING = 1000; // oldest go first
const PING_MS = 10000;
const IDLE_MS = 30000; // without a sign of use the page counts as left
const SECRET =
  /pass(w|phrase|code)|kennwort|mot.?de.?passe|contrase|(^|[^a-z])(pwd|otp|totp|cvc|csc|pin|token|secret)([^a-z]|$)|cvv|card.?(n|exp|cod|cv)|cc.?(n|exp|c)|one.?time|(security|verification|sms|auth).?code/i;
const SECRET_AUTOCOMPLETE = /cc-|one-time-code|password/;

let waiting: Beacon[] = [];
let busy = false;
let retryMs = 0;
let choice = (/(?:^|; )ct_consent=(\w+)/.exec(doc.cookie) || [])[1] || "";

// What may be stored here. The collector decides for itself what it stores and keeps.
const mayStore = () =>
  choice != "refused" &&
  (consent != "required" || (choice == "granted" && !nav.globalPrivacyControl));

// --- storage, with consent only -----------------------------------------------------------------

const load = (key: string): string => {
  try {
    return localStorage.getItem(key + site) || "";
  } catch {
    return "";
  }
};
const store = (key: string, value: string, may = mayStore()) => {
  try {
    value && may ? localStorage.setItem(key + site, value) : localStorage.removeItem(key + site);
  } catch {
    // no storage: the page's own memory has to do
  }
};
const QUEUE = "ct_queue.";
const VISITOR = "ct_visitor.";
// Stands in for the collector's cookie where that cannot work. A choice needs no consent.
const CHOICE = "ct_consent.";
if (cross) choice = load(CHOICE);

const uuid = (): string => {
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = (b[6] & 15) | 64;
  b[8] = (b[8] & 63) | 128;
  return Array.from(b, (x, i) => (/^(4|6|8|10)$/.test("" + i) ? "-" : "") + (256 + x).toString(16).slice(1)).join("");
};

// Where the collector's cookie cannot work, a claimed id stands in for it.
let claimed = "";
const visitor = (): string | undefined => {
  if (!cross || !mayStore()) return;
  claimed = claimed || load(VISITOR) || uuid();
  store(VISITOR, claimed);
  return claimed;
};

// --- sending ------------------------------------------------------------------------------------

const size = (x: unknown) => new Blob([JSON.stringify(x)]).size;

// take removes from the queue what fits in one request.
const take = (): Beacon[] => {
  let bytes = 100;
  let n = 0;
  while (n < waiting.length && n < MOST_BEACONS) {
    bytes += size(waiting[n]) + 1;
    if (bytes > MOST_BYTES && n) break;
    n++;
  }
  return waiting.splice(0, n);
};

const body = (beacons: Beacon[]) => JSON.stringify({ sent_at: new Date().toISOString(), beacons });

const putBack = (beacons: Beacon[]) => {
  waiting = beacons.concat(waiting).slice(-MOST_WAITING);
  store(QUEUE, JSON.stringify(waiting));
};

// flush sends what waits and learns whether it was taken.
const flush = () => {
  if (busy || !waiting.length) return;
  busy = true;
  const beacons = take();
  fetch(base + "beacons", {
    method: "POST",
    body: body(beacons),
    headers: { "Content-Type": "text/plain" },
    credentials: cross ? "omit" : "include",
    // All that outlives the page shares 64 KiB, so a backlog does not take part.
    keepalive: !waiting.length && size(beacons) < MOST_BYTES,
  })
    .then((r) => r.text().then(() => r.status >= 500 || r.status == 429))
    .catch(() => true)
    .then((failed) => {
      busy = false;
      if (failed) {
        putBack(beacons);
        retryMs = Math.min(retryMs * 2 || 2000, 60000);
        setTimeout(flush, retryMs * (0.8 + Math.random() * 0.4));
        return;
      }
      retryMs = 0;
      store(QUEUE, waiting.length ? JSON.stringify(waiting) : "");
      flush();
    });
};

// leave hands over what waits while the page goes away; what the browser refuses stays. It does not
// say what becomes of it, so while the collector takes nothing the next page is the better hope.
const leave = () => {
  if (retryMs && mayStore()) {
    store(QUEUE, JSON.stringify(waiting));
    return;
  }
  while (waiting.length) {
    const beacons = take();
    if (!(nav.sendBeacon && nav.sendBeacon(base + "beacons", body(beacons)))) {
      putBack(beacons);
      flush();
      return;
    }
  }
  store(QUEUE, "");
};

const add = (type: string, props?: Props, more?: Beacon) => {
  waiting.push({
    id: uuid(),
    site,
    type,
    visitor: visitor(),
    created_at: new Date().toISOString(),
    url: location.href,
    title: doc.title,
    consent: choice == "refused" ? "none" : undefined,
    props,
    ...more,
  });
  if (waiting.length > MOST_WAITING) waiting.shift();
};

// --- page views and engaged time ----------------------------------------------------------------

let engaged = 0;
let last = Date.now();
let used = last;
let page = "";
let cameFrom = doc.referrer;

const count = () => {
  const now = Date.now();
  if (doc.visibilityState == "visible") {
    engaged += Math.max(0, Math.min(now, used + IDLE_MS) - last);
  }
  last = now;
};
const ping = () => {
  count();
  const ms = Math.min(Math.round(engaged), 30000);
  if (ms < 100 || !page) return;
  engaged = 0;
  add("ping", { engaged_ms: ms }, { url: page });
};
const view = () => {
  if (location.href == page) return;
  ping();
  if (page) cameFrom = page;
  page = location.href;
  add("page_view", undefined, { referrer: cameFrom });
  flush();
};

// --- links and forms ----------------------------------------------------------------------------

const click = (e: MouseEvent) => {
  if (e.type == "auxclick" && e.button != 1) return;
  const a: any = (e.composedPath()[0] as Element).closest?.("a[href],area[href]");
  if (!a || !/^(https?|mailto|tel):/.test(a.href)) return;
  add("link_click", {
    href: a.href,
    text: (a.textContent || "").trim().slice(0, 200),
    target: a.target || undefined,
    download: a.hasAttribute("download") || undefined,
  });
  flush();
};

// How to read a form: from its own field names to the contact's, and its name.
const mapped = new Map<HTMLFormElement, [Record<string, string>?, string?]>();

const submit = (e: Event) => {
  const el = e.target as HTMLFormElement;
  const named = el.getAttribute("data-crumbtrail-form");
  if (named == null && !mapped.has(el)) return;
  const [mapping, name] = mapped.get(el) || [];
  const fields: Props = {};
  for (const f of Array.from(el.elements) as any[]) {
    const key = f.name || f.id;
    if (
      !key || f.disabled || /^(password|file|submit|button|image|reset|fieldset|output)$/.test(f.type) ||
      (/^(checkbox|radio)$/.test(f.type) && !f.checked) ||
      SECRET_AUTOCOMPLETE.test(f.autocomplete || "") || SECRET.test(key)
    ) continue;
    const value = f.selectedOptions ? Array.from(f.selectedOptions, (o: any) => o.value).join(", ") : f.value;
    const to = mapping?.[key] || f.getAttribute("data-crumbtrail-field") || key;
    fields[to] = fields[to] ? fields[to] + ", " + value : value;
  }
  add("form_submit", {
    form: name || named || el.getAttribute("id") || el.getAttribute("name") || undefined,
    fields,
  });
  flush();
};

// --- the page's own calls -----------------------------------------------------------------------

const say = (said: string) => {
  const may = said == "granted";
  const before = mayStore();
  if (!may) {
    choice = "refused";
    claimed = "";
    waiting = [];
    store(QUEUE, "");
    store(VISITOR, "");
  }
  if (cross) store(CHOICE, may ? said : choice, true);
  return fetch(base + "consent", {
    method: "POST",
    body: JSON.stringify({ site, choice: said }),
    headers: { "Content-Type": "text/plain" },
    credentials: cross ? "omit" : "include",
    keepalive: true,
  }).then((r) => {
    if (!r.ok || !may) return;
    choice = said;
    // What came before is in no visit, so the visit begins with this page.
    if (!before && mayStore()) add("page_view", undefined, { referrer: cameFrom });
    flush();
  }, () => {});
};

const api: any = (what: string, a: any, b?: any, c?: string) => {
  if (what == "event") {
    add("custom", { ...b, name: a });
    flush();
  } else if (what == "form") {
    mapped.set(a, [b, c]);
  } else if (what == "consent") {
    return say(a);
  }
};
api.form = (el: HTMLFormElement, mapping?: Record<string, string>, name?: string) =>
  api("form", el, mapping, name);

// --- start --------------------------------------------------------------------------------------

if (!win.crumbtrail?.form) {
  const early = win.crumbtrail?.q || [];
  win.crumbtrail = api;
  try {
    if (mayStore()) waiting = JSON.parse(load(QUEUE) || "[]");
  } catch {
    // not what we wrote
  }
  store(QUEUE, "");
  for (const e of ["pointerdown", "keydown", "scroll", "mousemove", "touchstart"]) {
    addEventListener(e, () => (count(), (used = Date.now())), { capture: true, passive: true });
  }
  for (const name of ["pushState", "replaceState"] as const) {
    const original = history[name];
    history[name] = function (this: History, ...args: any) {
      original.apply(this, args);
      setTimeout(view); // the page sets its title after
    };
  }
  addEventListener("popstate", () => setTimeout(view));
  addEventListener("click", click as any, true);
  addEventListener("auxclick", click as any, true);
  addEventListener("submit", submit, true);
  doc.addEventListener("visibilitychange", () => {
    // What passed until now was in the state before.
    if (doc.visibilityState == "hidden") {
      engaged += Math.max(0, Math.min(Date.now(), used + IDLE_MS) - last);
      last = Date.now();
      ping();
      leave();
    } else {
      last = used = Date.now();
    }
  });
  addEventListener("pagehide", () => (ping(), leave()));
  addEventListener("online", flush);
  addEventListener("pageshow", (e) => {
    if (e.persisted) (page = ""), view();
  });
  setInterval(() => (ping(), flush()), PING_MS);
  if ((doc as any).prerendering) doc.addEventListener("prerenderingchange", view, { once: true });
  else view();
  for (const args of early) api(...args);
}
