// A page's use of RudderStack's browser library. What it does it does when it is told, step by step.
import { RudderAnalytics } from "@rudderstack/analytics-js/bundled";

const analytics = new RudderAnalytics();
analytics.load("default", window.collector, { configUrl: window.collector });

window.steps = {
  page: () => analytics.page("docs", "Pricing", { plan: "pro" }),
  track: () => analytics.track("Product Viewed", { name: "Shoe", price: 9.5 }),
  identify: () => analytics.identify("u-17", {
    email: "ada@example.com", firstName: "Ada", lastName: "Lovelace", company: { name: "Engines" },
  }),
  again: () => analytics.track("again"),
  more: () => analytics.track("more"),
  refused: () => analytics.track("refused"),
  after: () => analytics.track("after"),
};
