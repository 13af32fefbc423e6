// Package koinon runs the Koinon control plane on this machine: one process of the
// koinon binary, on loopback.
//
// Start is idempotent. A Server is not safe for concurrent use.
package koinon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/koinon-io/koinon/cmd/koinon-playground/ports"
	"github.com/koinon-io/koinon/cmd/koinon-playground/process"
)

const readyTimeout = time.Minute

// Config says how to run the control plane.
type Config struct {
	// Binary is the koinon executable.
	Binary string
	// DataDir, LogFile and PIDFile are paths of this server alone.
	DataDir string
	LogFile string
	PIDFile string
	// Port of 127.0.0.1 to listen on; 0 is for StartOnAnyPort, which then sets it.
	Port int
	// Datastore is the DSN of the store; empty means SQLite in DataDir.
	Datastore string
	// HostKubeconfig is access to the host cluster; empty means that the host is
	// embedded.
	HostKubeconfig string
	// Args are added to the command line.
	Args []string
	// Env is added to the environment, as KEY=VALUE.
	Env []string
	// Tied servers end with the process that started them.
	Tied bool
}

// Server is a control plane.
type Server struct{ Config }

// New checks the configuration and starts nothing.
func New(cfg Config) (*Server, error) {
	for name, value := range map[string]string{
		"binary": cfg.Binary, "data directory": cfg.DataDir, "log file": cfg.LogFile, "pid file": cfg.PIDFile,
	} {
		if !filepath.IsAbs(value) {
			return nil, fmt.Errorf("%s of koinon: %q must be an absolute path", name, value)
		}
	}
	if cfg.Port < 0 || cfg.Port > 65535 {
		return nil, fmt.Errorf("port of koinon: %d must be 0 (any) to 65535", cfg.Port)
	}
	return &Server{Config: cfg}, nil
}

// Start starts the server unless it runs, and waits until it is ready.
func (s *Server) Start(ctx context.Context) error {
	if err := os.MkdirAll(s.DataDir, 0o700); err != nil {
		return fmt.Errorf("make the data directory of koinon: %w", err)
	}
	if !s.Running() {
		err := process.Start(process.Spec{
			Path: s.Binary, Args: s.args(), Env: s.env(), LogFile: s.LogFile, PIDFile: s.PIDFile, Tied: s.Tied,
		})
		if err != nil {
			return err
		}
	}
	program := process.Program{Name: "koinon", PIDFile: s.PIDFile, LogFile: s.LogFile}
	return process.Await(ctx, readyTimeout, s.ready, program)
}

// portAttempts is how often another port is tried.
const portAttempts = 3

// StartOnAnyPort is Start, but takes another port if another program has taken ours. A
// Port of 0 is any.
func (s *Server) StartOnAnyPort(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		if s.Port == 0 {
			picked, err := ports.Pick(1)
			if err != nil {
				return err
			}
			s.Port = picked[0]
		}
		err := s.Start(ctx)
		var failed *process.StartError
		if !errors.As(err, &failed) || !failed.PortTaken() || attempt == portAttempts {
			return err
		}
		s.Port = 0
	}
}

func (s *Server) args() []string {
	args := []string{
		"server", "--data-dir=" + s.DataDir,
		"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(s.Port),
	}
	if s.HostKubeconfig != "" {
		args = append(args, "--host-kubeconfig="+s.HostKubeconfig)
	}
	return append(args, s.Args...)
}

// env has the datastore: everybody can read a command line, and a DSN may hold a password.
func (s *Server) env() []string {
	if s.Datastore == "" {
		return s.Env
	}
	return append([]string{"KOINON_DATASTORE=" + s.Datastore}, s.Env...)
}

// Running tells whether the process is there.
func (s *Server) Running() bool {
	_, running := process.Find(s.PIDFile)
	return running
}

// Kill kills the process and keeps its data.
func (s *Server) Kill(ctx context.Context) error { return process.Stop(ctx, s.PIDFile, 0) }

// Stop asks the process to end, kills it if that takes longer than grace, and keeps its
// data.
func (s *Server) Stop(ctx context.Context, grace time.Duration) error {
	return process.Stop(ctx, s.PIDFile, grace)
}

// Freeze stops the process from running until Thaw: connections stay open, nothing
// answers.
func (s *Server) Freeze() error { return process.Signal(s.PIDFile, syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (s *Server) Thaw() error { return process.Signal(s.PIDFile, syscall.SIGCONT) }

// URL of the server itself, which is behind the host's in aggregated mode.
func (s *Server) URL() string { return "https://127.0.0.1:" + strconv.Itoa(s.Port) }

// Kubeconfig is the path of the administrator's kubeconfig: the host's, if there is one.
func (s *Server) Kubeconfig() string {
	if s.HostKubeconfig != "" {
		return s.HostKubeconfig
	}
	return filepath.Join(s.DataDir, "admin.kubeconfig")
}

// RESTConfig is the administrator's access, without a limit on requests.
func (s *Server) RESTConfig() (*rest.Config, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("load the kubeconfig of koinon: %w", err)
	}
	cfg.QPS = -1
	return cfg, nil
}

func (s *Server) ready(ctx context.Context) error {
	if s.HostKubeconfig != "" {
		return s.listening(ctx)
	}
	cfg, err := s.RESTConfig()
	if err != nil {
		return err
	}
	httpClient, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return err
	}
	defer httpClient.CloseIdleConnections()
	client, err := kubernetes.NewForConfigAndClient(cfg, httpClient)
	if err != nil {
		return err
	}
	return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// listening asks the server itself whether it is ready. Who it is is not checked: its
// authority is known to the host only, and nothing secret is sent.
func (s *Server) listening(ctx context.Context) error {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // see above
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("koinon is not ready: %s", response.Status)
	}
	return nil
}

// ErrNoBinary says that the koinon binary was not found.
var ErrNoBinary = errors.New("koinon was not found beside this program, nor in PATH: run \"make build\", or name it with --koinon")

// FindBinary looks for the koinon binary beside another one, then in PATH.
func FindBinary(beside string) (string, error) {
	path := filepath.Join(filepath.Dir(beside), "koinon")
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return path, nil
	}
	path, err := exec.LookPath("koinon")
	if err != nil {
		return "", ErrNoBinary
	}
	return filepath.Abs(path)
}
