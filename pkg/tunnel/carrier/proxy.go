package carrier

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/http/httpproxy"
)

// connectTCP connects directly, or by the HTTP proxy that HTTPS_PROXY and NO_PROXY name.
func connectTCP(ctx context.Context, network, address string) (net.Conn, error) {
	proxy, err := httpproxy.FromEnvironment().ProxyFunc()(&url.URL{Scheme: "https", Host: address})
	if err != nil {
		return nil, fmt.Errorf("the environment's HTTP proxy: %w", err)
	}
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	if proxy == nil {
		return dialer.DialContext(ctx, network, address)
	}
	return byProxy(ctx, dialer, proxy, address)
}

// byProxy has an HTTP proxy connect.
func byProxy(ctx context.Context, dialer *net.Dialer, proxy *url.URL, address string) (net.Conn, error) {
	if proxy.Scheme != "http" && proxy.Scheme != "https" {
		return nil, fmt.Errorf("the environment's proxy has the scheme %q: http and https are allowed", proxy.Scheme)
	}
	port := proxy.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[proxy.Scheme]
	}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(proxy.Hostname(), port))
	if err != nil {
		return nil, fmt.Errorf("the environment's proxy: %w", err)
	}
	if proxy.Scheme == "https" {
		secure := tls.Client(conn, &tls.Config{ServerName: proxy.Hostname(), MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("the environment's proxy: %w", err)
		}
		conn = secure
	}
	if err := connectBy(ctx, conn, proxy.User, address); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("the environment's proxy %s: %w", proxy.Host, err)
	}
	return conn, nil
}

// connectBy sends CONNECT, and reads nothing that comes behind the answer: the server speaks second.
func connectBy(ctx context.Context, conn net.Conn, user *url.Userinfo, address string) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if user != nil {
		password, _ := user.Password()
		request.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := request.Write(conn); err != nil {
		return err
	}
	reader := bufio.NewReader(io.LimitReader(conn, headerBytes))
	answer, err := http.ReadResponse(reader, request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	switch {
	case answer.StatusCode != http.StatusOK:
		return fmt.Errorf("it answers CONNECT with %s", answer.Status)
	case reader.Buffered() > 0:
		return errors.New("it sends something behind its answer to CONNECT")
	}
	return nil
}
