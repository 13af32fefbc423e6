// Package server_test runs the real koinon binary and looks at it from outside: readiness,
// clients, kill -9, and what it says to an operator's mistakes. "make build" makes the
// binary; KOINON_BINARY names another one.
package server_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/koinon-io/koinon/pkg/storage/storagetest"
)

// patience is how long anything may take before a test gives up. It is no assertion about
// speed: the machine may be busy.
const patience = 2 * time.Minute

func binary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("KOINON_BINARY")
	if path == "" {
		path = filepath.Join("..", "..", "..", "bin", "koinon")
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(absolute); err != nil {
		t.Fatalf("the binary is not there (%v): run make build first", err)
	}
	return absolute
}

// server is a running koinon.
type server struct {
	cmd    *exec.Cmd
	dir    string
	exited chan struct{}

	mu sync.Mutex
	// log is what the server has said; mu guards it.
	log bytes.Buffer
}

// start runs the binary on dir until it is ready.
func start(t *testing.T, dir string, args ...string) *server {
	t.Helper()
	s := launch(t, dir, args...)
	if err := s.waitReady(t.Context()); err != nil {
		t.Fatalf("the server did not become ready: %v\n%s", err, s.output())
	}
	return s
}

// launch runs the binary on dir and does not wait.
func launch(t *testing.T, dir string, args ...string) *server {
	t.Helper()
	args = append([]string{"server", "--data-dir", dir, "--secure-port", "0"}, args...)
	s := &server{cmd: exec.Command(binary(t), args...), dir: dir, exited: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = s, s
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.exited)
	}()
	t.Cleanup(func() { s.kill() })
	return s
}

// Write implements io.Writer for what the server says.
func (s *server) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

func (s *server) output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

func (s *server) waitReady(ctx context.Context) error {
	return wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		select {
		case <-s.exited:
			return false, errors.New("it has ended")
		default:
			return strings.Contains(s.output(), "koinon is ready"), nil
		}
	})
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// terminate asks the server to end and waits for it.
func (s *server) terminate(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.exited:
	case <-time.After(patience):
		t.Fatalf("the server did not end after SIGTERM\n%s", s.output())
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code after SIGTERM: got %d, want 0\n%s", code, s.output())
	}
}

func (s *server) client(t *testing.T) kubernetes.Interface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(s.dir, "admin.kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// refuse runs the binary, which must end by itself, and returns what it said.
func refuse(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	output, err := exec.CommandContext(ctx, binary(t), append([]string{"server"}, args...)...).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("got %v, want exit code 1\n%s", err, output)
	}
	return string(output)
}

// eventually polls until check is true.
func eventually(t *testing.T, what string, check func(context.Context) (bool, error)) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, patience, true, check); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func TestAnOperatorSeesNoNoise(t *testing.T) {
	s := start(t, t.TempDir())
	s.terminate(t)
	scanner := bufio.NewScanner(strings.NewReader(s.output()))
	for scanner.Scan() {
		ready := strings.HasPrefix(scanner.Text(), "koinon is ready: https://127.0.0.1:")
		ours := strings.HasPrefix(scanner.Text(), "I") && strings.Contains(scanner.Text(), `logger="federation"`)
		// On a busy machine a client may have opened a connection that it has not used yet. Go
		// counts it as busy for five seconds, and the library waits for two.
		unused := strings.HasSuffix(scanner.Text(), "Failed to shutdown server: context deadline exceeded")
		if !ready && !ours && !unused {
			t.Errorf("unexpected line: %s", scanner.Text())
		}
	}
}

func TestTerminationDoesNotWaitForWatches(t *testing.T) {
	s := start(t, t.TempDir())
	watch, err := s.client(t).CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.terminate(t)
	for range watch.ResultChan() {
	}
}

