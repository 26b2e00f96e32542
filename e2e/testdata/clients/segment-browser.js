// A page's use of Segment's browser library. What it does it does when it is told, step by step.
import { AnalyticsBrowser } from "@segment/analytics-next";

const analytics = AnalyticsBrowser.load({ writeKey: "default", cdnURL: window.collector });

window.steps = {
  page: () => analytics.page("docs", "Pricing", { plan: "pro" }),
  track: () => analytics.track("Product Viewed", { name: "Shoe", price: 9.5 }),
  identify: () => analytics.identify("u-17", {
    email: "ada@example.com", firstName: "Ada", lastName: "Lovelace", company: { name: "Engines" },
  }),
  group: () => analytics.group("g-1", { name: "Engines" }),
  screen: () => analytics.screen("Cart"),
  alias: () => analytics.alias("u-18"),
  again: () => analytics.track("again"),
  more: () => analytics.track("more"),
  refused: () => analytics.track("refused"),
  after: () => analytics.track("after"),
};
