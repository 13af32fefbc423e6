package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/cmd/koinon-playground/member"
	"github.com/koinon-io/koinon/cmd/koinon-playground/process"
)

const (
	// patience is how long any step may take before it has failed.
	patience = 5 * time.Minute
	// hands is how many requests are made at once where many are needed.
	hands = 16
	// system is the namespace of the node's pods that read.
	system = "kube-system"
)

// world is a cluster in the cloud, of which nothing was used before.
type world struct {
	*bench
	dir     string
	cluster *member.Cluster
	admin   kubernetes.Interface
	config  *rest.Config // the administrator's
	tokens  map[string]string
	closers []func()
	hubs    int // how many were started
	// apiServerSpec is how the API server was started.
	apiServerSpec process.Spec
}

// inWorld measures in a world that ends afterwards.
func (b *bench) inWorld(ctx context.Context, name string, measure func(*world) error) (err error) {
	w := &world{bench: b, dir: filepath.Join(b.Dir, name), tokens: map[string]string{}}
	if err := os.Mkdir(w.dir, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close(ctx)) }()
	if err := w.start(ctx); err != nil {
		return err
	}
	return measure(w)
}

// start starts a cluster, and makes what the node's programs are in it.
func (w *world) start(ctx context.Context) (err error) {
	w.cluster, err = member.New(member.Config{Name: "cloud", Dir: filepath.Join(w.dir, "cluster"), LogDir: w.dir, Binary: w.binary("koinon-playground"), Tied: true})
	if err != nil {
		return err
	}
	if err := w.cluster.Start(ctx); err != nil {
		return err
	}
	if err := w.rememberAPIServer(); err != nil {
		return err
	}
	if w.config, err = w.cluster.RESTConfig(); err != nil {
		return err
	}
	w.config.ContentType = "application/vnd.kubernetes.protobuf"
	if w.admin, err = kubernetes.NewForConfig(w.config); err != nil {
		return err
	}
	if err := w.letNodes(ctx); err != nil {
		return fmt.Errorf("let nodes find out which cluster this is: %w", err)
	}
	for account, rules := range accounts {
		if w.tokens[account], err = w.makeAccount(ctx, account, rules); err != nil {
			return fmt.Errorf("make the account %s: %w", account, err)
		}
	}
	return nil
}

// restartAPIServer starts an API server that was killed as it was started before, and waits until it is ready. The cluster would start controllers, too.
func (w *world) restartAPIServer(ctx context.Context) error {
	if err := process.Start(w.apiServerSpec); err != nil {
		return err
	}
	return process.Await(ctx, patience, func(ctx context.Context) error {
		return w.admin.CoreV1().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}, process.Program{Name: member.APIServer, PIDFile: w.apiServerSpec.PIDFile, LogFile: w.apiServerSpec.LogFile})
}

// rememberAPIServer notes how the API server was started.
func (w *world) rememberAPIServer() error {
	pid, _ := w.cluster.Running(member.APIServer)
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return err
	}
	w.apiServerSpec = process.Spec{
		Path: w.binary("koinon-playground"), Args: strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")[1:], Tied: true,
		LogFile: w.cluster.LogFile(member.APIServer), PIDFile: filepath.Join(w.cluster.Dir, member.APIServer+".pid"),
	}
	return nil
}

// close ends everything.
func (w *world) close(ctx context.Context) error {
	for i := len(w.closers) - 1; i >= 0; i-- {
		w.closers[i]()
	}
	if w.cluster == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return w.cluster.Kill(ctx)
}

// The accounts of pods that read what is not their own, and what they may.
const (
	kubeProxy = "kube-proxy"
	coreDNS   = "coredns"
	flannel   = "flannel"
)

func reads(group string, resources ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: []string{"get", "list", "watch"}}
}

var accounts = map[string][]rbacv1.PolicyRule{
	kubeProxy: {reads("", "services", "nodes"), reads("discovery.k8s.io", "endpointslices"), reads("networking.k8s.io", "servicecidrs")},
	coreDNS:   {reads("", "services", "namespaces"), reads("discovery.k8s.io", "endpointslices")},
	flannel:   {reads("", "nodes")},
}

// letNodes lets hubs find out which cluster this is, as artifacts/deploy/edgehub-rbac.yaml does.
func (w *world) letNodes(ctx context.Context) error {
	const name = "edgebench-nodes"
	rule := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"namespaces"}, ResourceNames: []string{system}, Verbs: []string{"get"}}
	if _, err := w.admin.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{rule}}, metav1.CreateOptions{}); err != nil {
		return err
	}
	_, err := w.admin.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "system:nodes"}},
	}, metav1.CreateOptions{})
	return err
}

// makeAccount makes an account with rights, and returns a token of it.
func (w *world) makeAccount(ctx context.Context, name string, rules []rbacv1.PolicyRule) (string, error) {
	meta := metav1.ObjectMeta{Name: "edgebench-" + name, Namespace: system}
	if _, err := w.admin.CoreV1().ServiceAccounts(system).Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{}); err != nil {
		return "", err
	}
	if _, err := w.admin.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: meta.Name}, Rules: rules}, metav1.CreateOptions{}); err != nil {
		return "", err
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: meta.Name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: meta.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: meta.Name, Namespace: system}},
	}
	if _, err := w.admin.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		return "", err
	}
	seconds := int64(4 * time.Hour / time.Second)
	token, err := w.admin.CoreV1().ServiceAccounts(system).CreateToken(ctx, meta.Name, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return token.Status.Token, nil
}

// apiServer is where the API server listens.
func (w *world) apiServer() string { return strings.TrimPrefix(w.cluster.Server(), "https://") }

// authority is the file with that of the API server's certificate.
func (w *world) authority() string { return filepath.Join(w.cluster.Dir, "pki", "ca.crt") }

// eventually tries until it succeeds.
func eventually(ctx context.Context, what string, check func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waited in vain until %s: %w", what, errors.Join(err, last))
	}
	return nil
}

// many does n things, some at once, and returns the first error.
func many(n int, do func(i int) error) error {
	var (
		running sync.WaitGroup
		next    atomic.Int64
		once    sync.Once
		first   error
	)
	for range min(hands, n) {
		running.Go(func() { // ends with the last of the things, or the first error
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					once.Do(func() { first = err })
					next.Store(int64(n))
				}
			}
		})
	}
	running.Wait()
	return first
}
