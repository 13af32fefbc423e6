package admin

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/koinon-io/koinon/pkg/storage/datastore"
	"github.com/koinon-io/koinon/pkg/storage/sqllog"
)

// Schema is the SQL that makes the tables in a kind of database, mysql or sqlite.
func Schema(kind string) (string, error) {
	var statements []string
	switch datastore.Kind(kind) {
	case datastore.MySQL:
		statements = sqllog.MySQLSchema()
	case datastore.SQLite:
		statements = sqllog.SQLiteSchema()
	default:
		return "", fmt.Errorf("there is no schema for %q: it must be mysql or sqlite", kind)
	}
	var b strings.Builder
	for _, statement := range statements {
		b.WriteString(indentation.ReplaceAllString(statement, "\n") + ";\n")
	}
	return outdent(b.String()), nil
}

// indentation is that of the source code.
var indentation = regexp.MustCompile(`\n\t`)

// outdent makes two spaces of what is left of it.
func outdent(s string) string { return strings.ReplaceAll(s, "\t", "  ") }
