// A server's use of Snowplow's Node tracker. Its argument is the collector's address.
const {
  buildLinkClick, buildPagePing, buildPageView, buildSelfDescribingEvent, buildStructEvent, newTracker,
} = require("@snowplow/node-tracker");

const answers = [];
const tracker = (namespace, eventMethod, encodeBase64) => {
  let done;
  const t = newTracker({ namespace, appId: "default", encodeBase64 }, {
    endpoint: process.argv[2], eventMethod, bufferSize: 1,
    onRequestSuccess: () => done?.(200),
    onRequestFailure: (f) => done?.(f.status),
  });
  t.setPlatform("web");
  t.setUserId("u-17");
  t.setDomainUserId("22222222-2222-4222-8222-222222222222");
  t.setSessionId("33333333-3333-4333-8333-333333333333");
  t.setUseragent("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0");
  t.setIpAddress("203.0.113.9");
  t.setLang("de-DE");
  // send tracks an event and waits for the answer to it.
  return (event, ...more) => new Promise((resolve) => {
    done = (status) => (answers.push(status), resolve());
    t.track(event, ...more);
  });
};

const struct = (action) => buildStructEvent({ category: "test", action, value: 1.5 });

(async () => {
  const post = tracker("posts", "post", true);
  await post(buildPageView({
    pageUrl: "https://acme.example/pricing?utm_source=news", pageTitle: "Pricing",
    referrer: "https://www.google.com/",
  }), [{ schema: "iglu:com.acme/cart/jsonschema/1-0-0", data: { items: 2 } }]);
  await post(buildPagePing({ pageUrl: "https://acme.example/pricing", maxYOffset: 900 }));
  await post(buildLinkClick({ targetUrl: "https://shop.example/", elementContent: "Buy ü" }));
  await post(struct("true time"), [], { type: "ttm", value: Date.now() - 60_000 });
  await post(struct("again"));
  await post(struct("more")); // takes along what was not taken
  await post(struct("refused"));
  await post(struct("after"));
  const get = tracker("gets", "get", false);
  await get(buildSelfDescribingEvent({
    event: { schema: "iglu:com.acme/checkout/jsonschema/1-0-0", data: { step: 3, sign: "+/ü" } },
  }));
  console.log(JSON.stringify(answers));
})();
