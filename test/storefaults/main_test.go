package storefaults

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/storage/datastore"
	"github.com/koinon-io/koinon/pkg/storage/embedded"
	"github.com/koinon-io/koinon/pkg/storage/storagetest"
)

// serverVariable makes the test binary a store server; it holds a serverConfig.
const serverVariable = "KOINON_STOREFAULTS_SERVER"

// serverConfig is what a server process is told.
type serverConfig struct {
	Datastore, DataDir, Socket string
	// FileBytes, if not 0, is the greatest size of a file that the process may write.
	FileBytes uint64
}

func TestMain(m *testing.M) {
	if value := os.Getenv(serverVariable); value != "" {
		if err := serve(value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	klog.LogToStderr(false) // the faults are on purpose
	os.Exit(m.Run())
}

// serve is the life of a server process. It ends when it is killed.
func serve(value string) error {
	var config serverConfig
	if err := json.Unmarshal([]byte(value), &config); err != nil {
		return err
	}
	if config.FileBytes > 0 {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: config.FileBytes, Max: config.FileBytes}); err != nil {
			return err
		}
	}
	where, err := datastore.Parse(config.Datastore, config.DataDir)
	if err != nil {
		return err
	}
	store, err := embedded.Open(context.Background(), where, storeConfig)
	if err != nil {
		return err
	}
	_ = os.Remove(config.Socket) // of the one before, which was killed
	listener, err := net.Listen("unix", config.Socket)
	if err != nil {
		return err
	}
	return store.Serve(listener)
}

// storeConfig is that of all stores: watchers are told often how far they are.
var storeConfig = embedded.Config{NotifyInterval: 500 * time.Millisecond}

// server is a store in a process of its own.
type server struct {
	*storagetest.Process
	name   string
	config serverConfig
	log    string
	starts int
}

// startServer runs a server process on a datastore and waits until it serves.
func startServer(t *testing.T, name string, config serverConfig) *server {
	t.Helper()
	dir := t.TempDir()
	if config.DataDir == "" {
		config.DataDir = dir
	}
	config.Socket = filepath.Join(dir, "s")
	s := &server{name: name, config: config, log: filepath.Join(dir, "log")}
	s.start(t)
	t.Cleanup(func() { s.checkLog(t) })
	return s
}

// start starts a server that is not running.
func (s *server) start(t *testing.T) {
	t.Helper()
	value, err := json.Marshal(s.config)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverVariable+"="+string(value))
	cmd.Stderr, cmd.Stdout = log, log
	_ = os.Remove(s.config.Socket)
	s.Process = storagetest.StartProcess(t, cmd)
	s.starts++
	deadline := time.After(time.Minute)
	for {
		if conn, err := net.Dial("unix", s.config.Socket); err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-s.Exited:
			t.Fatalf("server %s has ended:\n%s", s.name, s.output())
		case <-deadline:
			t.Fatalf("server %s does not serve:\n%s", s.name, s.output())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *server) output() string {
	text, _ := os.ReadFile(s.log)
	return string(text)
}

// checkLog finds what no server may do, whatever happens to it.
func (s *server) checkLog(t *testing.T) {
	t.Helper()
	for _, bad := range []string{"DATA RACE", "panic:", "fatal error:", "level=fatal"} {
		if text := s.output(); strings.Contains(text, bad) {
			t.Errorf("server %s: %s in its log:\n%s", s.name, bad, text[strings.Index(text, bad):min(len(text), strings.Index(text, bad)+4000)])
		}
	}
}

// duration is how long the load of a test lasts.
func duration(short time.Duration) time.Duration {
	if os.Getenv("KOINON_LONG") == "" {
		return short
	}
	seconds, err := strconv.Atoi(os.Getenv("KOINON_LONG_SECONDS"))
	if err != nil {
		seconds = 120
	}
	return time.Duration(seconds) * time.Second
}

// seed is that of this run.
func seed(t *testing.T) uint64 {
	t.Helper()
	value, err := strconv.ParseUint(os.Getenv("KOINON_SEED"), 10, 64)
	if err != nil {
		value = uint64(time.Now().UnixNano()) % 1_000_000
	}
	t.Logf("seed %d", value)
	return value
}
