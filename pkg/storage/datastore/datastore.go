package datastore

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// DefaultFile is the name of the SQLite database in the data directory.
const DefaultFile = "koinon.db"

// Kind says what keeps the data.
type Kind string

// The kinds of store.
const (
	// SQLite is one file, used by one server.
	SQLite Kind = "sqlite"
	// MySQL is a MySQL, MariaDB or OceanBase database that several servers may share.
	MySQL Kind = "mysql"
	// Etcd is a real etcd; nothing is embedded.
	Etcd Kind = "etcd"
)

// Datastore is a parsed --datastore value.
type Datastore struct {
	Kind Kind
	// oceanBase says of MySQL that it was named as OceanBase, which speaks MySQL's protocol.
	oceanBase bool
	// source is the data source name of MySQL. It may hold a password.
	source string
	// path is the database file of SQLite; normal says that commits are not synced one by
	// one.
	path   string
	normal bool
	// Addresses are the host:port pairs of MySQL and etcd.
	Addresses []string
}

// String names the store without user name and password.
func (d Datastore) String() string {
	if d.Kind == SQLite {
		return d.What() + " " + d.path
	}
	return d.What() + " at " + strings.Join(d.Addresses, ", ")
}

// What is the kind of store, without saying where it is.
func (d Datastore) What() string {
	switch {
	case d.Kind == SQLite:
		return "sqlite database"
	case d.oceanBase:
		return "oceanbase datastore"
	}
	return fmt.Sprintf("%s datastore", d.Kind)
}

// Path is the database file of SQLite, and empty for others.
func (d Datastore) Path() string { return d.path }

// Normal says of SQLite that commits are not synced one by one.
func (d Datastore) Normal() bool { return d.normal }

// DSN is the data source name of MySQL for the driver, and empty for others. It may hold a
// password.
func (d Datastore) DSN() string { return d.source }

// Same says that two name the same database, as far as their names tell.
func (d Datastore) Same(other Datastore) bool {
	if d.Kind != other.Kind || d.path != other.path || d.database() != other.database() {
		return false
	}
	return slices.Equal(slices.Sorted(slices.Values(d.Addresses)), slices.Sorted(slices.Values(other.Addresses)))
}

// database is the name of the database in a MySQL server.
func (d Datastore) database() string {
	config, err := mysql.ParseDSN(d.source)
	if err != nil {
		return ""
	}
	return config.DBName
}

// FromKine are the arguments that move what Kine has left in a database to ours in the same.
func (d Datastore) FromKine() string {
	name := "sqlite://" + d.path
	if d.Kind == MySQL {
		name = fmt.Sprintf("mysql://USER:PASSWORD@%s/%s", strings.Join(d.Addresses, ","), d.database())
	}
	return fmt.Sprintf("'kine+%s' '%s'", name, name)
}

// oceanBase is the scheme of OceanBase.
const oceanBase = "oceanbase"

// Parse reads a --datastore value. Empty means SQLite in dataDir. Errors never
// repeat what follows the scheme, since that is where passwords are.
func Parse(value, dataDir string) (Datastore, error) {
	if value == "" {
		value = "sqlite://" + filepath.Join(dataDir, DefaultFile)
	}
	scheme, rest, found := strings.Cut(value, "://")
	if !found {
		return Datastore{}, errors.New("--datastore has no scheme: it must be sqlite:///PATH, mysql://USER:PASSWORD@HOST:PORT[,HOST:PORT…]/DATABASE, oceanbase://… or etcd://HOST:PORT")
	}
	switch scheme {
	case "sqlite":
		return parseSQLite(rest, dataDir)
	case "mysql", oceanBase:
		return parseMySQL(scheme, rest)
	case "etcd":
		return parseEtcd(rest)
	}
	if strings.ContainsFunc(scheme, func(r rune) bool { return r != '+' && (r < 'a' || r > 'z') }) {
		scheme = "…" // it may be the beginning of anything, and so hold a password
	}
	return Datastore{}, fmt.Errorf("--datastore has the unknown scheme %q: it must be one of sqlite, mysql, oceanbase, etcd", scheme)
}

