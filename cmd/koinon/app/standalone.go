package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"syscall"

	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/host"
	"github.com/koinon-io/koinon/pkg/pki"
	"github.com/koinon-io/koinon/pkg/registry/proxy"
	"github.com/koinon-io/koinon/pkg/storage"
)

// What a server that runs alone has in its data directory beside the database.
const (
	kubeconfigName = "admin.kubeconfig"
	pkiName        = "pki"
)

// standalone is a server with an embedded host.
type standalone struct {
	options  *ServerOptions
	dir      *dataDir
	listener net.Listener
	store    *storage.Store
	tunnel   *tunnelPart // nil: there is none
	// encryption is the file of the EncryptionConfiguration, which is known with the configuration of the host.
	encryption string
}

// run serves until ctx is done, and calls ready once.
func (s *standalone) run(ctx context.Context, ready func(url, note string)) error {
	keys, err := s.ensureKeys(ctx)
	if err != nil {
		return err
	}
	config, err := s.hostConfig(ctx, keys)
	if err != nil {
		return err
	}
	server, err := host.New(ctx, config)
	if err != nil {
		return err
	}
	federation, err := s.options.newFederation(server.LoopbackConfig(), s.options.ownEndpoint(s.listener, keys.CAFile()), s.tunnel, s.store.Shared())
	if err != nil {
		return err
	}

	warning, err := newEncryptionWarning(server.LoopbackConfig(), s.options.Namespace, s.encryption, host.Secrets, host.FederatedSecrets)
	if err != nil {
		return err
	}

	// What the host carries through the tunnel goes on until the host has drained.
	var below alongside
	err = s.tunnel.runBelow(ctx, &below, func(ctx context.Context) error { return waitReady(ctx, server.LoopbackConfig()) }, server.LoopbackConfig(), ownServing(keys), ownUsers(keys))
	defer below.end()
	if err != nil {
		return err
	}

	// Everything beside the host ends when it has drained.
	var beside alongside
	ctx = beside.begin(ctx)
	defer beside.end()
	beside.running.Go(func() { keys.Run(ctx) })
	beside.running.Go(func() {
		if waitReady(ctx, server.LoopbackConfig()) == nil {
			ready(s.url(), "kubeconfig: "+s.dir.file(kubeconfigName))
		}
	})
	beside.running.Go(func() {
		if waitReady(ctx, server.LoopbackConfig()) == nil {
			warning.run(ctx)
		}
	})
	if s.options.runsHostControllers() {
		beside.running.Go(func() { runFederation(ctx, federation) })
	}
	return server.Run(ctx)
}

// ensureKeys brings keys up to date and writes the administrator's kubeconfig. A disk that is
// full, or takes no writes, is no reason not to serve reads.
func (s *standalone) ensureKeys(ctx context.Context) (*pki.PKI, error) {
	keys, err := pki.Ensure(pki.Config{Dir: s.dir.file(pkiName), Hosts: s.options.certificateHosts()})
	if err != nil {
		return nil, err
	}
	err = keys.KeepKubeconfig(pki.Kubeconfig{
		Path: s.dir.file(kubeconfigName), Server: s.url(), Group: pki.AdministratorsGroup, Lifetime: s.options.AdminCertificateLifetime,
	})
	if isAny(err, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS) {
		klog.FromContext(ctx).Error(err, "The administrator's kubeconfig could not be written, and is tried again; koinon kubeconfig --output writes one to another place")
		err = nil
	}
	return keys, err
}

func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

func (s *standalone) hostConfig(ctx context.Context, keys *pki.PKI) (host.Config, error) {
	encryption, err := s.options.encryptionConfig(ctx, s.dir, s.store)
	if err != nil {
		return host.Config{}, err
	}
	s.encryption = encryption
	roles, err := userRoles()
	if err != nil {
		return host.Config{}, err
	}
	hook := s.options.newWebhook()
	readiness, keysOfStore := s.store.Readiness(), &host.Keys{}
	return host.Config{
		Listener:             s.listener,
		Storage:              hostStorage(s.store, readiness, keysOfStore),
		EncryptionConfigFile: encryption,
		Certificates: host.Certificates{
			CA:                keys.CAFile(),
			FrontProxyCA:      keys.FrontProxyCAFile(),
			Serving:           keys.ServingFile(),
			FrontProxyClient:  keys.FrontProxyClientFile(),
			ServiceAccountKey: keys.ServiceAccountKeyFile(),
		},
		Generic:          s.options.Generic,
		Audit:            s.options.Audit,
		Traces:           s.options.Traces,
		Features:         s.options.Features,
		Admission:        s.options.Admission,
		SystemNamespaces: []string{s.options.Namespace},
		ClusterRoles:     roles,
		Controllers:      s.options.runsHostControllers(),
		Shared:           s.store.Shared(),
		Administrators:   pki.AdministratorsGroup,
		Extension:        s.options.extension(s.store, s.tunnel),
		Front: func(api http.Handler) http.Handler {
			return withoutOtherOrigins(false, withWebhook(hook, withReasons(readiness, keysOfStore, proxy.Explain(api))))
		},
	}, nil
}

// certificateHosts are the names and addresses by which clients may call the server.
func (o *ServerOptions) certificateHosts() []string {
	hosts := []string{"localhost", "127.0.0.1", "::1", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}
	hosts = append(hosts, o.ExtraHosts...)
	hosts = append(hosts, o.tunnelHosts()...)
	hosts = append(hosts, o.Generic.AdvertiseAddress.String(), o.reachableAddress().String(), o.Generic.ExternalHost)
	if name, err := os.Hostname(); err == nil {
		hosts = append(hosts, name)
	}
	return hosts
}

func (s *standalone) url() string { return s.options.url(s.listener) }

// url is how clients on this machine call the server.
func (o *ServerOptions) url(listener net.Listener) string {
	port := listener.Addr().(*net.TCPAddr).Port
	return "https://" + net.JoinHostPort(o.reachableAddress().String(), strconv.Itoa(port))
}
