package enroll

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/authority/authoritytest"
	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
	"github.com/koinon-io/koinon/pkg/tunnel/identity"
)

var m1 = tunnel.Name{Cluster: "m1"}

func dir(t *testing.T) *Dir {
	t.Helper()
	d, err := NewDir(filepath.Join(t.TempDir(), "state"), os.WriteFile)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func token(text string) func() (string, error) { return func() (string, error) { return text, nil } }

// keeper is one that trusts the servers' authority by its pin.
func keeper(t *testing.T, tn *authoritytest.Tunnel, state State, change func(*Config)) *Keeper {
	t.Helper()
	config := Config{Servers: []string{tn.Address}, State: state, Pins: []identity.Pin{tn.Pin()}, Logger: authoritytest.Quiet}
	if change != nil {
		change(&config)
	}
	k, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// start starts it, and gives up after a while.
func start(t *testing.T, k *Keeper) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), authoritytest.Patience)
	defer cancel()
	return k.Start(ctx)
}

func TestATokenIsNeededTheFirstTimeOnly(t *testing.T) {
	tn, state := authoritytest.Start(t, nil), dir(t)
	first := keeper(t, tn, state, func(c *Config) { c.Token = token(tn.Tokens.New(t, m1, time.Now(), time.Hour)) })
	if err := start(t, first); err != nil {
		t.Fatal(err)
	}
	if name, _ := first.Certificate(); name != m1 {
		t.Errorf("it is for %s", name)
	}
	entries, err := os.ReadDir(state.path)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %s, %v", entry.Name(), info.Mode(), err)
		}
		files = append(files, entry.Name())
	}
	if want := []string{"agent.pem", "ca.crt"}; !slices.Equal(files, want) {
		t.Errorf("the state has %q, not %q", files, want)
	}
	later := keeper(t, tn, state, func(c *Config) { c.Pins = nil })
	if err := start(t, later); err != nil {
		t.Fatal(err)
	}
	if err := later.Renew(t.Context()); err != nil {
		t.Errorf("the certificate of the state is not good: %v", err)
	}
}

func TestWhatKeepsAnAgentFromItsFirstCertificateIsASentence(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	other := authoritytest.NewCA(t, "another")
	for what, test := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no token":          {func(c *Config) { c.Token = nil }, "and there is no token to get one for: kubectl koinon agent makes one"},
		"no file of it":     {func(c *Config) { c.Token = func() (string, error) { return "", fs.ErrNotExist } }, "and there is no token: file does not exist"},
		"an unknown token":  {func(c *Config) { c.Token = token("aaaaaaaa." + strings.Repeat("a", 32)) }, "the token aaaaaaaa is not known here"},
		"another's token":   {func(c *Config) { c.Name = tunnel.Name{Cluster: "m2"} }, `is for cluster "m1", and not for cluster "m2"`},
		"a wrong pin":       {func(c *Config) { c.Pins = []identity.Pin{identity.PinOf(other.Certificate)} }, "has another authority than was pinned: its key is " + tn.Pin().String()},
		"neither":           {func(c *Config) { c.Pins = nil }, "neither the authority of the server nor a pin of it was given"},
		"no file of the CA": {func(c *Config) { c.Pins, c.CA = nil, func() ([]byte, error) { return nil, fs.ErrNotExist } }, "file does not exist"},
	} {
		t.Run(what, func(t *testing.T) {
			state := dir(t)
			k := keeper(t, tn, state, func(c *Config) {
				c.Token = token(tn.Tokens.New(t, m1, time.Now(), time.Hour))
				test.change(c)
			})
			if err := start(t, k); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if _, err := state.Read(agentFile); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("there is a certificate: %v", err)
			}
		})
	}
}

