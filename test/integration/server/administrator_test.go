package server_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// kubeconfig runs "koinon kubeconfig" and returns a client with what it wrote.
func (s *server) kubeconfig(t *testing.T, args ...string) kubernetes.Interface {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	args = append([]string{"kubeconfig", "--data-dir", s.dir, "--output", path}, args...)
	if output, err := exec.CommandContext(t.Context(), binary(t), args...).CombinedOutput(); err != nil {
		t.Fatalf("koinon %s: %v\n%s", strings.Join(args, " "), err, output)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func groups(t *testing.T, client kubernetes.Interface) []string {
	t.Helper()
	review, err := client.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return review.Status.UserInfo.Groups
}

// TestTheRightsOfAdministratorsCanBeTakenAwayAndGivenBack is the section about that in
// docs/operations-standalone.md.
func TestTheRightsOfAdministratorsCanBeTakenAwayAndGivenBack(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	admin := s.client(t)
	if got := strings.Join(groups(t, admin), " "); !strings.Contains(got, "koinon:administrators") || strings.Contains(got, "system:masters") {
		t.Errorf("groups of admin.kubeconfig: got %q", got)
	}
	bindings := admin.RbacV1().ClusterRoleBindings()
	binding, err := bindings.Get(t.Context(), "koinon-administrators", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	binding.Subjects = []rbacv1.Subject{}
	if _, err := bindings.Update(t.Context(), binding, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the rights are gone", func(ctx context.Context) (bool, error) {
		_, err := admin.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{})
		return apierrors.IsForbidden(err), nil
	})

	// They stay away, whoever makes a kubeconfig or starts the server.
	s.terminate(t)
	s = start(t, dir)
	for name, client := range map[string]kubernetes.Interface{"the server's": s.client(t), "the command's": s.kubeconfig(t)} {
		if _, err := client.CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("%s kubeconfig: got %v, want forbidden", name, err)
		}
	}
	// Who can read the data directory gets in all the same.
	if err := s.kubeconfig(t, "--break-glass").RbacV1().ClusterRoleBindings().Delete(t.Context(), "koinon-administrators", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.terminate(t)
	s = start(t, dir)
	if _, err := s.client(t).CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("after the binding was deleted and the server started: %v", err)
	}
}

func TestAKubeconfigThatHasExpiredIsRenewedByTheCommandAndByAStart(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	path := filepath.Join(dir, "admin.kubeconfig")
	read := func() []byte {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	first := read()
	if output, err := exec.CommandContext(t.Context(), binary(t), "kubeconfig", "--data-dir", dir, "--lifetime", "1h").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	second := read()
	if bytes.Equal(first, second) {
		t.Error("the command has not renewed it")
	}
	if _, err := s.client(t).CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	s.terminate(t)
	start(t, dir)
	if bytes.Equal(second, read()) {
		t.Error("the start has not renewed it")
	}
}

// TestAServerWhoseAuthorityCannotBeReadStops is what TestAnAuthorityIsNeverReplaced of pkg/pki
// means for an operator.
func TestAServerWhoseAuthorityCannotBeReadStops(t *testing.T) {
	dir := t.TempDir()
	start(t, dir).terminate(t)
	for _, name := range []string{"ca.crt", "ca.key"} {
		if err := os.Truncate(filepath.Join(dir, "pki", name), 0); err != nil {
			t.Fatal(err)
		}
	}
	got := refuse(t, "--data-dir", dir, "--secure-port", "0")
	for _, want := range []string{filepath.Join(dir, "pki", "ca.key") + " is empty", "from a backup", "every kubeconfig and token would be invalid"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want it to contain %q", got, want)
		}
	}
	if lines := strings.Count(got, "\n"); lines != 1 {
		t.Errorf("got %d lines, want one: %q", lines, got)
	}
	if info, err := os.Stat(filepath.Join(dir, "pki", "ca.key")); err != nil || info.Size() != 0 {
		t.Errorf("the key was replaced: %v, %v", info, err)
	}
}
