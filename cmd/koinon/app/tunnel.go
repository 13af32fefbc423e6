package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"sync/atomic"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/agentaccess/doors"
	"github.com/koinon-io/koinon/pkg/agentaccess/service"
	"github.com/koinon-io/koinon/pkg/memberaccess"
	"github.com/koinon-io/koinon/pkg/pki"
	"github.com/koinon-io/koinon/pkg/servingcert"
	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/mux"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
)

// tunnelRetry is when a start of the tunnel is tried again.
const tunnelRetry = 5 * time.Second

// tunnelPart is the tunnel of this server: agents connect to it, and members are reached through them. A nil one is a server
// without.
type tunnelPart struct {
	options  *ServerOptions
	listener net.Listener
	// id is this process's among servers with a tunnel.
	id        string
	frontends openedFrontends
	// service is there once this process knows its certificate.
	service atomic.Pointer[service.Service]
}

// openTunnel binds the port; it returns nil if this process has no tunnel.
func (o *ServerOptions) openTunnel() (*tunnelPart, error) {
	if !o.runs(componentTunnel) {
		return nil, nil
	}
	listener, err := listen(o.TunnelBindAddress, o.TunnelPort, "--tunnel-bind-address", "--tunnel-port")
	if err != nil {
		return nil, err
	}
	frontends, err := o.TunnelFrontends.open()
	if err != nil {
		_ = listener.Close()
		return nil, err
	}
	return &tunnelPart{options: o, listener: listener, id: tunnelID(), frontends: frontends}, nil
}

func (p *tunnelPart) close() {
	if p != nil {
		_ = p.listener.Close()
		p.frontends.close()
	}
}

// checkTunnel says what is wrong with the tunnel's flags.
func (o *ServerOptions) checkTunnel() error {
	var errs []error
	if o.TunnelPort < 0 || o.TunnelPort > 65535 {
		errs = append(errs, fmt.Errorf("--tunnel-port is %d: it must be between 0 and 65535", o.TunnelPort))
	}
	if o.runs(componentTunnel) && !o.runs(componentAPIServer) {
		errs = append(errs, errors.New("--components has the tunnel without the apiserver: members are reached through it in this process only"))
	}
	errs = append(errs, o.TunnelFrontends.check(o.runs(componentTunnel)))
	errs = append(errs, checkTunnelAddresses("--tunnel-", o.TunnelAdvertiseAddresses, o.TunnelPeerAddress)...)
	if !o.TunnelAgents && len(o.TunnelAdvertiseAddresses) > 0 {
		errs = append(errs, errors.New("--tunnel-advertise-address is given with --tunnel-agents=false: agents are not told of this server then"))
	}
	return errors.Join(errs...)
}

// checkTunnelAddresses says what is wrong with where a tunnel is found; prefix begins the names of the flags.
func checkTunnelAddresses(prefix string, advertised []string, peer string) (errs []error) {
	isHost := func(host string) bool {
		return net.ParseIP(host) != nil || len(validation.IsDNS1123Subdomain(host)) == 0
	}
	isPort := func(port string) bool {
		number, err := strconv.ParseUint(port, 10, 16)
		return err == nil && number != 0
	}
	for _, address := range advertised {
		if host, port := splitAdvertised(address, 1); !isHost(host) || !isPort(port) {
			errs = append(errs, fmt.Errorf("%sadvertise-address is %q: it must be HOST or HOST:PORT, where HOST is a DNS name or an IP address", prefix, address))
		}
	}
	if host, port, err := net.SplitHostPort(peer); peer != "" && (err != nil || !isHost(host) || !isPort(port)) {
		errs = append(errs, fmt.Errorf("%speer-address is %q: it must be HOST:PORT, where HOST is a DNS name or an IP address", prefix, peer))
	}
	return errs
}

// splitAdvertised takes HOST or HOST:PORT apart.
func splitAdvertised(address string, defaultPort int) (host, port string) {
	if host, port, err := net.SplitHostPort(address); err == nil {
		return host, port
	}
	return address, strconv.Itoa(defaultPort)
}

// tunnelHosts are the names of the tunnel in the serving certificate.
func (o *ServerOptions) tunnelHosts() (hosts []string) {
	if !o.runs(componentTunnel) {
		return nil
	}
	for _, address := range o.TunnelAdvertiseAddresses {
		host, _ := splitAdvertised(address, o.TunnelPort)
		hosts = append(hosts, host)
	}
	return hosts
}

// addresses are where agents find the tunnel, HOST:PORT; none if they are not to.
func (p *tunnelPart) addresses() []string {
	if !p.options.TunnelAgents {
		return nil
	}
	advertised := p.options.TunnelAdvertiseAddresses
	if len(advertised) == 0 {
		advertised = []string{p.options.Generic.ExternalHost}
	}
	return withPorts(advertised, p.listener.Addr().(*net.TCPAddr).Port)
}

// withPorts are addresses HOST:PORT of such that may have no port.
func withPorts(advertised []string, port int) []string {
	var addresses []string
	for _, address := range advertised {
		addresses = append(addresses, net.JoinHostPort(splitAdvertised(address, port)))
	}
	return addresses
}

