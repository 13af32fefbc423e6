package sqllog

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
)

// The defaults of the driver's timeouts: how long a server that vanishes without a word, or
// hangs, is waited for.
const (
	dialTimeout   = 5 * time.Second
	answerTimeout = 10 * time.Second
)

// connector connects to the first address that takes writes, beginning with the one that
// did so last.
type connector struct {
	addresses []mysqlAddress
	current   atomic.Int32
	// database is the name of the database.
	database string
	// local is the address of this machine in the network of the database.
	local atomic.Pointer[net.IP]
}

type mysqlAddress struct {
	driver.Connector
	session *sessionSettings
}

// newConnector makes a connector to the database, or to the server alone.
func newConnector(config MySQLConfig, intoDatabase bool) (*connector, error) {
	parsed, err := mysql.ParseDSN(config.DSN)
	if err != nil {
		return nil, errors.New("the data source name is not readable")
	}
	parsed.Logger = silent{}
	// Statements go out in one packet, with their arguments in the text.
	parsed.InterpolateParams, parsed.MultiStatements = true, true
	// All that is sent are bytes and ASCII. The server reads literals of this character set
	// a quarter quicker than those of one with characters of several bytes.
	parsed.Collation = "binary"
	parsed.MaxAllowedPacket = 0 // ask the server
	if config.TLS != nil {
		parsed.TLS = config.TLS
	}
	parsed.Timeout = orDefault(parsed.Timeout, dialTimeout)
	parsed.ReadTimeout = orDefault(parsed.ReadTimeout, answerTimeout)
	parsed.WriteTimeout = orDefault(parsed.WriteTimeout, answerTimeout)
	if config.PasswordFile != "" {
		if err := parsed.Apply(mysql.BeforeConnect(passwordFrom(config.PasswordFile))); err != nil {
			return nil, err
		}
	}
	c := &connector{database: parsed.DBName}
	parsed.DialFunc = c.dial
	if !intoDatabase {
		parsed.DBName = ""
	}
	for _, address := range config.Addresses {
		one := parsed.Clone()
		one.Addr = address
		each, err := mysql.NewConnector(one)
		if err != nil {
			return nil, errors.New("the data source name is not usable")
		}
		c.addresses = append(c.addresses, mysqlAddress{each, &sessionSettings{}})
	}
	return c, nil
}

func orDefault(given, otherwise time.Duration) time.Duration {
	if given != 0 {
		return given
	}
	return otherwise
}

// passwordFrom reads the password for each connection, so that it can be changed.
func passwordFrom(path string) func(context.Context, *mysql.Config) error {
	return func(_ context.Context, config *mysql.Config) error {
		password, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read the password of the database: %w", err)
		}
		config.Passwd = string(bytes.TrimRight(password, "\r\n"))
		return nil
	}
}

// dial notes from where the database is reached.
func (c *connector) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if local, ok := conn.LocalAddr().(*net.TCPAddr); ok {
		c.local.Store(&local.IP)
	}
	return conn, nil
}

// Driver implements driver.Connector.
func (c *connector) Driver() driver.Driver { return c.addresses[0].Driver() }

// Connect implements driver.Connector.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	first := int(c.current.Load())
	var last error
	for i := range c.addresses {
		at := (first + i) % len(c.addresses)
		conn, err := c.addresses[at].open(ctx, len(c.addresses) > 1)
		if err == nil {
			c.current.Store(int32(at))
			return conn, nil
		}
		last = err
		if ctx.Err() != nil {
			break
		}
	}
	return nil, last
}

// errReadOnly is what a replica is: of several addresses, another one is to be used.
var errReadOnly = errors.New("the server is read-only")

func (a mysqlAddress) open(ctx context.Context, needWrites bool) (driver.Conn, error) {
	opened, err := a.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn, ok := opened.(driverConn)
	if ok {
		err = a.prepare(ctx, conn, needWrites)
	} else {
		err = errors.New("the driver cannot run statements")
	}
	if err != nil {
		_ = opened.Close()
		return nil, err
	}
	return &session{driverConn: conn, prepared: map[string]driver.Stmt{}}, nil
}

func (a mysqlAddress) prepare(ctx context.Context, conn driverConn, needWrites bool) error {
	if needWrites {
		if err := checkWritable(ctx, conn); err != nil {
			return err
		}
	}
	return a.session.apply(ctx, conn)
}

// checkWritable asks whether this is a primary. A Galera node that has lost the others
// refuses the question.
func checkWritable(ctx context.Context, session driver.QueryerContext) error {
	rows, err := session.QueryContext(ctx, "SELECT @@global.read_only + 0", nil)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	answer := make([]driver.Value, 1)
	if err := rows.Next(answer); err != nil {
		return err
	}
	switch value := answer[0].(type) {
	case int64:
		if value != 0 {
			return errReadOnly
		}
	case []byte:
		if string(value) != "0" {
			return errReadOnly
		}
	}
	return nil
}
