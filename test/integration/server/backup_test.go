package server_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"github.com/koinon-io/koinon/pkg/storage/storagetest"
)

// datastore runs koinon datastore, which must succeed, and returns what it says.
func datastore(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	output, err := exec.CommandContext(ctx, binary(t), append([]string{"datastore"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("koinon datastore %s: %v\n%s", strings.Join(args, " "), err, output)
	}
	return string(output)
}

const (
	hidden = "correct-horse-battery-staple"
	open   = "this-one-is-not-encrypted"
)

// hide makes a Secret, and a ConfigMap by which to see that a test looks in the right place.
func hide(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	if _, err := client.CoreV1().Secrets("default").Create(t.Context(), secret("hidden", hidden), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	visible := configMap("open")
	visible.Data = map[string]string{"key": open}
	if _, err := client.CoreV1().ConfigMaps("default").Create(t.Context(), visible, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func revealed(t *testing.T, client kubernetes.Interface) {
	t.Helper()
	got, err := client.CoreV1().Secrets("default").Get(t.Context(), "hidden", metav1.GetOptions{})
	if err != nil || string(got.Data["password"]) != hidden {
		t.Errorf("the Secret: %v, %v", got, err)
	}
}

func wantHidden(t *testing.T, what string, content []byte) {
	t.Helper()
	if bytes.Contains(content, []byte(hidden)) {
		t.Errorf("the password is readable in the %s", what)
	}
	if !bytes.Contains(content, []byte(open)) {
		t.Errorf("the ConfigMap is not in the %s: this test looks in the wrong place", what)
	}
}

// readBackup returns the values in a backup, one after the other, and the lines as they are.
func readBackup(t *testing.T, path string) []byte {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	zip, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var lines bytes.Buffer
	var content []byte
	for decoder := json.NewDecoder(io.TeeReader(zip, &lines)); ; {
		var line struct{ Key, Value []byte }
		err := decoder.Decode(&line)
		if errors.Is(err, io.EOF) {
			return append(content, lines.Bytes()...)
		}
		if err != nil {
			t.Fatal(err)
		}
		content = append(append(content, line.Key...), line.Value...)
	}
}

func TestSecretsAreNotReadableInBackupsAndDumps(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		dir, backup := t.TempDir(), filepath.Join(t.TempDir(), "backup")
		s := start(t, dir)
		hide(t, s.client(t))
		datastore(t, "backup", "--data-dir", dir, backup)
		wantHidden(t, "backup", readBackup(t, backup))
		s.terminate(t) // which puts everything into the one file
		file, err := os.ReadFile(filepath.Join(dir, "koinon.db"))
		if err != nil {
			t.Fatal(err)
		}
		wantHidden(t, "database file", file)
	})
	t.Run("MariaDB", func(t *testing.T) {
		dump, err := exec.LookPath("mariadb-dump")
		if err != nil {
			t.Skip("mariadb-dump is not installed: install the package mariadb-client")
		}
		database := storagetest.StartMariaDB(t)
		dsn, backup := database.NewDatabase(t), filepath.Join(t.TempDir(), "backup")
		s := start(t, t.TempDir(), "--datastore", "mysql://"+dsn)
		hide(t, s.client(t))
		datastore(t, "backup", "--datastore", "mysql://"+dsn, backup)
		wantHidden(t, "backup", readBackup(t, backup))
		parts := regexp.MustCompile(`^(.+):(.+)@tcp\((.+):(\d+)\)/(.+)$`).FindStringSubmatch(dsn)
		content, err := exec.CommandContext(t.Context(), dump, "--no-defaults", "--protocol=tcp", "--user="+parts[1], "--password="+parts[2], "--host="+parts[3], "--port="+parts[4], parts[5]).Output()
		if err != nil {
			t.Fatal(err)
		}
		wantHidden(t, "dump", content)
	})
}

func TestABackupComesUpOnAnotherMachine(t *testing.T) {
	dir, other, backup := t.TempDir(), filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "backup")
	s := start(t, dir)
	hide(t, s.client(t))
	datastore(t, "backup", "--data-dir", dir, backup)
	s.kill()

	datastore(t, "restore", "--data-dir", other, backup)
	refused := refuse(t, "--data-dir", other, "--secure-port", "0")
	if !strings.Contains(refused, "was encrypted with another key") {
		t.Errorf("without the encryption key: got %q", refused)
	}
	if err := os.RemoveAll(filepath.Join(other, "encryption")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(other, "encryption"), os.DirFS(filepath.Join(dir, "encryption"))); err != nil {
		t.Fatal(err)
	}
	revealed(t, start(t, other).client(t))
}

func TestServersMoveToASharedDatabase(t *testing.T) {
	database := storagetest.StartMariaDB(t)
	dir, to := t.TempDir(), "mysql://"+database.NewDatabase(t)
	s := start(t, dir)
	hide(t, s.client(t))
	before, err := s.client(t).CoreV1().ConfigMaps("default").Get(t.Context(), "open", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	from := "sqlite://" + filepath.Join(dir, "koinon.db")
	output, err := exec.CommandContext(t.Context(), binary(t), "datastore", "migrate", from, to).CombinedOutput()
	if err == nil || !strings.Contains(string(output), "is in use by the process") {
		t.Errorf("while the server runs: %v, %s", err, output)
	}
	s.terminate(t)
	datastore(t, "migrate", from, to)
	moved := start(t, dir, "--datastore", to).client(t)
	revealed(t, moved)
	after, err := moved.CoreV1().ConfigMaps("default").Get(t.Context(), "open", metav1.GetOptions{})
	if err != nil || after.ResourceVersion != before.ResourceVersion || after.UID != before.UID {
		t.Errorf("the ConfigMap was %v, and is %v, %v", before, after, err)
	}
}

// TestARestoreUnderARunningServer goes back to a backup while a client watches.
func TestARestoreUnderARunningServer(t *testing.T) {
	dir, backup := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	s := start(t, dir)
	client := s.client(t)
	maps := client.CoreV1().ConfigMaps("default")
	changed := configMap("changed")
	changed.Data = map[string]string{"key": "old"}
	for _, object := range []*corev1.ConfigMap{configMap("deleted"), changed} {
		if _, err := maps.Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	datastore(t, "backup", "--data-dir", dir, backup)

	if err := maps.Delete(t.Context(), "deleted", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := maps.Create(t.Context(), configMap("created"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	changed, err := maps.Get(t.Context(), "changed", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	changed.Data["key"] = "new"
	if changed, err = maps.Update(t.Context(), changed, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace("default"))
	lister := factory.Core().V1().ConfigMaps().Lister().ConfigMaps("default")
	factory.Start(t.Context().Done())
	factory.WaitForCacheSync(t.Context().Done())
	if _, err := lister.Get("created"); err != nil {
		t.Fatal(err)
	}

	datastore(t, "restore", "--force", "--data-dir", dir, backup)
	changed.Data["key"] = "newer"
	if _, err := maps.Update(t.Context(), changed, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("an update of what was known before the restore: got %v, want a conflict", err)
	}
	eventually(t, "a client that watches knows what was restored", func(context.Context) (bool, error) {
		objects, err := lister.List(labels.Everything())
		if err != nil {
			return false, err
		}
		known := map[string]string{}
		for _, object := range objects {
			known[object.Name] = object.Data["key"]
		}
		_, deleted := known["deleted"]
		_, created := known["created"]
		return deleted && !created && known["changed"] == "old", nil
	})
	if _, err := maps.Create(t.Context(), configMap("after"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a client that watches is told what comes after", func(context.Context) (bool, error) {
		_, err := lister.Get("after")
		return err == nil, nil
	})
}
