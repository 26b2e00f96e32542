package benchmarks

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"crumbtrail/benchmarks/load"
	"crumbtrail/benchmarks/people"
	"crumbtrail/internal/kafka"
	"crumbtrail/internal/progress"
	"crumbtrail/schemas"
)

// LakeOptions say how much the lake gets.
type LakeOptions struct {
	// Events is how many beacons there are, over 90 days.
	Events int
	// Dir is where the data directory stays; empty: nowhere.
	Dir string
}

// perContact is how many beacons there are to one submission; about seven of eight submissions are
// of a contact of their own.
const perContact = 118

// Lake measures how fast the lake writes the files of ninety days. Then, outside the measure, it
// adds the visits and contacts that the other stages make of them.
func Lake(ctx context.Context, cfg Config, o LakeOptions) (r Result, err error) {
	b, err := makeBed(ctx, cfg, "")
	if err != nil {
		return r, err
	}
	defer b.close()
	quarter := load.NewQuarter(b.writer, o.Events, leads(max(1, o.Events/perContact)))
	if err := b.preload(ctx, o.Events, quarter.Next); err != nil {
		return r, err
	}
	l := &lakeBed{bed: b, data: o.Dir}
	if l.data == "" {
		l.data = filepath.Join(b.scratch, "lake")
	}
	return l.measure(ctx, o.Events)
}

// lakeBed is a bed with the data directory of a lake.
type lakeBed struct {
	*bed
	data string
}

func (b *lakeBed) measure(ctx context.Context, events int) (r Result, err error) {
	broker := b.brokerUse()
	u, took, err := b.export(ctx)
	if err != nil {
		return r, err
	}
	r = Result{Name: "lake", Events: events, Seconds: took.Seconds()}
	r.took(u)
	r.BrokerCoreSeconds = (b.brokerUse() - broker).Seconds()
	if err := b.derive(ctx); err != nil {
		return r, err
	}
	return r, nil
}

// leads makes people who leave their address.
func leads(n int) []load.Person {
	var all []load.Person
	for _, row := range people.Make(people.Config{Rows: n, Seed: 1}) {
		f := row.Fields
		all = append(all, load.Person{
			Email: f[people.Email], FirstName: f[people.Given], LastName: f[people.Family],
			Phone: f[people.Phone], Company: f[people.Company],
		})
	}
	return all
}

// export runs the lake over all that is on its topics and not in it yet.
func (b *lakeBed) export(ctx context.Context) (usage, time.Duration, error) {
	d, err := b.daemon(ctx, "lake", "--data", b.data)
	if err != nil {
		return usage{}, 0, err
	}
	if err := b.read(ctx, d); err != nil {
		return usage{}, 0, err
	}
	if err := d.stop(); err != nil {
		return usage{}, 0, err
	}
	return usageOf(d.cmd.ProcessState), time.Since(d.began), nil
}

// read waits until the lake has read all that it keeps.
func (b *lakeBed) read(ctx context.Context, d *daemon) error {
	ends := map[string][]int64{}
	for _, t := range b.cfg.Topics {
		at, err := b.client.Ends(ctx, t.Name)
		if err != nil {
			return err
		}
		ends[t.Name] = at
	}
	bar := progress.New(b.cfg.Progress, progress.Options{
		What: "export", Total: sum(ends[string(schemas.Beacons)]),
	})
	for {
		at, err := d.offsets(ctx)
		if err != nil {
			return err
		}
		done, all := int64(0), true
		for topic, partitions := range at {
			for p, offset := range partitions {
				all = all && offset >= ends[topic][p]
				if topic == string(schemas.Beacons) {
					done += offset
				}
			}
		}
		bar.Set(done)
		if all && len(at) > 0 {
			bar.Done("%d records read", done)
			return nil
		}
		if !kafka.Pause(ctx, drainPoll) {
			return ctx.Err()
		}
	}
}

// offsets is how far the lake has read each partition.
func (d *daemon) offsets(ctx context.Context) (map[string][]int64, error) {
	text, _, err := d.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	at := map[string][]int64{}
	for line := range strings.Lines(string(text)) {
		var topic string
		var partition int
		var offset float64
		line = strings.NewReplacer(`partition="`, "", `",topic="`, " ", `"}`, "").Replace(line)
		if _, err := fmt.Sscanf(line, "crumbtrail_lake_read_offset{%d %s %g", &partition, &topic,
			&offset); err != nil {
			continue
		}
		for len(at[topic]) <= partition {
			at[topic] = append(at[topic], 0)
		}
		at[topic][partition] = int64(offset)
	}
	return at, nil
}

// derive makes visits and contacts of what is on the topics and puts them into the lake, too.
func (b *lakeBed) derive(ctx context.Context) error {
	s, err := b.sessionizer(ctx)
	if err != nil {
		return err
	}
	if err := b.drain(ctx, s); err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	if _, err := b.check(ctx); err != nil {
		return err
	}
	d, err := b.daemon(ctx, "resolve")
	if err != nil {
		return err
	}
	if err := b.decided(ctx, d, int64(b.writer.Submissions())); err != nil {
		return err
	}
	if err := d.stop(); err != nil {
		return err
	}
	_, _, err = b.export(ctx)
	return err
}
