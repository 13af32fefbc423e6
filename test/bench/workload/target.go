package workload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"k8s.io/client-go/rest"
)

// Versions in which objects are read: the one that is stored, and the one that has to be
// converted to.
const (
	Stored    = "v1beta2"
	Converted = "v1beta1"
)

// Target is a server to work on.
type Target struct {
	config *rest.Config
	host   string
	// Template is the size of templates in bytes.
	template int
}

// NewTarget returns a target whose objects have templates of that many bytes.
func NewTarget(config *rest.Config, template int) *Target {
	return &Target{config: config, host: config.Host, template: template}
}

// path of federated Deployments, of all namespaces if namespace is empty.
func path(version, namespace, name string) string {
	p := "/apis/types.kubefed.io/" + version
	if namespace != "" {
		p += "/namespaces/" + namespace
	}
	p += "/federateddeployments"
	if name != "" {
		p += "/" + name
	}
	return p
}

// client has a connection of its own.
type client struct {
	http http.Client
	host string
}

// newClient returns a client that asks for compressed answers, or not.
func (t *Target) newClient(compressed bool) (*client, error) {
	tlsConfig, err := rest.TLSConfigFor(t.config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	transport := &http.Transport{TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true, DisableCompression: !compressed}
	wrapped, err := rest.HTTPWrappersForConfig(t.config, transport)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return &client{http: http.Client{Transport: wrapped}, host: t.host}, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

// errBusy says that the server wants to be asked again.
var errBusy = errors.New("the server is busy")

// open sends a request and returns the answer if it is a success.
func (c *client) open(ctx context.Context, method, uri, contentType string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.host+uri, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode < 300 {
		return response, nil
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	err = fmt.Errorf("%s %s: %s: %s", method, uri, response.Status, answer)
	if response.StatusCode == http.StatusTooManyRequests || response.StatusCode == http.StatusServiceUnavailable {
		err = errors.Join(errBusy, err)
	}
	return nil, err
}

// do sends a request, drops the answer and returns how long it was.
func (c *client) do(ctx context.Context, method, uri, contentType string, body []byte) (int64, error) {
	response, err := c.open(ctx, method, uri, contentType, body)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if err != nil {
		return n, fmt.Errorf("%s %s: %w", method, uri, err)
	}
	return n, nil
}

// clients makes n clients and calls do with each in a goroutine of its own; it returns
// when all have returned, with the first error.
func (t *Target) clients(ctx context.Context, n int, do func(ctx context.Context, i int, c *client) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make(chan error, n)
	for i := range n {
		go func() { // ends with do, which ends with ctx at the latest
			c, err := t.newClient(false)
			if err == nil {
				err = do(ctx, i, c)
				c.close()
			}
			errs <- err
		}()
	}
	var first error
	for range n {
		if err := <-errs; err != nil && first == nil {
			first = err
			cancel()
		}
	}
	return first
}