func TestSeveralServersShareADatabase(t *testing.T) {
	database := storagetest.StartMariaDB(t)
	datastore := "mysql://" + database.NewDatabase(t)
	dir := t.TempDir()
	one := start(t, dir, "--datastore", datastore)
	refused := refuse(t, "--data-dir", t.TempDir(), "--secure-port", "0", "--datastore", datastore)
	if !strings.Contains(refused, "was encrypted with another key") {
		t.Errorf("a server with another encryption key: got %q", refused)
	}

	encryption := filepath.Join(dir, "encryption", "encryption.yaml")
	two := start(t, t.TempDir(), "--datastore", datastore, "--encryption-provider-config", encryption)
	if _, err := one.client(t).CoreV1().Secrets("default").Create(t.Context(), secret("shared", "x"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second server has what the first wrote", func(ctx context.Context) (bool, error) {
		got, err := two.client(t).CoreV1().Secrets("default").Get(ctx, "shared", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil && string(got.Data["password"]) == "x", err
	})
	one.kill()
	if _, err := two.client(t).CoreV1().ConfigMaps("default").Create(t.Context(), configMap("after"), metav1.CreateOptions{}); err != nil {
		t.Errorf("the second server after the first was killed: %v", err)
	}
}

func TestObjectsComeAndGo(t *testing.T) {
	s := start(t, t.TempDir())
	client := s.client(t)
	ctx := t.Context()

	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
	if _, err := client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	owner, err := client.CoreV1().ConfigMaps("shop").Create(ctx, configMap("owner"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dependent := configMap("dependent")
	dependent.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID}}
	if _, err := client.CoreV1().ConfigMaps("shop").Create(ctx, dependent, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}

	if err := client.CoreV1().ConfigMaps("shop").Delete(ctx, "owner", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the dependent goes with its owner", func(ctx context.Context) (bool, error) {
		_, err := client.CoreV1().ConfigMaps("shop").Get(ctx, "dependent", metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})

	if _, err := client.CoreV1().Secrets("shop").Create(ctx, secret("left-over", "x"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := client.CoreV1().Namespaces().Delete(ctx, "shop", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the namespace goes with what is in it", func(ctx context.Context) (bool, error) {
		_, err := client.CoreV1().Namespaces().Get(ctx, "shop", metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})

	role, err := client.RbacV1().ClusterRoles().Get(ctx, "edit", metav1.GetOptions{})
	if err != nil || len(role.Rules) == 0 {
		t.Errorf("the aggregated cluster role edit: got %v, %v, want rules", role, err)
	}
}

func TestSecretsAreNotReadableOnDisk(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	const password = "correct-horse-battery-staple"
	client := s.client(t)
	if _, err := client.CoreV1().Secrets("default").Create(t.Context(), secret("member", password), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	open := configMap("open")
	open.Data = map[string]string{"key": "this-one-is-not-encrypted"}
	if _, err := client.CoreV1().ConfigMaps("default").Create(t.Context(), open, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.terminate(t)
	var onDisk []byte
	files, err := filepath.Glob(filepath.Join(dir, "koinon.db*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		onDisk = append(onDisk, data...)
	}
	if bytes.Contains(onDisk, []byte(password)) {
		t.Error("the password is readable in the database")
	}
	if !bytes.Contains(onDisk, []byte("this-one-is-not-encrypted")) {
		t.Error("the config map is not in the database: this test looks in the wrong place")
	}
}

func TestDataSurvivesRestartAndKill(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	if _, err := s.client(t).CoreV1().ConfigMaps("default").Create(t.Context(), configMap("kept"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.terminate(t)

	s = start(t, dir)
	kills := 3
	if more := os.Getenv("KOINON_KILLS"); more != "" {
		if _, err := fmt.Sscan(more, &kills); err != nil {
			t.Fatal(err)
		}
	}
	acknowledged := map[string]bool{}
	for round := range kills {
		for _, name := range writeUntilKilled(t, s, round) {
			acknowledged[name] = true
		}
		s = start(t, dir)
	}
	list, err := s.client(t).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range list.Items {
		delete(acknowledged, item.Name)
	}
	if len(acknowledged) != 0 {
		t.Errorf("acknowledged writes that were lost: %v", acknowledged)
	}
	if _, err := s.client(t).CoreV1().ConfigMaps("default").Get(t.Context(), "kept", metav1.GetOptions{}); err != nil {
		t.Errorf("the object from before the restart: %v", err)
	}
}

// writeUntilKilled writes with several writers, kills the server amid that and returns the
// names of the objects that it acknowledged.
func writeUntilKilled(t *testing.T, s *server, round int) []string {
	t.Helper()
	client := s.client(t)
	const writers, enough = 4, 40
	var mu sync.Mutex
	var names []string
	var writing sync.WaitGroup
	for writer := range writers {
		writing.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("r%d-w%d-%d", round, writer, i)
				if _, err := client.CoreV1().ConfigMaps("default").Create(t.Context(), configMap(name), metav1.CreateOptions{}); err != nil {
					return
				}
				mu.Lock()
				names = append(names, name)
				kill := len(names) == enough
				mu.Unlock()
				if kill {
					_ = s.cmd.Process.Kill()
				}
			}
		})
	}
	writing.Wait()
	<-s.exited
	return names
}

func TestMistakesAreAnsweredInOneSentence(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = busy.Close() })
	_, busyPort, _ := net.SplitHostPort(busy.Addr().String())
	_ = busy.Close()
	silent, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", busyPort))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })

	otherVersion := t.TempDir()
	writeFile(t, filepath.Join(otherVersion, "version"), "koinon-data 99\n")
	foreign := t.TempDir()
	writeFile(t, filepath.Join(foreign, "photo.jpg"), "x")
	noDatabase := t.TempDir()
	writeFile(t, filepath.Join(noDatabase, "no.db"), "This is not a database, it is a text of some length.")
	file := filepath.Join(t.TempDir(), "file")
	writeFile(t, file, "x")
	running := start(t, t.TempDir())

	cases := map[string]struct {
		args []string
		want []string
	}{
		"a second server on the same directory": {
			[]string{"--data-dir", running.dir, "--secure-port", "0"},
			[]string{running.dir, "in use by another koinon server"},
		},
		"a directory of another version": {
			[]string{"--data-dir", otherVersion, "--secure-port", "0"},
			[]string{otherVersion, `"koinon-data 99"`, `"koinon-data 1"`},
		},
		"a directory with something else in it": {
			[]string{"--data-dir", foreign, "--secure-port", "0"},
			[]string{foreign, "not empty", "--data-dir"},
		},
		"a data directory that is a file": {
			[]string{"--data-dir", file, "--secure-port", "0"},
			[]string{file, "not writable"},
		},
		"a port that is taken": {
			[]string{"--data-dir", t.TempDir(), "--secure-port", busyPort},
			[]string{busyPort, "in use by another process", "--secure-port"},
		},
		"a datastore that nobody serves": {
			[]string{"--data-dir", t.TempDir(), "--secure-port", "0", "--datastore", "mysql://user:hunter2@127.0.0.1:1/koinon"},
			[]string{"mysql datastore at 127.0.0.1:1", "did not answer within 10s"},
		},
		"an etcd that nobody serves": {
			[]string{"--data-dir", t.TempDir(), "--secure-port", "0", "--datastore", "etcd://127.0.0.1:1"},
			[]string{"etcd datastore at 127.0.0.1:1", "did not answer within 10s", "connection refused"},
		},
		"a datastore of an unknown kind": {
			[]string{"--data-dir", t.TempDir(), "--secure-port", "0", "--datastore", "mongodb://user:hunter2@db/koinon"},
			[]string{`unknown scheme "mongodb"`, "sqlite, mysql, oceanbase, etcd"},
		},
		"a password file that is not there": {
			[]string{"--data-dir", t.TempDir(), "--secure-port", "0", "--datastore", "mysql://user@127.0.0.1:1/koinon", "--datastore-password-file", filepath.Join(file, "password")},
			[]string{"--datastore-password-file", filepath.Join(file, "password")},
		},
		"a password for a file": {
			[]string{"--data-dir", t.TempDir(), "--secure-port", "0", "--datastore-password-file", file},
			[]string{"--datastore-password-file", "a sqlite database takes no password"},
		},
		"a pool without connections": {
			[]string{"--data-dir", t.TempDir(), "--secure-port", "0", "--datastore-max-open-connections", "0"},
			[]string{"--datastore-max-open-connections is 0", "1 or more"},
		},
		"a database file that is none": {
			[]string{"--data-dir", t.TempDir(), "--secure-port", "0", "--datastore", "sqlite://" + filepath.Join(noDatabase, "no.db")},
			[]string{"no.db", "not a SQLite database"},
		},
		"an unknown component": {
			[]string{"--data-dir", t.TempDir(), "--components", "apiserver,kitchen"},
			[]string{`"kitchen"`, "all, apiserver, controllers, hostcontrollers, webhook"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := refuse(t, c.args...)
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("got %q, want it to contain %q", got, want)
				}
			}
			if strings.Contains(got, "hunter2") {
				t.Errorf("the password is in the message: %q", got)
			}
			if lines := strings.Count(got, "\n"); lines != 1 {
				t.Errorf("got %d lines, want one: %q", lines, got)
			}
		})
	}
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func secret(name, password string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: map[string]string{"password": password}}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

var _ io.Writer = (*server)(nil)
