package storagetest

import (
	"net"
	"os/exec"
	"testing"
)

// Dump is all that mariadb-dump writes of the server's databases, as the administrator. It skips the test when the program is not
// installed, as package mariadb-client has it.
func (m *MariaDB) Dump(t testing.TB, args ...string) []byte {
	t.Helper()
	program := lookPath("mariadb-dump")
	if program == "" {
		t.Skip("mariadb-dump is not installed: install the package mariadb-client to dump a database")
	}
	host, port, _ := net.SplitHostPort(m.Address)
	cmd := exec.CommandContext(t.Context(), program, append([]string{"--no-defaults", "--host=" + host, "--port=" + port,
		"--user=" + adminUser, "--password=" + password, "--all-databases", "--single-transaction"}, args...)...)
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("dump MariaDB: %v", err)
	}
	return output
}
