package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/cmd/koinon-playground/member"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/generated/clientset/versioned"
	"github.com/koinon-io/koinon/test/bench/contender"
	"github.com/koinon-io/koinon/test/simulation"
)

const (
	system     = v1beta1.DefaultNamespace
	memberName = "m1"
	// shop is the namespace of the cell, and what the member's namespace is called there.
	shop     = "shop"
	cellName = "rz00a"
	// inMember is the namespace of all that is read.
	inMember = shop + "-" + cellName
	// patience is how long any step may take before it has failed.
	patience = 2 * time.Minute
	// hands is how many requests are made at once where many are needed.
	hands = 16
)

// The ways to a member, which are columns.
const (
	directly    = "directly"
	byCluster   = "clusters"
	byCell      = "cell"
	proxiesPath = "/apis/federation.koinon.io/v1alpha1/"
)

var wayNames = []string{directly, byCluster, byCell}

// way is one of them.
type way struct {
	name   string
	config *rest.Config // Host is where the member's API begins
	// namespace is what inMember is called.
	namespace string
}

// path of a resource in the namespace.
func (y *way) path(resource string) string {
	return "/api/v1/namespaces/" + y.namespace + "/" + resource
}

// world is a control plane and its members.
type world struct {
	*bench
	koinon *contender.Koinon
	kube   kubernetes.Interface // of the control plane
	fed    versioned.Interface

	// member is real; nil if members are simulated, which fleet is then.
	member *member.Cluster
	fleet  *simulation.Fleet
	// direct is the member's administrator.
	direct kubernetes.Interface
	ways   []*way // by wayNames
}

// inWorld measures in a world that ends afterwards. populate gives it its members.
func (b *bench) inWorld(ctx context.Context, populate, measure func(*world, context.Context) error) error {
	w := &world{bench: b}
	b.worlds++
	err := w.start(ctx)
	if err == nil {
		err = populate(w, ctx)
	}
	if err == nil {
		err = measure(w, ctx)
	}
	return errors.Join(err, w.close(ctx))
}

// start starts a control plane that has no members.
func (w *world) start(ctx context.Context) (err error) {
	if w.koinon, err = contender.NewKoinon(w.config, fmt.Sprintf("world-%d", w.worlds)); err != nil {
		return err
	}
	if err := w.koinon.StartOnAnyPort(ctx); err != nil {
		return err
	}
	config, err := w.koinon.RESTConfig()
	if err != nil {
		return err
	}
	if w.kube, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if w.fed, err = versioned.NewForConfig(config); err != nil {
		return err
	}
	return w.eventually(ctx, "the control plane has set itself up", func(ctx context.Context) error {
		_, err := w.kube.CoreV1().Namespaces().Get(ctx, system, metav1.GetOptions{})
		return err
	})
}

// close ends everything.
func (w *world) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var errs []error
	if w.koinon != nil {
		errs = append(errs, w.koinon.Stop(ctx))
	}
	if w.member != nil {
		errs = append(errs, w.member.Kill(ctx))
	}
	if w.fleet != nil {
		errs = append(errs, w.fleet.Close())
	}
	return errors.Join(errs...)
}

// withMember starts a real member, joins it, and makes a cell on it.
func (w *world) withMember(ctx context.Context) (err error) {
	w.member, err = member.New(member.Config{
		Name: memberName, Dir: filepath.Join(w.config.Dir, fmt.Sprintf("member-%d", w.worlds)), LogDir: filepath.Join(w.config.Dir, "logs"),
		Binary: filepath.Join(w.config.Bin, "koinon-playground"), Tied: true,
	})
	if err != nil {
		return err
	}
	if err := w.member.Start(ctx); err != nil {
		return err
	}
	administrator, err := w.member.RESTConfig()
	if err != nil {
		return err
	}
	administrator.ContentType = "application/vnd.kubernetes.protobuf"
	if w.direct, err = kubernetes.NewForConfig(administrator); err != nil {
		return err
	}
	config, err := w.joinMember(ctx)
	if err != nil {
		return err
	}
	if err := w.makeCell(ctx); err != nil {
		return err
	}
	// Without controllers the member does nothing of its own.
	if err := w.member.Kill(ctx, member.ControllerManager); err != nil {
		return err
	}
	return w.openWays(ctx, config)
}

// openWays waits until the member answers by every way; direct is the access of a user of it.
func (w *world) openWays(ctx context.Context, direct *rest.Config) error {
	ours, err := w.koinon.RESTConfig()
	if err != nil {
		return err
	}
	through := func(resource string) *rest.Config {
		config := rest.CopyConfig(ours)
		config.Host += proxiesPath + resource + "/proxy"
		return config
	}
	w.ways = []*way{
		{directly, direct, inMember},
		{byCluster, through("clusters/" + memberName), inMember},
		{byCell, through("namespaces/" + shop + "/cells/" + cellName), shop},
	}
	return w.reachable(ctx)
}

func (w *world) reachable(ctx context.Context) error {
	for _, y := range w.ways {
		c, err := newClient(y.config)
		if err != nil {
			return err
		}
		defer c.close()
		err = w.eventually(ctx, "the member answers: "+y.name, func(ctx context.Context) error {
			_, err := c.read(ctx, question{path: y.path("configmaps"), accept: asJSON})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// makeCell makes the cell, and its namespace in the member with the account that pods need.
func (w *world) makeCell(ctx context.Context) error {
	_, err := w.kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: shop}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("make namespace %s: %w", shop, err)
	}
	_, err = w.fed.FederationV1alpha1().Cells(shop).Create(ctx, &federationv1alpha1.Cell{
		ObjectMeta: metav1.ObjectMeta{Name: cellName, Namespace: shop},
		Spec:       federationv1alpha1.CellSpec{ClusterName: memberName},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("make cell %s: %w", cellName, err)
	}
	_, err = w.direct.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: inMember}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("make namespace %s in the member: %w", inMember, err)
	}
	return w.eventually(ctx, "the namespace of the member has its account", func(ctx context.Context) error {
		_, err := w.direct.CoreV1().ServiceAccounts(inMember).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

// eventually tries until it succeeds.
func (w *world) eventually(ctx context.Context, what string, check func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
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
	var running sync.WaitGroup
	var next atomic.Int64
	var once sync.Once
	var first error
	for range min(hands, n) {
		running.Go(func() { // ends with the last of the things, or the first error
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(i); err != nil {
					once.Do(func() { first = err })
					next.Store(int64(n))
					return
				}
			}
		})
	}
	running.Wait()
	return first
}

// authority of the member's certificate, PEM.
func (w *world) authority() ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(w.pki(), "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("read the authority of the member: %w", err)
	}
	return data, nil
}

// pki is the directory of the member's certificates.
func (w *world) pki() string { return filepath.Join(w.member.Dir, "pki") }
