package main

import (
	"context"
	"os"
	"path/filepath"

	"crumbtrail/internal/datadir"
	"crumbtrail/internal/kafka"
)

// runBroker runs the embedded broker until ctx ends, so that stages on one machine can have
// processes of their own without a Kafka cluster.
func runBroker(ctx context.Context, c *call) (err error) {
	c.flags.StringVar(&c.listen, "listen", "127.0.0.1:9092", "address of the broker")
	session := c.flags.Duration("min-session", 0,
		"least session timeout that members of a group may ask for; 0: Kafka's, 6s")
	if err := c.parseAlone(); err != nil {
		return err
	}
	data, err := filepath.Abs(c.data)
	if err != nil {
		return err
	}
	lock, err := datadir.Acquire(data)
	if err != nil {
		return err
	}
	defer func() {
		if releaseErr := lock.Release(); err == nil {
			err = releaseErr
		}
	}()
	broker, err := kafka.Embedded(kafka.EmbeddedConfig{
		Dir: filepath.Join(data, brokerDir), Addr: c.listen, MinSession: *session, Log: c.log,
	})
	if err != nil {
		return err
	}
	defer broker.Close()
	if err := lock.Publish(datadir.Holder{PID: os.Getpid(), Command: c.flags.Name()}); err != nil {
		return err
	}
	c.log.Info("broker listens", "address", broker.Addr())
	<-ctx.Done()
	return nil
}