// said is a log, for what passes and is tried again.
type said struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func TestAPinIsOfTheAuthorityThatSignedAndNotOfOneThatIsShown(t *testing.T) {
	tn, other := authoritytest.Start(t, nil), authoritytest.NewCA(t, "another")
	now := time.Now()
	foreign := other.ForServer(t, now.Add(-time.Hour), now.Add(time.Hour))
	foreign.Certificate = append(foreign.Certificate, tn.Servers.Certificate.Raw)
	tn.ServeAs(foreign)
	k := keeper(t, tn, dir(t), nil)
	config, err := k.firstTrust(tn.Address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.askCertificate(t.Context(), tn.Address, config, "token", nil); err == nil || !strings.Contains(err.Error(), "is of an authority that is not trusted here") {
		t.Errorf("got %v", err)
	}
}

func TestAProxyThatEndsTLSIsNoReasonToStopIfTheServerIsAway(t *testing.T) {
	mismatch, away := fmt.Errorf("direct: %w", &pinError{}), errors.New("websocket: connection refused")
	if isFinal(fmt.Errorf("%w; %w", mismatch, away)) || !isFinal(fmt.Errorf("%w; %w", mismatch, fmt.Errorf("websocket: %w", &pinError{}))) {
		t.Error("one way is not all ways")
	}
}

func TestWhatPassesIsTriedAgainAndSaid(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	now := time.Now()
	for what, test := range map[string]struct {
		from, until time.Time
		ca          *authoritytest.CA
		want        string
	}{
		"a clock that is behind":     {now.Add(24 * time.Hour), now.Add(48 * time.Hour), tn.Servers, "and this machine's clock says"},
		"a certificate that expired": {now.Add(-48 * time.Hour), now.Add(-24 * time.Hour), tn.Servers, "and this machine's clock says"},
		"another server":             {now, now.Add(time.Hour), authoritytest.NewCA(t, "servers"), "is of an authority that is not trusted here"},
	} {
		t.Run(what, func(t *testing.T) {
			tn.ServeAs(test.ca.ForServer(t, test.from, test.until))
			log := &said{}
			k := keeper(t, tn, dir(t), func(c *Config) {
				c.Token, c.Pins, c.Logger = token(tn.Tokens.New(t, m1, now, time.Hour)), nil, slog.New(slog.NewTextHandler(log, nil))
				c.CA, c.Dialer = func() ([]byte, error) { return tn.Servers.PEM(), nil }, &carrier.Dialer{Way: carrier.Direct}
			})
			var running sync.WaitGroup
			running.Go(func() {
				if err := start(t, k); err != nil {
					t.Error(err)
				}
			})
			authoritytest.Eventually(t, "it says "+test.want, func() bool { return strings.Contains(log.String(), test.want) })
			tn.ServeAs(tn.Servers.ForServer(t, now.Add(-time.Hour), now.Add(time.Hour)))
			running.Wait()
		})
	}
}

func TestAnAnswerThatGotLostIsAskedForAgain(t *testing.T) {
	tn, state := authoritytest.Start(t, nil), dir(t)
	text := tn.Tokens.New(t, m1, time.Now(), time.Hour)
	used := func() bool {
		token, err := tn.Tokens.Get(t.Context(), text[:8])
		return err == nil && token.Key != ""
	}
	k := keeper(t, tn, state, func(c *Config) {
		c.Token, c.Pins = token(text), nil
		c.CA = func() ([]byte, error) { return tn.Servers.PEM(), nil }
		c.Dialer = &carrier.Dialer{Way: carrier.Direct, Connect: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			return deafConn{conn, used}, err
		}}
	})
	if err := k.first(t.Context(), &missingError{errors.New("none")}); err == nil || isFinal(err) || !used() {
		t.Fatalf("got %v, and the token was used: %t", err, used())
	}
	again := keeper(t, tn, state, func(c *Config) { c.Token = token(text) }) // another process
	if err := start(t, again); err != nil {
		t.Error(err)
	}
}

// deafConn is a connection that breaks before its answer comes.
type deafConn struct {
	net.Conn
	deaf func() bool
}

func (c deafConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.deaf() {
		return 0, net.ErrClosed
	}
	return n, err
}

