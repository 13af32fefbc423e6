package app

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/federation/cellaccess"
)

// checkEndpointURL returns a sentence about the flag.
func checkEndpointURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("--cell-endpoint-url is not a URL such as https://koinon.example:6443: it must be https, without user, query and fragment")
	}
	return nil
}

// cellEndpoint is what the flags say, with what is known for what they leave out.
func (o *ServerOptions) cellEndpoint(defaultURL string, authority func() ([]byte, error)) *cellaccess.Endpoint {
	if o.CellEndpointCAFile != "" {
		authority = fileReader(o.CellEndpointCAFile)
	}
	return &cellaccess.Endpoint{URL: strings.TrimSuffix(cmp.Or(o.CellEndpointURL, defaultURL), "/"), Authority: authority}
}

// ownEndpoint is that of a server which runs alone, whose authority is in a file.
func (o *ServerOptions) ownEndpoint(listener net.Listener, authorityFile string) *cellaccess.Endpoint {
	port := strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	return o.cellEndpoint("https://"+net.JoinHostPort(o.Generic.ExternalHost, port), fileReader(authorityFile))
}

// hostEndpoint is that of a host, as this process reaches it.
func (o *ServerOptions) hostEndpoint(host *rest.Config) (*cellaccess.Endpoint, error) {
	u, _, err := rest.DefaultServerUrlFor(host)
	if err != nil {
		return nil, fmt.Errorf("the address of the host: %w", err)
	}
	authority := func() ([]byte, error) { return host.CAData, nil }
	if host.CAFile != "" && len(host.CAData) == 0 {
		authority = fileReader(host.CAFile)
	}
	return o.cellEndpoint(u.String(), authority), nil
}

func fileReader(path string) func() ([]byte, error) {
	return func() ([]byte, error) { return os.ReadFile(path) }
}
