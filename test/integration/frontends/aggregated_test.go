package frontends_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"

	"github.com/koinon-io/koinon/test/testbed"
)

// aggregates has the member's API server serve an API of its aggregator, to which the agent connects, by a front end. While there is
// no agent, the API is said to be unavailable for that reason.
func (w *world) aggregates(front string) {
	w.Run("an aggregated API by "+front, func(t *testing.T) {
		w := *w
		w.T = t
		testbed.StartMetrics(t, w.member)
		before := w.metric("koinon_tunnel_frontend_dials_total", `front="`+front+`"`, `code="200"`)
		w.isAvailable(apiregistrationv1.ConditionTrue, "all checks passed")
		w.usesAggregated()
		if after := w.metric("koinon_tunnel_frontend_dials_total", `front="`+front+`"`, `code="200"`); after <= before {
			t.Error("it was reached in another way")
		}

		w.agent.Kill9(t)
		w.isAvailable(apiregistrationv1.ConditionFalse, "no agent of it is connected")
		if got := testbed.RunKubectl(t, w.member.Kubeconfig(), "", "get", "--raw", metricsPath+"/nodes", requestTimeout); !strings.Contains(got.Stderr, "ServiceUnavailable") {
			t.Errorf("without an agent: got %v: %s%s", got.Err, got.Stdout, got.Stderr)
		}
		w.agent.Start(t)
		w.isAvailable(apiregistrationv1.ConditionTrue, "all checks passed")
		w.usesAggregated()
	})
}

const metricsPath = "/apis/metrics.k8s.io/v1beta1"

// isAvailable waits until the aggregator says so of the API. It looks again whenever the Service changes, or half a minute later.
func (w *world) isAvailable(status apiregistrationv1.ConditionStatus, message string) {
	w.Helper()
	client, err := aggregator.NewForConfig(w.member.RESTConfig(w))
	if err != nil {
		w.Fatal(err)
	}
	services := w.member.Client(w).CoreV1().Services("kube-system")
	tries := 0
	w.eventually("the API is available: "+string(status), func(ctx context.Context) error {
		api, err := client.ApiregistrationV1().APIServices().Get(ctx, "v1beta1.metrics.k8s.io", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range api.Status.Conditions {
			if c.Type == apiregistrationv1.Available && c.Status == status && strings.Contains(c.Message, message) {
				return nil
			}
		}
		tries++
		patch := fmt.Sprintf(`{"metadata":{"annotations":{"tries":"%d"}}}`, tries)
		_, err = services.Patch(ctx, api.Spec.Service.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		return errors.Join(err, fmt.Errorf("got %+v", api.Status.Conditions))
	})
}

// usesAggregated finds the API, and gets an object of it.
func (w *world) usesAggregated() {
	w.Helper()
	w.eventually("the API is found", func(context.Context) error {
		got := testbed.RunKubectl(w, w.member.Kubeconfig(), "", "api-resources", "--api-group=metrics.k8s.io", "-o", "name", requestTimeout)
		if got.Err != nil || !strings.Contains(got.Stdout, "nodes.metrics.k8s.io") {
			return fmt.Errorf("%w: %s%s", got.Err, got.Stdout, got.Stderr)
		}
		return nil
	})
	got := testbed.Kubectl(w, w.member.Kubeconfig(), "get", "nodes.metrics.k8s.io", w.kubelet.Node, "-o", "jsonpath={.usage.cpu}", requestTimeout)
	if got != testbed.NodeCPU {
		w.Errorf("got %q, want %q", got, testbed.NodeCPU)
	}
}
