package tunnelscenarios

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/agent"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

// Clusters have nodes of the same names, and call what is in them the same; their names are beginnings of each other. Each
// request reaches the one that it is for: the certificate of what answers says which that is.
func TestEachOfManyClustersIsReachedAndNoOther(t *testing.T) {
	leavesNothing(t)
	random := newDice(t)
	clusters, requests := size(12, 500), size(200, 10_000)
	ca := tunneltest.NewAuthority(t)
	s := tunneltest.Serve(t, "", server.Config{ID: "a", TLS: ca.ServerTLS()})
	cluster := func(i int) string { return fmt.Sprintf("c%d", i) }
	names := map[tunnel.Name]bool{}
	for i := range clusters {
		for _, name := range []tunnel.Name{{Cluster: cluster(i)}, {Cluster: cluster(i), Node: "n1"}} {
			names[name] = true
			word := tunnel.APIServer
			if name.Node != "" {
				word = tunnel.Kubelet
			}
			own := &tls.Config{Certificates: []tls.Certificate{ca.Issue(time.Now().Add(time.Hour), name.URI())}}
			target := listen(t, func(conn net.Conn) {
				secure := tls.Server(conn, own)
				_ = secure.SetDeadline(time.Now().Add(tunneltest.Patience))
				_ = secure.HandshakeContext(t.Context())
				_, _ = secure.Read(make([]byte, 1))
			})
			only, err := agent.NewPolicy(map[string]string{word: target})
			if err != nil {
				t.Fatal(err)
			}
			tunneltest.Run(t, agent.Config{Servers: []string{s.Address}, TLS: ca.AgentTLS(name), Policy: only})
		}
	}
	eventually(t, "all are linked", func() bool { return len(s.Links()) == 2*clusters })
	f := newFront(t, frontend.Config{Opener: s, Suffix: "tunnel.test", Policy: policy{known: func(name tunnel.Name) bool {
		return names[name] || name.Cluster == "away" && name.Node == ""
	}}}, frontend.Client{Tenant: "all"})
	f.reaches(ca, requests, func() (want tunnel.Name, status int, target string, headers []string) {
		name := cluster(random.n(clusters))
		header := frontend.HeaderCluster + ": " + name
		switch random.n(9) {
		case 0:
			return tunnel.Name{Cluster: name}, 200, name + ".tunnel.test:443", nil
		case 1:
			return tunnel.Name{Cluster: name}, 200, "kubernetes.default.svc:443", []string{header}
		case 2:
			return tunnel.Name{Cluster: name, Node: "n1"}, 200, "n1." + name + ".tunnel.test:10250", nil
		case 3:
			return tunnel.Name{Cluster: name, Node: "n1"}, 200, "n1:10250", []string{header}
		case 4:
			return tunnel.Name{Cluster: name, Node: "n1"}, 200, "kubelet:10250", []string{header, frontend.HeaderNode + ": n1"}
		case 5:
			return tunnel.Name{}, 404, name + "x.tunnel.test:443", nil // nobody's
		case 6:
			return tunnel.Name{}, 503, "away.tunnel.test:443", nil
		case 7:
			return tunnel.Name{}, 503, "n2." + name + ".tunnel.test:10250", nil // nodes come and go
		default: // what a header says of one does not lead to another
			return tunnel.Name{}, 403, cluster(clusters) + ".tunnel.test:443", []string{header}
		}
	})
	eventually(t, "nothing is carried", func() bool { return streams(s) == 0 && f.Carried() == 0 })
}

// reaches makes requests, and looks at what answers.
func (f *front) reaches(ca *tunneltest.Authority, n int, next func() (want tunnel.Name, status int, target string, headers []string)) {
	f.t.Helper()
	each(f.t, n, 16, func(int) error {
		want, status, target, headers := next()
		conn, got, body, err := f.connect(target, headers...)
		switch {
		case err != nil || got != status:
			return fmt.Errorf("%s %q: got %d %s: %v; want %d", target, headers, got, body, err, status)
		case conn == nil:
			return nil
		}
		defer conn.Close()
		secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(state tls.ConnectionState) error {
			certificate := state.PeerCertificates[0]
			_, err := certificate.Verify(x509.VerifyOptions{Roots: ca.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
			answers, other := tunnel.NameOf(certificate)
			if err = errors.Join(err, other); err == nil && answers != want {
				err = fmt.Errorf("%s answers", answers)
			}
			return err
		}})
		if err := secure.HandshakeContext(f.t.Context()); err != nil {
			return fmt.Errorf("%s %q, which is %s: %w", target, headers, want, err)
		}
		return nil
	})
}
