package main

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"sync"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/authority"
	"github.com/koinon-io/koinon/pkg/tunnel/authority/authoritytest"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
)

// manyStreams is more than any row has on a link.
const manyStreams = 4000

// quiet logs what is wrong only, as a line of each connection would be measured too.
func quiet() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// everybody may reach everything.
type everybody struct{}

func (everybody) Client(*x509.Certificate) (frontend.Client, error) {
	return frontend.Client{Tenant: theTenant, Within: theCluster}, nil
}
func (everybody) Allow(context.Context, frontend.Client, tunnel.Name, string) error { return nil }
func (everybody) Known(tunnel.Name) bool                                            { return true }

// host is the process of our server.
type host struct {
	server  *server.Server
	tokens  *authoritytest.Tokens
	worker  worker // in process
	profile *os.File
}

// playServer runs the server with its authority and its front ends, on a Unix socket and over TLS.
func playServer(ctx context.Context, r role) (*player, error) {
	pair, err := loadPair(r.Dir, serverTLS)
	if err != nil {
		return nil, err
	}
	pool, err := loadPool(r.Dir, agentsCA)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool}
	getTLS := func() (*tls.Config, error) { return config, nil }
	h := &host{tokens: authoritytest.NewTokens()}
	signing, err := authority.New(authority.Config{
		Signer: func() (*x509.Certificate, crypto.Signer, error) { return loadAuthority(r.Dir, agentsCA) },
		CA:     func() ([]byte, error) { return os.ReadFile(filepath.Join(r.Dir, serversCA+".crt")) },
		Tokens: h.tokens, Logger: quiet(),
	})
	if err != nil {
		return nil, err
	}
	if h.server, err = server.New(server.Config{ID: "bench", TLS: getTLS, HTTP: signing, MaxStreams: manyStreams, Logger: quiet()}); err != nil {
		return nil, err
	}
	front, err := frontend.New(frontend.Config{Opener: h.server, Policy: everybody{}, Logger: quiet()})
	if err != nil {
		return nil, err
	}
	h.worker.dial = func(ctx context.Context, address string) (net.Conn, error) {
		return h.server.Dial(ctx, theCluster, "tcp", address)
	}
	links, err := net.Listen("tcp", r.Listen)
	if err != nil {
		return nil, err
	}
	socket, err := frontend.ListenUnix(r.Socket)
	if err != nil {
		return nil, err
	}
	secure, err := net.Listen("tcp", r.Secure)
	if err != nil {
		return nil, err
	}
	serving, stop := context.WithCancel(ctx)
	var all sync.WaitGroup // they end with serving
	serve := func(f func() error) {
		all.Go(func() {
			if err := f(); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		})
	}
	client := frontend.Client{Tenant: theTenant, Within: theCluster}
	serve(func() error { return h.server.Serve(serving, links) })
	serve(func() error { return front.Serve(serving, socket, frontend.Door{Client: client}) })
	serve(func() error { return front.Serve(serving, secure, frontend.Door{TLS: getTLS}) })
	return &player{
		ready: answer{Addresses: map[string]string{"links": links.Addr().String(), "secure": secure.Addr().String()}},
		do:    h.do,
		close: func() {
			stop()
			front.Close()
			h.server.Close()
			all.Wait()
		},
	}, nil
}

func (h *host) do(ctx context.Context, o order) (answer, error) {
	switch o.Work {
	case workLinks:
		return answer{Links: len(h.server.Links())}, nil
	case workToken:
		text, token, err := authority.NewToken(theCluster, time.Now(), time.Hour)
		h.tokens.Add(token)
		return answer{Text: text}, err
	case workProfile:
		return answer{}, h.profileTo(o.File)
	}
	return h.worker.do(ctx, o)
}

// profileTo ends a profile, and begins another if there is a file for it.
func (h *host) profileTo(file string) error {
	if h.profile != nil {
		pprof.StopCPUProfile()
		_ = h.profile.Close()
		h.profile = nil
	}
	if file == "" {
		return nil
	}
	var err error
	if h.profile, err = os.Create(file); err != nil {
		return err
	}
	return pprof.StartCPUProfile(h.profile)
}

// playAgents runs agents that do nothing of their own: of many clusters, or one of theCluster, whose memory can be asked for.
func playAgents(ctx context.Context, r role) (*player, error) {
	pool, err := loadPool(r.Dir, serversCA)
	if err != nil {
		return nil, err
	}
	policy, err := agent.NewPolicy(nil, "127.0.0.1:*")
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	var all sync.WaitGroup // they end with running
	for i := range r.Agents {
		name := theCluster
		if r.Agents > 1 {
			name.Cluster = "idle-" + strconv.Itoa(i)
		}
		pair, err := issue(r.Dir, agentsCA, name.URI())
		if err != nil {
			stop()
			return nil, err
		}
		config := &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool}
		a, err := agent.New(agent.Config{
			Servers: []string{r.Server}, TLS: func() (*tls.Config, error) { return config, nil }, Policy: policy, MaxStreams: manyStreams,
			Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
		if err != nil {
			stop()
			return nil, err
		}
		all.Go(func() { _ = a.Run(running) })
	}
	return &player{
		do: func(context.Context, order) (answer, error) {
			return answer{}, fmt.Errorf("agents take no orders but about their memory")
		},
		close: func() { stop(); all.Wait() },
	}, nil
}