func TestACertificateIsRenewedWhenItIsDue(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	var ahead atomic.Int64
	k := keeper(t, tn, dir(t), func(c *Config) {
		c.Token = token(tn.Tokens.New(t, m1, time.Now(), time.Hour))
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	if err := start(t, k); err != nil {
		t.Fatal(err)
	}
	k.checkEvery = time.Millisecond
	renewed := make(chan struct{}, 1)
	k.OnRenewed(func() { renewed <- struct{}{} })
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { k.Run(ctx) })
	defer running.Wait()
	defer cancel()
	before := k.held()
	life := before.chain[0].NotAfter.Sub(before.chain[0].NotBefore)
	if after := before.due().Sub(before.chain[0].NotBefore); after < life*6/10 || after > life*8/10 {
		t.Errorf("it is due after %s of %s", after, life)
	}
	tn.SetClock(life * 8 / 10) // of the authority: what it signs is good for longer than what there is
	ahead.Store(int64(life * 8 / 10))
	select {
	case <-renewed:
	case <-time.After(authoritytest.Patience):
		t.Fatal("it is not renewed")
	}
	if after := k.held(); !after.newer(before) || after.name != m1 {
		t.Errorf("got one for %s until %s", after.name, after.chain[0].NotAfter)
	}
}

func TestACertificateThatEndedWhileTheAgentWasOffNeedsAToken(t *testing.T) {
	tn, state := authoritytest.Start(t, nil), dir(t)
	first := keeper(t, tn, state, func(c *Config) { c.Token = token(tn.Tokens.New(t, m1, time.Now(), time.Hour)) })
	if err := start(t, first); err != nil {
		t.Fatal(err)
	}
	later := func() time.Time { return time.Now().Add(30 * 24 * time.Hour) }
	off := keeper(t, tn, state, func(c *Config) { c.Now = later })
	err := start(t, off)
	for _, want := range []string{`the certificate of this agent of cluster "m1" was good until`, "unless the clock is wrong, a new token is needed", "kubectl koinon agent makes one"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	tn.SetClock(30 * 24 * time.Hour)
	again := keeper(t, tn, state, func(c *Config) {
		c.Now, c.Token = later, token(tn.Tokens.New(t, m1, later(), time.Hour))
	})
	if err := start(t, again); err != nil {
		t.Error(err)
	}
}

func TestAStateThatIsBrokenIsSaidAndMendedWithAToken(t *testing.T) {
	tn, state := authoritytest.Start(t, nil), dir(t)
	for what, text := range map[string]string{"empty": "", "half": "-----BEGIN CERTIFICATE-----\nMII", "another thing": "hello"} {
		if err := state.Write(agentFile, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := start(t, keeper(t, tn, state, nil)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("agent.pem in %s cannot be used", state)) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	mended := keeper(t, tn, state, func(c *Config) { c.Token = token(tn.Tokens.New(t, m1, time.Now(), time.Hour)) })
	if err := start(t, mended); err != nil {
		t.Error(err)
	}
}

func TestWhatTheStateHasLostIsPutBack(t *testing.T) {
	tn, state := authoritytest.Start(t, nil), dir(t)
	log := &said{}
	k := keeper(t, tn, state, func(c *Config) {
		c.Token, c.Logger = token(tn.Tokens.New(t, m1, time.Now(), time.Hour)), slog.New(slog.NewTextHandler(log, nil))
	})
	if err := start(t, k); err != nil {
		t.Fatal(err)
	}
	for what, lose := range map[string]func() error{
		"a certificate": func() error { return state.Remove(agentFile) },
		"all of it":     func() error { return errors.Join(state.Remove(agentFile), state.Remove(caFile)) },
		"its sense":     func() error { return state.Write(agentFile, []byte("hello")) },
	} {
		if err := lose(); err != nil {
			t.Fatal(err)
		}
		if err := k.check(t.Context(), k.held()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		later := keeper(t, tn, state, func(c *Config) { c.Pins = nil })
		if err := start(t, later); err != nil {
			t.Errorf("%s: another start: %v", what, err)
		} else if err := later.Renew(t.Context()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if err := k.check(t.Context(), k.held()); err != nil { // it takes that
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := log.String(); strings.Count(got, "another start needs a token") != 3 || strings.Count(got, "Put the certificate back") != 3 {
		t.Errorf("it said %s", got)
	}
}

func TestAStateThatCannotBeReadIsSaidOnce(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	log, state := &said{}, &brokenState{Dir: dir(t)}
	k := keeper(t, tn, state, func(c *Config) {
		c.Token, c.Logger = token(tn.Tokens.New(t, m1, time.Now(), time.Hour)), slog.New(slog.NewTextHandler(log, nil))
	})
	if err := start(t, k); err != nil {
		t.Fatal(err)
	}
	for _, broken := range []error{errors.New("away"), errors.New("away"), nil, errors.New("away")} {
		state.broken = broken
		if err := k.check(t.Context(), k.held()); err != nil {
			t.Error(err)
		}
	}
	if got := log.String(); strings.Count(got, "another start needs a token") != 2 || strings.Contains(got, "Put the certificate back") {
		t.Errorf("it said %s", got)
	}
}

// brokenState is one that may not be read for a while.
type brokenState struct {
	*Dir
	broken error
}

func (s *brokenState) Read(file string) ([]byte, error) {
	if s.broken != nil {
		return nil, s.broken
	}
	return s.Dir.Read(file)
}

func TestWhatAnotherAgentHasRenewedIsTaken(t *testing.T) {
	tn, state := authoritytest.Start(t, nil), dir(t)
	first := keeper(t, tn, state, func(c *Config) { c.Token = token(tn.Tokens.New(t, m1, time.Now(), time.Hour)) })
	if err := start(t, first); err != nil {
		t.Fatal(err)
	}
	second := keeper(t, tn, state, nil)
	if err := start(t, second); err != nil {
		t.Fatal(err)
	}
	tn.SetClock(time.Hour)
	if err := first.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := second.held()
	if err := second.check(t.Context(), before); err != nil || second.held() == before {
		t.Errorf("it has the old one: %v", err)
	}
	if _, until := second.Certificate(); !until.Equal(first.held().chain[0].NotAfter) {
		t.Errorf("it has another one, until %s", until)
	}
}

func TestTheAuthorityOfServersIsReplacedWithoutAHandAtTheAgents(t *testing.T) {
	tn, state := authoritytest.Start(t, nil), dir(t)
	k := keeper(t, tn, state, func(c *Config) { c.Token = token(tn.Tokens.New(t, m1, time.Now(), time.Hour)) })
	if err := start(t, k); err != nil {
		t.Fatal(err)
	}
	next := authoritytest.NewCA(t, "next")
	serve := func(ca *authoritytest.CA) {
		tn.ServeAs(ca.ForServer(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)))
	}
	for what, step := range []func(){
		func() { tn.Announce(tn.Servers, next) }, // old and new, for as long as certificates live
		func() { serve(next) },
		func() { tn.Announce(next) },
	} {
		step()
		if err := k.Renew(t.Context()); err != nil {
			t.Fatalf("step %d: %v", what+1, err)
		}
	}
	serve(tn.Servers)
	if err := k.Renew(t.Context()); err == nil {
		t.Error("the old one is still believed")
	}
	serve(next)
	later := keeper(t, tn, state, nil) // with the pin of the old one
	if err := start(t, later); err != nil {
		t.Fatal(err)
	}
	if err := later.Renew(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestARevokedAgentIsToldWhyItIsNotRenewed(t *testing.T) {
	tn := authoritytest.Start(t, nil)
	k := keeper(t, tn, dir(t), func(c *Config) { c.Token = token(tn.Tokens.New(t, m1, time.Now(), time.Hour)) })
	if err := start(t, k); err != nil {
		t.Fatal(err)
	}
	tn.Revoke(m1, errors.New("it was revoked"))
	var refusal *identity.Refusal
	if err := k.Renew(t.Context()); !errors.As(err, &refusal) || refusal.Code != identity.NotAllowed || !strings.Contains(err.Error(), "it was revoked") {
		t.Errorf("got %v", err)
	}
}
