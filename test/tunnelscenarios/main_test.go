package tunnelscenarios

import (
	"net"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	// What the runtime opens for its first connection stays.
	if listener, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		_ = listener.Close()
	}
	os.Exit(m.Run())
}
