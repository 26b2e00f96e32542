// A page's use of Snowplow's browser tracker. What it does it does when it is told, step by step.
import {
  disableAnonymousTracking, enableActivityTracking, enableAnonymousTracking, newTracker,
  setUserId, trackPageView, trackSelfDescribingEvent, trackStructEvent,
} from "@snowplow/browser-tracker";

window.heard = 0; // how many answers
newTracker("sp", window.collector, {
  appId: "default", bufferSize: 1, contexts: { webPage: true, session: true },
  onRequestSuccess: () => heard++, onRequestFailure: () => heard++,
});
const struct = (action) => trackStructEvent({ category: "test", action, label: "l", value: 1.5 });

window.steps = {
  view() {
    enableActivityTracking({ minimumVisitLength: 1, heartbeatDelay: 1 });
    setUserId("u-17");
    trackPageView({ title: "Pricing" });
  },
  move: () => document.dispatchEvent(new MouseEvent("mousemove")),
  link: () => trackSelfDescribingEvent({
    event: {
      schema: "iglu:com.snowplowanalytics.snowplow/link_click/jsonschema/1-0-1",
      data: { targetUrl: "https://shop.example/", elementContent: "Buy ü", elementId: "buy" },
    },
  }),
  own: () => trackSelfDescribingEvent({
    event: { schema: "iglu:com.acme/checkout/jsonschema/1-0-0", data: { step: 3 } },
    context: [{ schema: "iglu:com.acme/cart/jsonschema/1-0-0", data: { items: 2 } }],
  }),
  again: () => struct("again"),
  more: () => struct("more"),
  refused: () => struct("refused"),
  after: () => struct("after"),
  anonymous() {
    enableAnonymousTracking({ options: { withServerAnonymisation: true } });
    struct("anonymous");
    disableAnonymousTracking();
  },
};