// peerAddress is where other servers find it.
func (p *tunnelPart) peerAddress() string {
	if p.options.TunnelPeerAddress != "" {
		return p.options.TunnelPeerAddress
	}
	return ownAddress(p.listener, p.options.Generic.AdvertiseAddress)
}

// ownAddress is where a listener is found from other machines. advertised is where this one is, if the listener does not say; what is on
// loopback is not found by others.
func ownAddress(listener net.Listener, advertised net.IP) string {
	at := listener.Addr().(*net.TCPAddr)
	host := at.IP
	if host.IsUnspecified() {
		host = advertised
		if found, err := utilnet.ChooseHostInterface(); (host == nil || host.IsLoopback()) && err == nil {
			host = found
		}
	}
	if host == nil {
		host = net.IPv4(127, 0, 0, 1)
	}
	return net.JoinHostPort(host.String(), strconv.Itoa(at.Port))
}

// notInID is what ids of servers do not have.
var notInID = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// tunnelID is the id of this process among servers with a tunnel: the name of a machine may have what those do not.
func tunnelID() string { return "server" + notInID.ReplaceAllString("-"+identity(), "-") }

// through is how members are reached through the tunnel; nil if there is none.
func (p *tunnelPart) through() memberaccess.Tunnel {
	if p == nil {
		return nil
	}
	return p.dial
}

// server is what links are at; nil before agents can connect.
func (p *tunnelPart) server() *server.Server {
	if running := p.service.Load(); running != nil {
		return running.Server()
	}
	return nil
}

// dial connects to the API server of a member, as its agent calls it.
func (p *tunnelPart) dial(ctx context.Context, member string) (net.Conn, error) {
	serving := p.server()
	if serving == nil {
		return nil, memberaccess.NoAgent("the tunnel has not started: see the log of this server")
	}
	conn, err := serving.Dial(ctx, tunnel.Name{Cluster: member}, "tcp", tunnel.APIServer)
	var failed *tunnel.DialError
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return nil, err
	case errors.Is(err, tunnel.ErrNoAgent):
		return nil, memberaccess.NoAgent("no agent of it is connected to the tunnel: koinon-agent does not run there, or does not get through")
	case errors.As(err, &failed) && failed.Code == mux.Draining:
		return nil, memberaccess.NoAgent("%v, and there is no other", failed.Err)
	case errors.As(err, &failed) && failed.Code != mux.Internal:
		return nil, memberaccess.NotDialed("its agent cannot connect to the API server there: %v", failed.Err)
	}
	return nil, memberaccess.NotDialed("the connection to its agent broke")
}

// ownServing is that of a server that runs alone. Files are read each time, so that a renewal needs no restart.
func ownServing(keys *pki.PKI) service.Serving {
	return func() (tls.Certificate, []byte, error) {
		certificate, err := tls.LoadX509KeyPair(keys.ServingFile(), keys.ServingFile())
		if err != nil {
			return tls.Certificate{}, nil, err
		}
		ca, err := os.ReadFile(keys.CAFile())
		return certificate, ca, err
	}
}

// hostServing is that of a server behind a host.
func hostServing(kept *servingcert.Keeper) service.Serving {
	return func() (tls.Certificate, []byte, error) {
		certificate, err := kept.Certificate().GetCertificate(nil)
		if err != nil {
			return tls.Certificate{}, nil, err
		}
		return *certificate, kept.Certificate().Trust(), nil
	}
}

// users returns the authorities of the API's users, PEM, nil if nobody asks. What it needs ends with the context.
type users func(ctx context.Context, below *alongside) (func() ([]byte, error), error)

// runBelow runs the tunnel, once ready returns, until below ends. When ctx ends, agents are told that this server will go.
func (p *tunnelPart) runBelow(ctx context.Context, below *alongside, ready func(context.Context) error, api *rest.Config, serving service.Serving, of users) error {
	serve := below.begin(context.WithoutCancel(ctx))
	if p == nil {
		return nil
	}
	clients, err := of(serve, below)
	if err != nil {
		return err
	}
	doors, err := p.newDoors(serving, clients)
	if err != nil {
		return err
	}
	if err := legacyregistry.CustomRegister(service.Metrics(p.server)); err != nil {
		klog.FromContext(ctx).Error(err, "There are no metrics of the tunnel")
	}
	below.running.Go(func() {
		logger := klog.FromContext(serve).WithName("tunnel")
		serve := klog.NewContext(serve, logger)
		for ready(serve) == nil && serve.Err() == nil {
			err := p.run(serve, ctx, api, serving, doors)
			if serve.Err() != nil {
				return
			}
			logger.Error(err, "The tunnel does not run and is tried again; members that are reached through it are not", "interval", tunnelRetry)
			select {
			case <-serve.Done():
			case <-time.After(tunnelRetry):
			}
		}
	})
	return nil
}

// run serves agents until ctx ends. ending ends earlier, when this process is told to end.
func (p *tunnelPart) run(ctx, ending context.Context, api *rest.Config, serving service.Serving, doors *doors.Doors) error {
	running, err := service.New(service.Config{
		Namespace: p.options.Namespace, ID: p.id, Listener: p.listener, Addresses: p.addresses(), Peer: p.peerAddress(), Serving: serving, Doors: doors,
	})
	if err != nil {
		return err
	}
	p.service.Store(running)
	return running.Run(ctx, ending, api)
}
