// A server's use of Segment's Node library. Its argument is the collector's address.
const { Analytics } = require("@segment/analytics-node");

const failed = [];
const library = (flushAt) => {
  const a = new Analytics({ writeKey: "default", host: process.argv[2], flushAt, maxRetries: 3 });
  a.on("error", (e) => failed.push(e.ctx?.event.event ?? String(e.reason)));
  return a;
};

(async () => {
  const a = library(6);
  const who = { userId: "u-17", anonymousId: "an-1" };
  a.page({
    ...who, name: "Pricing", category: "docs",
    properties: { url: "https://acme.example/pricing?utm_source=news", title: "Pricing", plan: "pro" },
  });
  a.track({
    ...who, event: "Product Viewed", properties: { name: "Shoe", price: 9.5 },
    timestamp: new Date(Date.now() - 60_000),
    context: {
      ip: "203.0.113.9", locale: "de-DE", campaign: { source: "ads", medium: "cpc" },
      userAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    },
  });
  a.identify({ ...who, traits: { email: "ada@example.com", name: "Ada Lovelace" } });
  a.group({ ...who, groupId: "g-1", traits: { name: "Engines" } });
  a.screen({ ...who, name: "Cart" });
  a.alias({ previousId: "an-1", userId: "u-17" });
  await a.closeAndFlush();
  for (const event of ["again", "more", "refused", "after"]) {
    const one = library(1);
    one.track({ ...who, event });
    await one.closeAndFlush();
  }
  console.log(JSON.stringify(failed));
})();