// parseSQLite reads PATH[?synchronous=full|normal].
//
// full, the default, makes every acknowledged write survive a power cut. normal is about
// twice as fast and survives kill -9, but a power cut may take the last writes back, and
// then clients have seen revisions that are given out a second time.
func parseSQLite(rest, dataDir string) (Datastore, error) {
	path, query, _ := strings.Cut(rest, "?")
	if path == "" {
		path = filepath.Join(dataDir, DefaultFile)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return Datastore{}, fmt.Errorf("--datastore: the parameters of sqlite://%s are not readable: %w", path, err)
	}
	synchronous := "full"
	for key, given := range values {
		if key != "synchronous" {
			return Datastore{}, fmt.Errorf("--datastore: sqlite has no parameter %q: the only one is synchronous", key)
		}
		synchronous = strings.ToLower(given[0])
	}
	if !slices.Contains([]string{"full", "normal"}, synchronous) {
		return Datastore{}, fmt.Errorf("--datastore: synchronous is %q: it must be full or normal", synchronous)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return Datastore{}, fmt.Errorf("--datastore: %w", err)
	}
	if strings.ContainsAny(absolute, "?#%") {
		return Datastore{}, fmt.Errorf("--datastore: the path %q holds one of the characters ? # %%, which SQLite would misread", absolute)
	}
	return Datastore{Kind: SQLite, path: absolute, normal: synchronous == "normal"}, nil
}

// parseMySQL reads USER:PASSWORD@HOST:PORT[,HOST:PORT…]/DATABASE?PARAMETERS, and the form of
// the Go driver, USER:PASSWORD@tcp(HOST:PORT[,HOST:PORT…])/DATABASE. Several hosts are the
// nodes of one database, of which the first that takes writes is used. The parameters are
// those of the driver.
func parseMySQL(scheme, rest string) (Datastore, error) {
	unreadable := fmt.Errorf("--datastore is not readable: after %s:// must follow USER:PASSWORD@HOST:PORT[,HOST:PORT…]/DATABASE", scheme)
	credentials, network, hosts, path := splitMySQL(rest)
	port := "3306"
	if scheme == oceanBase {
		port = "2881" // of observers; OBProxy has 2883
	}
	var addresses []string
	for host := range strings.SplitSeq(hosts, ",") {
		address, err := withPort(network, host, port)
		if err != nil {
			return Datastore{}, unreadable
		}
		addresses = append(addresses, address)
	}
	config, err := mysql.ParseDSN(credentials + network + "(" + addresses[0] + ")" + withoutCharacterSet(path))
	if err != nil {
		return Datastore{}, unreadable
	}
	if config.DBName == "" {
		config.DBName = "koinon"
	}
	return Datastore{Kind: MySQL, oceanBase: scheme == oceanBase, source: config.FormatDSN(), Addresses: addresses}, nil
}

// withoutCharacterSet leaves parameters out that mean nothing here, and that the driver would
// send with a collation of ours to which not every character set belongs: all that is sent are
// bytes.
func withoutCharacterSet(path string) string {
	database, parameters, _ := strings.Cut(path, "?")
	left := slices.DeleteFunc(strings.Split(parameters, "&"), func(parameter string) bool {
		name, _, _ := strings.Cut(parameter, "=")
		return name == "charset" || name == "collation"
	})
	return database + "?" + strings.Join(left, "&")
}

// splitMySQL takes a data source name apart: "user:password@", "tcp", "host:port,…" and
// "/database?parameters".
func splitMySQL(rest string) (credentials, network, hosts, path string) {
	slash := strings.LastIndex(rest, "/")
	if slash < 0 {
		rest, slash = rest+"/", len(rest)
	}
	if closing := strings.LastIndex(rest, ")/"); closing >= 0 { // a socket's path has slashes too
		slash = closing + 1
	}
	hosts, path = rest[:slash], rest[slash:]
	if at := strings.LastIndex(hosts, "@"); at >= 0 {
		credentials, hosts = hosts[:at+1], hosts[at+1:]
	}
	if inner, found := strings.CutSuffix(hosts, ")"); found {
		if name, addresses, found := strings.Cut(inner, "("); found {
			return credentials, name, addresses, path
		}
	}
	return credentials, "tcp", hosts, path
}

// withPort checks an address, and adds the port where there is none.
func withPort(network, host, port string) (string, error) {
	if network == "unix" {
		return host, nil
	}
	if host == "" || strings.ContainsAny(host, "()/") {
		return "", errors.New("no address")
	}
	if _, port, err := net.SplitHostPort(host); err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
		return host, err
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port), nil
}

// parseEtcd reads HOST:PORT[,HOST:PORT…].
func parseEtcd(rest string) (Datastore, error) {
	addresses := strings.Split(strings.TrimSuffix(rest, "/"), ",")
	for _, address := range addresses {
		_, port, err := net.SplitHostPort(address)
		if _, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || strings.Contains(address, "@") {
			return Datastore{}, errors.New("--datastore is not readable: after etcd:// must follow HOST:PORT, or several of them with commas between")
		}
	}
	return Datastore{Kind: Etcd, Addresses: addresses}, nil
}
