package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	kubefedclient "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/core/v1beta1"
)

// agentWait waits until an agent of a cluster has connected.
type agentWait struct {
	kubefed kubefedclient.KubeFedClusterInterface
	events  corev1client.EventInterface
	options *agentOptions
	// before is what there was of agents before the manifest.
	before connections
}

// connections are the events of agents that have connected, and how often each was told: clocks of two machines are not compared.
type connections map[types.UID]corev1.Event

// connected are the agents that are known to have connected.
func (w *agentWait) connected(ctx context.Context) (connections, error) {
	list, err := w.events.List(ctx, metav1.ListOptions{FieldSelector: fields.Set{
		"involvedObject.kind": "KubeFedCluster", "involvedObject.name": w.options.cluster, "reason": "AgentConnected",
	}.String()})
	if err != nil {
		return nil, fmt.Errorf("look for agents of %q that have connected: %s", w.options.cluster, sentence(err))
	}
	found := connections{}
	for _, event := range list.Items {
		if strings.HasPrefix(event.Message, "The agent of "+w.options.name().String()+" ") {
			found[event.UID] = event
		}
	}
	return found, nil
}

// another is what is told of an agent that has connected since; empty if there is none.
func (c connections) another(since connections) string {
	for uid, event := range c {
		if old, ok := since[uid]; !ok || event.Count > old.Count {
			return event.Message
		}
	}
	return ""
}

// run returns when an agent has connected since before, or says what is wrong.
func (w *agentWait) run(ctx context.Context) error {
	o := w.options
	_, _ = fmt.Fprintf(o.ErrOut, "waiting for an agent of %s, for %s at most\n", o.name(), o.Timeout)
	within, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	tick := time.NewTicker(o.every)
	defer tick.Stop()
	problem := ""
	for {
		told, said, err := w.look(within)
		switch {
		case told != "":
			_, _ = fmt.Fprintln(o.ErrOut, told)
			return nil
		case apierrors.IsNotFound(err):
			return fmt.Errorf("the KubeFedCluster %q is gone: an agent without one is refused", o.cluster)
		case err != nil && within.Err() == nil:
			problem = err.Error()
		case err == nil:
			problem = said
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-within.Done():
			return errors.New(w.late(problem))
		case <-tick.C:
		}
	}
}

// look looks once: told is of an agent that has connected, said what its KubeFedCluster says is wrong.
func (w *agentWait) look(ctx context.Context) (told, said string, err error) {
	cluster, err := w.kubefed.Get(ctx, w.options.cluster, metav1.GetOptions{})
	if err != nil {
		return "", "", err
	}
	found, err := w.connected(ctx)
	if err != nil {
		return "", "", err
	}
	for _, condition := range cluster.Status.Conditions {
		if w.options.Node != "" {
			break // they are about the API server
		}
		wrong := condition.Status == corev1.ConditionTrue && condition.Type != v1beta1.ClusterCredentialsExpiring
		if condition.Type == v1beta1.ClusterReady {
			wrong = condition.Status == corev1.ConditionFalse
		}
		if wrong && condition.Message != nil {
			said = *condition.Message
		}
	}
	return found.another(w.before), said, nil
}

// late is the sentence of an agent that did not come.
func (w *agentWait) late(problem string) string {
	o := w.options
	text := fmt.Sprintf("no agent of %s has connected within %s", o.name(), o.Timeout)
	if problem != "" {
		text += ": " + strings.TrimSuffix(problem, ".")
	}
	return text + "; what the agents say is in " + o.logPlace()
}
