package kafka

import (
	"io"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A member whose process ends while its join waits for the others is no member for long.
func TestJoinOfTheDead(t *testing.T) {
	const session = time.Second
	broker, err := Embedded(EmbeddedConfig{
		Dir: t.TempDir(), MinSession: session, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	client, err := Dial(Config{
		Brokers: []string{broker.Addr()}, ClientID: "test", Prefix: "t.", Session: session,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); broker.Close() })
	ensure(t, client, 4, "in")

	a := join(t, client)
	a.until(t, 4)
	joinAndDie(t, broker.Addr(), "t.group", "t.in")
	a.until(t, 2)
	if got := a.until(t, 4).Partitions; !slices.Equal(got, []int32{0, 1, 2, 3}) {
		t.Errorf("when it was gone: %v", got)
	}
	a.stop()
	if err := <-a.done; err != nil {
		t.Error(err)
	}
}

// joinAndDie sends the request of a member that joins and ends the connection.
func joinAndDie(t *testing.T, address, group, topic string) {
	t.Helper()
	metadata := kmsg.NewConsumerMemberMetadata()
	metadata.Topics = []string{topic}
	protocol := kmsg.NewJoinGroupRequestProtocol()
	protocol.Name, protocol.Metadata = (&sticky{}).ProtocolName(), metadata.AppendTo(nil)
	request := kmsg.NewPtrJoinGroupRequest()
	request.Version, request.Group, request.ProtocolType = 1, group, "consumer"
	request.SessionTimeoutMillis, request.RebalanceTimeoutMillis = 1000, 10_000
	request.Protocols = append(request.Protocols, protocol)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, request, 1)); err != nil {
		t.Fatal(err)
	}
}

// pieces is a connection that gives what it is made of piece by piece, and then its end.
type pieces struct {
	net.Conn
	left [][]byte
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.left[0])
	if p.left[0] = p.left[0][n:]; len(p.left[0]) == 0 {
		p.left = p.left[1:]
	}
	return n, nil
}

func (p *pieces) Write(b []byte) (int, error) { return len(b), nil }
func (p *pieces) Close() error                { return nil }

// However the bytes come, a connection is held for a join or sync at its end and for nothing else.
func TestOwedConnFindsJoins(t *testing.T) {
	frame := func(r kmsg.Request) []byte {
		return kmsg.NewRequestFormatter().AppendRequest(nil, r, 1)
	}
	heartbeat := frame(kmsg.NewPtrHeartbeatRequest())
	for _, test := range []struct {
		name string
		last kmsg.Request
		owed bool
	}{
		{"join", kmsg.NewPtrJoinGroupRequest(), true},
		{"sync", kmsg.NewPtrSyncGroupRequest(), true},
		{"heartbeat", kmsg.NewPtrHeartbeatRequest(), false},
		{"fetch", kmsg.NewPtrFetchRequest(), false},
	} {
		whole := append(slices.Clone(heartbeat), frame(test.last)...)
		for size := 1; size <= len(whole); size++ {
			c := &owedConn{Conn: &pieces{left: slices.Collect(slices.Chunk(whole, size))}}
			if _, err := io.ReadFull(c, make([]byte, len(whole))); err != nil {
				t.Fatal(err)
			}
			if got := c.owing() != nil; got != test.owed {
				t.Fatalf("%s in pieces of %d bytes: owed is %v", test.name, size, got)
			}
			ended := make(chan error, 1)
			go func() { _, err := c.Read(make([]byte, 1)); ended <- err }()
			if test.owed {
				select {
				case err := <-ended:
					t.Fatalf("%s: ended before its answer: %v", test.name, err)
				default:
				}
				if _, err := c.Write([]byte{0}); err != nil {
					t.Fatal(err)
				}
			}
			if err := <-ended; err != io.EOF {
				t.Fatalf("%s: %v", test.name, err)
			}
		}
	}
}
