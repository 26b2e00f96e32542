package kafka

import "context"

// Scan shows what a topic has between two offsets of each partition, batch by batch, one partition
// after the other. It ends with the first error, its own or that of see.
func (c *Client) Scan(
	ctx context.Context, topic string, from, to []int64, see func([]Record) error,
) error {
	for p, end := range to {
		for at := from[p]; at < end; {
			batch, err := c.Fetch(ctx, topic, int32(p), at, FetchWait)
			if err != nil {
				return err
			}
			if err := see(batch.Records); err != nil {
				return err
			}
			at = batch.Next
		}
	}
	return nil
}

// ScanAll is Scan of all that a topic has now.
func (c *Client) ScanAll(ctx context.Context, topic string, see func([]Record) error) error {
	from, err := c.Starts(ctx, topic)
	if err != nil {
		return err
	}
	to, err := c.Ends(ctx, topic)
	if err != nil {
		return err
	}
	return c.Scan(ctx, topic, from, to, see)
}
