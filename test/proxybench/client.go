package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

const asJSON = "application/json"

// client sends requests over HTTP/2, on connections of its own that are kept. It may be used
// concurrently.
type client struct {
	http      http.Client
	transport *http.Transport
	host      string
}

func newClient(config *rest.Config) (*client, error) {
	tlsConfig, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	// Without compression of its own: what is asked for is what is read.
	transport := &http.Transport{TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true, DisableCompression: true, ResponseHeaderTimeout: patience}
	wrapped, err := rest.HTTPWrappersForConfig(config, transport)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return &client{http: http.Client{Transport: wrapped}, transport: transport, host: config.Host}, nil
}

func (c *client) close() { c.transport.CloseIdleConnections() }

// question is a GET.
type question struct {
	// path begins where the API does, and has the query.
	path string
	// accept is what is asked for; encoding is "gzip" or empty.
	accept, encoding string
}

// open returns the answer if it is a success; its body is the caller's to close.
func (c *client) open(ctx context.Context, q question) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.host+q.path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", q.accept)
	if q.encoding != "" {
		request.Header.Set("Accept-Encoding", q.encoding)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusOK && response.ProtoMajor == 2 {
		return response, nil
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	return nil, fmt.Errorf("GET %s: %s %s: %s", q.path, response.Proto, response.Status, answer)
}

// read reads an answer to its end, and returns how long it is.
func (c *client) read(ctx context.Context, q question) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	response, err := c.open(ctx, q)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if err != nil {
		return n, fmt.Errorf("GET %s: %w", q.path, err)
	}
	return n, nil
}

// readChunks reads a list chunk by chunk, as it was cut by a server. The path of q has no query.
func (c *client) readChunks(ctx context.Context, q question, limit int) error {
	path, token := q.path, ""
	for {
		q.path = path + "?" + url.Values{"limit": {strconv.Itoa(limit)}, "continue": {token}}.Encode()
		var err error
		if token, err = c.readChunk(ctx, q); err != nil || token == "" {
			return err
		}
	}
}

// readChunk returns the token of the next chunk, empty after the last one.
func (c *client) readChunk(ctx context.Context, q question) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	response, err := c.open(ctx, q)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	meta, err := listMeta(json.NewDecoder(response.Body))
	if err != nil {
		return "", fmt.Errorf("GET %s: %w", q.path, err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return "", fmt.Errorf("GET %s: %w", q.path, err)
	}
	return meta.Continue, nil
}

// listMeta reads a list up to its metadata, which come before its items.
func listMeta(d *json.Decoder) (metav1.ListMeta, error) {
	var meta metav1.ListMeta
	for {
		token, err := d.Token()
		if err != nil {
			return meta, err
		}
		switch token {
		case "metadata":
			return meta, d.Decode(&meta)
		case "items", "rows":
			return meta, errors.New("the list has no metadata before its items")
		}
	}
}

// count reads a list, or a table, and returns how many objects are in it and how many bytes came.
func (c *client) count(ctx context.Context, q question) (objects int, bytes int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	response, err := c.open(ctx, q)
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	counted := &counter{Reader: response.Body}
	var body io.Reader = counted
	if response.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gzip.NewReader(counted); err != nil {
			return 0, 0, fmt.Errorf("GET %s: %w", q.path, err)
		}
	}
	var list struct {
		Items, Rows []json.RawMessage
	}
	if err := json.NewDecoder(body).Decode(&list); err != nil {
		return 0, 0, fmt.Errorf("GET %s: %w", q.path, err)
	}
	return len(list.Items) + len(list.Rows), counted.bytes, nil
}

// counter counts what is read.
type counter struct {
	io.Reader
	bytes int64
}

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.bytes += int64(n)
	return n, err
}
