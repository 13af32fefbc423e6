package datastore

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"

	"github.com/koinon-io/koinon/pkg/storage/fault"
)

// TLS names the files that secure the connection to a database or etcd. Empty means plain.
type TLS struct {
	CAFile   string
	CertFile string
	KeyFile  string
}

// Client loads the files; nil means plain.
func (t TLS) Client() (*tls.Config, error) {
	if t == (TLS{}) {
		return nil, nil
	}
	info := transport.TLSInfo{CertFile: t.CertFile, KeyFile: t.KeyFile, TrustedCAFile: t.CAFile}
	config, err := info.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("load the TLS files of the datastore: %w", err)
	}
	return config, nil
}

// CheckPasswordFile finds at once what would not get better by waiting.
func (d Datastore) CheckPasswordFile(path string) error {
	if path == "" {
		return nil
	}
	if d.Kind != MySQL {
		return fmt.Errorf("--datastore-password-file is given, but a %s takes no password", d.What())
	}
	if _, err := os.ReadFile(path); err != nil {
		return fmt.Errorf("--datastore-password-file: %w", err)
	}
	return nil
}

const (
	// connectTimeout is how long a datastore is waited for if nothing else is said, and
	// retryInterval the pause between attempts to reach it.
	connectTimeout = 10 * time.Second
	retryInterval  = 250 * time.Millisecond
)

// Await tries until a datastore can be used, for at most the timeout; zero means 10 s. It ends
// at once where waiting would not help. The error is a sentence: whether the datastore answered,
// and what it said.
func Await(ctx context.Context, where Datastore, timeout time.Duration, try func(context.Context) error) error {
	if timeout == 0 {
		timeout = connectTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var last error
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		kind := fault.KindOf(last)
		switch {
		case kind == fault.Unfit:
			return last
		case kind == fault.Denied:
			return fault.New(fmt.Sprintf("the %s refused the connection", where), fault.Of(last), last)
		case kind.NeedsHelp():
			return fault.New(fmt.Sprintf("the %s cannot be used", where), fault.Of(last), last)
		}
		select {
		case <-time.After(retryInterval):
			continue
		case <-ctx.Done():
		}
		if kind.Answered() {
			return fault.New(fmt.Sprintf("the %s could not be used within %s", where, timeout), fault.Of(last), last)
		}
		return fault.New(fmt.Sprintf("the %s did not answer within %s", where, timeout), fault.Of(last), last)
	}
}
