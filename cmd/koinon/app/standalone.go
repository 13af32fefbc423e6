package app

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"

	"github.com/koinon-io/koinon/pkg/host"
	"github.com/koinon-io/koinon/pkg/pki"
	"github.com/koinon-io/koinon/pkg/storage"
)

// kubeconfigName is the administrator's kubeconfig in the data directory.
const kubeconfigName = "admin.kubeconfig"

// standalone is a server with an embedded host.
type standalone struct {
	options  *ServerOptions
	dir      *dataDir
	listener net.Listener
	store    *storage.Store
}

// run serves until ctx is done, and calls ready once.
func (s *standalone) run(ctx context.Context, ready func(url string)) error {
	keys, err := pki.Ensure(pki.Config{Dir: s.dir.file("pki"), Hosts: s.certificateHosts()})
	if err != nil {
		return err
	}
	writeKubeconfig := func() error { return keys.WriteKubeconfig(s.dir.file(kubeconfigName), s.url()) }
	if err := writeKubeconfig(); err != nil {
		return err
	}
	keys.OnRenewal(writeKubeconfig)

	config, err := s.hostConfig(keys)
	if err != nil {
		return err
	}
	server, err := host.New(ctx, config)
	if err != nil {
		return err
	}

	// Everything below ends when the host has drained, and with it this context.
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { keys.Run(ctx) })
	running.Go(func() {
		if waitReady(ctx, server.LoopbackConfig()) == nil {
			settle()
			ready(s.url())
		}
	})
	return server.Run(ctx)
}

func (s *standalone) hostConfig(keys *pki.PKI) (host.Config, error) {
	encryption := s.options.EncryptionConfig
	if encryption == "" {
		var err error
		if encryption, err = host.EnsureEncryptionConfig(s.dir.file("encryption")); err != nil {
			return host.Config{}, err
		}
	}
	return host.Config{
		Listener:             s.listener,
		Storage:              s.store.Transport(),
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
		Controllers:      s.options.runs(componentControllers),
		Shared:           s.store.Shared(),
		Extension:        s.options.extension(),
	}, nil
}

// certificateHosts are the names and addresses by which clients may call the server.
func (s *standalone) certificateHosts() []string {
	hosts := []string{"localhost", "127.0.0.1", "::1", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}
	hosts = append(hosts, s.options.ExtraHosts...)
	hosts = append(hosts, s.options.Generic.AdvertiseAddress.String(), s.options.reachableAddress().String(), s.options.Generic.ExternalHost)
	if name, err := os.Hostname(); err == nil {
		hosts = append(hosts, name)
	}
	return hosts
}

func (s *standalone) url() string {
	port := s.listener.Addr().(*net.TCPAddr).Port
	return fmt.Sprintf("https://%s", net.JoinHostPort(s.options.reachableAddress().String(), strconv.Itoa(port)))
}
