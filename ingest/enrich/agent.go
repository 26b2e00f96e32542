package enrich

import (
	"strings"
	"sync"

	"crumbtrail/schemas"

	useragent "github.com/medama-io/go-useragent"
)

const (
	// agentBytes is as much of a user agent as is looked at.
	agentBytes = 512
	// agentsKept bounds each of the cache's two generations.
	agentsKept = 8192
)

// agents tells browsers, systems, devices and bots by their user agents. It remembers those that
// came lately: on a site a few hundred make up most of the traffic. Safe for concurrent use.
type agents struct {
	parser *useragent.Parser

	mu sync.Mutex
	// A user agent is in the young generation once it was asked for since the last change of
	// generations, which comes when the young one is full: an LRU cache in all but exact order.
	young, old map[string]*schemas.Agent
}

func newAgents() *agents {
	botRule("") // compiles the lists before anybody waits for them
	return &agents{
		parser: useragent.NewParser(),
		young:  make(map[string]*schemas.Agent),
	}
}

// lookup returns what a user agent tells. The result is shared and must not be changed.
func (a *agents) lookup(userAgent string) *schemas.Agent {
	if len(userAgent) > agentBytes {
		userAgent = userAgent[:agentBytes]
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if agent, ok := a.young[userAgent]; ok {
		return agent
	}
	agent, ok := a.old[userAgent]
	if !ok {
		agent = a.read(userAgent)
		// The key must not keep the beacon alive that it is a part of.
		userAgent = strings.Clone(userAgent)
	}
	if len(a.young) >= agentsKept {
		a.young, a.old = make(map[string]*schemas.Agent, agentsKept), a.young
	}
	a.young[userAgent] = agent
	return agent
}

// read does the work for a user agent that was not seen lately. A client that sends none is not
// called a bot: a recorded beacon often has none.
func (a *agents) read(userAgent string) *schemas.Agent {
	if userAgent == "" {
		return &schemas.Agent{}
	}
	ua := a.parser.Parse(userAgent)
	agent := &schemas.Agent{
		Device:  strings.ToLower(ua.Device().String()),
		Browser: ua.Browser().String(),
		Os:      ua.OS().String(),
		BotRule: botRule(userAgent),
	}
	switch {
	case agent.BotRule != "":
		agent.Device = DeviceBot
	case agent.Device == DeviceBot:
		// The library takes previews in a mail program for bots, and knows none that the lists lack.
		agent.Device = ""
	}
	return agent
}

// DeviceBot is the device of a bot.
const DeviceBot = "bot"
