package simnode

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// KubeletConfig is for the part of a kubelet's API that the API server calls for
// "kubectl logs". Every node has the same one.
type KubeletConfig struct {
	// Port of 127.0.0.1 to listen on.
	Port int
	// CertFile and KeyFile are the serving certificate, for 127.0.0.1.
	CertFile, KeyFile string
	// ClientCAFile is the authority of those who may ask.
	ClientCAFile string
}

const (
	headerTimeout = 10 * time.Second
	// nothingThere is the answer where a process would be needed.
	nothingThere = "this pod is simulated: there is no process in it to talk to"
)

// ServeKubelet serves until ctx is done.
func ServeKubelet(ctx context.Context, cfg KubeletConfig) error {
	certificate, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
	if err != nil {
		return fmt.Errorf("load the nodes' certificate: %w", err)
	}
	ca, err := os.ReadFile(cfg.ClientCAFile)
	if err != nil {
		return fmt.Errorf("load the authority of the nodes' clients: %w", err)
	}
	clients := x509.NewCertPool()
	if !clients.AppendCertsFromPEM(ca) {
		return fmt.Errorf("%s holds no certificate in PEM", cfg.ClientCAFile)
	}
	server := &http.Server{
		Addr:              net.JoinHostPort("127.0.0.1", strconv.Itoa(cfg.Port)),
		Handler:           kubeletHandler(),
		ReadHeaderTimeout: headerTimeout,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		TLSConfig: &tls.Config{
			MinVersion:   tls.VersionTLS12,
			Certificates: []tls.Certificate{certificate},
			ClientAuth:   tls.RequireAndVerifyClientCert,
			ClientCAs:    clients,
		},
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.ListenAndServeTLS("", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the nodes' API: %w", err)
	}
	return nil
}

func kubeletHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", containerLogs)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, nothingThere, http.StatusNotImplemented)
	})
	return mux
}

// containerLogs is a log of one line; one that is followed ends with its reader.
func containerLogs(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	fmt.Fprintf(w, "container %s of pod %s/%s is simulated: nothing runs, and this is all it says\n",
		r.PathValue("container"), r.PathValue("namespace"), r.PathValue("pod"))
	if r.URL.Query().Get("follow") != "true" {
		return
	}
	_ = http.NewResponseController(w).Flush() // fails if the reader has gone, and then we return
	<-r.Context().Done()
}
