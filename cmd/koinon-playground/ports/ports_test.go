package ports

import (
	"net"
	"strconv"
	"testing"
)

func TestPickGivesDifferentFreePorts(t *testing.T) {
	picked, err := Pick(50)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range picked {
		if seen[port] {
			t.Errorf("port %d was given twice", port)
		}
		seen[port] = true
		if port < First || port >= Limit {
			t.Errorf("port %d is not in %d to %d", port, First, Limit)
		}
		l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Errorf("port %d is not free: %v", port, err)
			continue
		}
		defer l.Close()
	}
}
