package kafka

import (
	"log/slog"
	"net"
	"testing"
)

func TestEmbeddedListensWhereItIsTold(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	var asked string
	broker, err := Embedded(EmbeddedConfig{
		Dir: t.TempDir(), Addr: addr, Log: slog.New(slog.DiscardHandler),
		Listen: func(network, address string) (net.Listener, error) {
			asked = address
			return net.Listen(network, address)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	if broker.Addr() != addr || asked != addr {
		t.Errorf("listens on %s, asked for %s, want %s", broker.Addr(), asked, addr)
	}
}

func TestEmbeddedRefusesAnAddressNobodyCanReach(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:9092", "[::]:9092", ":9092", "nine"} {
		broker, err := Embedded(EmbeddedConfig{
			Dir: t.TempDir(), Addr: addr, Log: slog.New(slog.DiscardHandler),
		})
		if err == nil {
			broker.Close()
			t.Errorf("%q was accepted", addr)
		}
	}
}
