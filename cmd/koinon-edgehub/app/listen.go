package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	utiljson "k8s.io/apimachinery/pkg/util/json"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/koinon-io/koinon/pkg/edgehub/callers"
	"github.com/koinon-io/koinon/pkg/edgehub/identity"
	"github.com/koinon-io/koinon/pkg/edgehub/status"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

const (
	// headerTimeout is how long a client may take to say what it wants, and idleTimeout how long it may want nothing.
	headerTimeout, idleTimeout = 10 * time.Second, 5 * time.Minute
	// stopTimeout is how long what is under way may take when the hub ends. Watches are ended.
	stopTimeout = 2 * time.Second
)

// names are those by which pods know the API server.
var names = []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"}

// leasePath is where Leases of nodes are. That of a node is kubelet's alone.
const leasePath = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/"

// visits remember when somebody came last, and since when he has come again and again.
type visits struct {
	mu            sync.Mutex
	began, latest time.Time // guarded by mu; zero if nobody came
}

// visitsWithin is how soon one comes again after another of the same series: kubelet renews its Lease each ten seconds.
const visitsWithin = 30 * time.Second

func (v *visits) note() {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	if now.Sub(v.latest) > visitsWithin {
		v.began = now
	}
	v.latest = now
}

// last is zero if nobody came.
func (v *visits) last() time.Time {
	_, latest := v.series()
	return latest
}

// series is from when to when somebody has come without a gap; zero if nobody came.
func (v *visits) series() (began, latest time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.began, v.latest
}

// locally serves programs of the node: whoever has a client certificate of the hub's authority, and nobody else.
func (h *hub) locally() http.Handler {
	handler := h.knowingPods(h.handler)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == leasePath+h.node {
			h.kubelet.note()
		}
		handler.ServeHTTP(rw, r.WithContext(callers.With(r.Context(), &callers.Caller{Local: true})))
	})
}

// forPods serves whoever shows a token, as whom the token says. Who shows none is nobody, and what he shows else does not count.
func (h *hub) forPods() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		token := callers.BearerToken(r)
		if token == "" {
			h.handler.ServeHTTP(rw, r)
			return
		}
		user, err := h.tokens.Identify(r.Context(), token)
		switch {
		case errors.Is(err, callers.ErrNobody):
			status.Write(rw, apierrors.NewUnauthorized("Unauthorized"))
		case err != nil:
			status.Write(rw, apierrors.NewServiceUnavailable(err.Error()))
		default:
			h.handler.ServeHTTP(rw, r.WithContext(callers.With(r.Context(), &callers.Caller{User: user, Token: token})))
		}
	})
}

// serve serves until ctx ends.
func serve(ctx context.Context, listener net.Listener, handler http.Handler, settings *tls.Config, logger *slog.Logger) error {
	base, end := context.WithCancel(context.WithoutCancel(ctx)) // of requests: watches end with the hub
	server := &http.Server{
		Handler: handler, TLSConfig: settings, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return base },
	}
	var stopping sync.WaitGroup
	stopping.Go(func() { // ends with ctx
		<-ctx.Done()
		end()
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if server.Shutdown(patience) != nil {
			_ = server.Close()
		}
	})
	err := server.ServeTLS(listener, "", "")
	stopping.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// localTLS has clients show a certificate of the hub's authority. Nobody looks at the clock: it may be years off, and the certificates are good for a century.
func localTLS(a *identity.Authority, address netip.Addr) (*tls.Config, error) {
	certificate, err := a.Serving("localhost", address.String())
	if err != nil {
		return nil, err
	}
	roots := a.Pool()
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*certificate}, ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{"h2", "http/1.1"},
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
				Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, CurrentTime: state.PeerCertificates[0].NotBefore.Add(time.Hour),
			})
			return err
		},
	}, nil
}

// serviceKey is the view of the Service by which pods know the API server.
var serviceKey = view.Key{Version: "v1", Resource: "services", Namespace: "default", Fields: "metadata.name=kubernetes"}

// serviceAddresses are those of the Service, as far as it is known.
func (h *hub) serviceAddresses() (all []netip.Addr) {
	v, _, ok := h.cache.Find(serviceKey)
	if !ok {
		return nil
	}
	o, _, err := v.Get("default/kubernetes")
	if err != nil || o == nil {
		return nil
	}
	var service struct {
		Spec struct {
			ClusterIPs []string `json:"clusterIPs"`
		} `json:"spec"`
	}
	if utiljson.Unmarshal(o.Body, &service) != nil {
		return nil
	}
	for _, text := range service.Spec.ClusterIPs {
		if address, err := netip.ParseAddr(text); err == nil {
			all = append(all, address)
		}
	}
	return all
}

// podsTLS has a certificate for the hub's address and the Service's, as they are known.
func (h *hub) podsTLS(a *identity.Authority, address netip.Addr) *tls.Config {
	var (
		mu      sync.Mutex
		of      []netip.Addr
		current *tls.Certificate
	)
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			addresses := append([]netip.Addr{address}, h.serviceAddresses()...)
			hosts := slices.Clone(names)
			for _, a := range addresses {
				hosts = append(hosts, a.String())
			}
			mu.Lock()
			defer mu.Unlock()
			if current == nil || !slices.Equal(of, addresses) {
				made, err := a.Serving(hosts...)
				if err != nil {
					return nil, err
				}
				of, current = addresses, made
			}
			return current, nil
		},
	}
}
