package main

import (
	"crumbtrail/handoff"
	"crumbtrail/internal/admin"
	"crumbtrail/internal/stage"
)

// openHandoffs prepares the sender of hand-offs, which works beside the lake.
func (p *pipeline) openHandoffs(o pipelineOptions) error {
	if len(p.cfg.Handoffs.Webhooks) == 0 || o.recorded || o.join {
		return nil
	}
	cfg, err := p.cfg.handoffConfig()
	if err != nil {
		return err
	}
	p.handoffs = handoff.New(cfg, stage.OnKafka(p.client), p.log, p.registry)
	return nil
}

// handoffHealth is what is to be known of webhooks, for which nothing else waits.
func (p *pipeline) handoffHealth() admin.Check {
	return admin.Check{Name: "handoff", Ready: func() error {
		if p.handoffs == nil || p.handoffs.Notice() == "" {
			return nil
		}
		return admin.Degraded(p.handoffs.Notice())
	}}
}
