package quickstart

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// row is one target of one federated object.
type row struct {
	kind, name string
	target     v1beta2.TargetStatus
	// ready is of Deployments only, such as "2/2".
	ready string
}

// lander looks at where federated objects have landed: what Koinon's status says, and, for
// Deployments, what the members themselves say.
type lander struct {
	hostClient dynamic.Interface
	members    map[string]kubernetes.Interface
}

func (q *quickstart) newLander(hostClient dynamic.Interface) (*lander, error) {
	l := &lander{hostClient: hostClient, members: map[string]kubernetes.Interface{}}
	for _, m := range q.members {
		cfg, err := m.RESTConfig()
		if err != nil {
			return nil, err
		}
		if l.members[m.Name], err = kubernetes.NewForConfig(cfg); err != nil {
			return nil, fmt.Errorf("make a client of %s: %w", m.Name, err)
		}
	}
	return l, nil
}

// await waits until every object has landed in every one of its targets. It returns what
// it saw last, even with an error.
func (l *lander) await(ctx context.Context, targets []target) ([]row, error) {
	ctx, cancel := context.WithTimeout(ctx, landTimeout)
	defer cancel()
	var rows []row
	var reason error
	err := wait.PollUntilContextCancel(ctx, poll, true, func(ctx context.Context) (bool, error) {
		seen, err := l.look(ctx, targets)
		if ctx.Err() != nil {
			return false, nil // half an answer: keep the last whole one
		}
		rows, reason = seen, err
		return reason == nil, nil
	})
	if err != nil {
		return rows, fmt.Errorf("the examples have not landed everywhere: %w", cmp.Or(reason, err))
	}
	return rows, nil
}

// look returns a row for each target, and as an error the reasons why some are not as
// they should be.
func (l *lander) look(ctx context.Context, targets []target) ([]row, error) {
	var rows []row
	var reasons []error
	for _, t := range targets {
		seen, err := l.lookAt(ctx, t)
		rows = append(rows, seen...)
		if err != nil {
			reasons = append(reasons, fmt.Errorf("%s %s: %w", t.kind, t.name, err))
		}
	}
	return rows, errors.Join(reasons...)
}

func (l *lander) lookAt(ctx context.Context, t target) ([]row, error) {
	got, err := l.hostClient.Resource(t.gvr.GroupResource().WithVersion("v1beta2")).Namespace(t.namespace).
		Get(ctx, t.name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	var object v1beta2.FederatedObject
	if err := decode(got, &object); err != nil {
		return nil, fmt.Errorf("read the object: %w", err)
	}
	if object.Status == nil {
		return nil, errors.New("no controller has looked at it")
	}
	reason := propagated(&object)
	var rows []row
	for _, s := range object.Status.Targets {
		r := row{kind: t.kind, name: t.name, target: s}
		if t.kind == deploymentKind && s.State == v1beta2.TargetOK {
			var err error
			if r.ready, err = l.deploymentReady(ctx, s, t.name); err != nil {
				reason = errors.Join(reason, err)
			}
		}
		rows = append(rows, r)
	}
	return rows, reason
}

// propagated tells why an object is not everywhere yet.
func propagated(object *v1beta2.FederatedObject) error {
	status := object.Status
	if status.ObservedGeneration != object.Generation {
		return errors.New("its latest change was not looked at yet")
	}
	if len(status.Targets) == 0 {
		return errors.New("it has no targets")
	}
	for _, s := range status.Targets {
		if !s.State.UpToDate() {
			return fmt.Errorf("target %s is %s: %s", s.Name, s.State, s.Message)
		}
	}
	for _, c := range status.Conditions {
		if c.Type == v1beta2.ConditionPropagation && c.Status == metav1.ConditionTrue {
			return nil
		}
	}
	return errors.New("its condition Propagation is not True")
}

// deploymentReady asks the member how many replicas are ready, of how many.
func (l *lander) deploymentReady(ctx context.Context, s v1beta2.TargetStatus, name string) (string, error) {
	memberClient, ok := l.members[s.Cluster]
	if !ok {
		return "", fmt.Errorf("target %s is in %q, which is no member", s.Name, s.Cluster)
	}
	d, err := memberClient.AppsV1().Deployments(s.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", fmt.Errorf("%s has no Deployment %s/%s, though the status says so", s.Cluster, s.Namespace, name)
	}
	if err != nil {
		return "", err
	}
	wanted := replicas(d)
	ready := fmt.Sprintf("%d/%d", d.Status.ReadyReplicas, wanted)
	if d.Status.ObservedGeneration != d.Generation || d.Status.ReadyReplicas != wanted {
		return ready, fmt.Errorf("target %s has %s replicas ready", s.Name, ready)
	}
	return ready, nil
}

func replicas(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

// printTable prints what landed where.
func printTable(out io.Writer, rows []row) {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "KIND\tNAME\tTARGET\tMEMBER\tNAMESPACE\tREADY\tSTATE")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.kind, r.name, r.target.Name,
			cmp.Or(r.target.Cluster, "-"), cmp.Or(r.target.Namespace, "-"), cmp.Or(r.ready, "-"), cmp.Or(string(r.target.State), "OK"))
	}
	w.Flush()
}
