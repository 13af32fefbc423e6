package edgehub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/cmd/koinon-edgehub/app"
	"github.com/koinon-io/koinon/pkg/edgehub/topology"
	"github.com/koinon-io/koinon/test/testbed"
)

// proxied is what kube-proxy is told of EndpointSlices: only of those with another resourceVersion than it knows.
type proxied struct {
	what string

	mu   sync.Mutex
	told map[string][]string // what is read of endpoints, sorted, by slice; guarded by mu
}

// proxy starts an informer as kube-proxy has it, with its selector, which reads nodes of endpoints.
func proxy(t *testing.T, what string, client kubernetes.Interface) *proxied {
	t.Helper()
	return proxyOf(t, what, client, func(e *discoveryv1.Endpoint) string { return *e.NodeName })
}

// proxyOf starts one that reads something of endpoints.
func proxyOf(t *testing.T, what string, client kubernetes.Interface, read func(*discoveryv1.Endpoint) string) *proxied {
	t.Helper()
	p := &proxied{what: what, told: map[string][]string{}}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 15*time.Minute, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.LabelSelector = "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name"
	}))
	put := func(o any) {
		slice := o.(*discoveryv1.EndpointSlice)
		is := []string{}
		for i := range slice.Endpoints {
			is = append(is, read(&slice.Endpoints[i]))
		}
		slices.Sort(is)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.told[slice.Name] = is
	}
	_, err := factory.Discovery().V1().EndpointSlices().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) {
			if o.(*discoveryv1.EndpointSlice).Namespace == "default" && o.(*discoveryv1.EndpointSlice).Name != "kubernetes" {
				put(o)
			}
		},
		UpdateFunc: func(_, o any) {
			if o.(*discoveryv1.EndpointSlice).Name != "kubernetes" {
				put(o)
			}
		},
		DeleteFunc: func(o any) {
			if slice, ok := o.(*discoveryv1.EndpointSlice); ok {
				p.mu.Lock()
				defer p.mu.Unlock()
				delete(p.told, slice.Name)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop); factory.Shutdown() })
	factory.Start(stop)
	return p
}

// sees waits until it was told of just these.
func (p *proxied) sees(t *testing.T, when string, want map[string][]string) {
	t.Helper()
	testbed.Eventually(t, p.what+" sees what it should "+when, func(context.Context) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if diff := cmp.Diff(want, p.told); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
}

// annotate gives a Service a rule, or with an empty one none.
func (n *node) annotate(service, rule string) {
	n.Helper()
	text := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, topology.Annotation, rule)
	if rule == "" {
		text = fmt.Sprintf(`{"metadata":{"annotations":{%q:null}}}`, topology.Annotation)
	}
	if _, err := n.cloud.CoreV1().Services("default").Patch(n.Context(), service, types.MergePatchType, []byte(text), metav1.PatchOptions{}); err != nil {
		n.Fatal(err)
	}
}

// unit has a node be in a unit.
func (n *node) unit(node, unit string) {
	n.Helper()
	text := fmt.Sprintf(`{"metadata":{"labels":{"edge.koinon.io/unit":%q}}}`, unit)
	if _, err := n.cloud.CoreV1().Nodes().Patch(n.Context(), node, types.MergePatchType, []byte(text), metav1.PatchOptions{}); err != nil {
		n.Fatal(err)
	}
}

// service makes one with an EndpointSlice that has endpoints on nodes.
func (n *node) service(name, rule string, nodes ...string) {
	n.Helper()
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	if rule != "" {
		service.Annotations = map[string]string{topology.Annotation: rule}
	}
	if _, err := n.cloud.CoreV1().Services("default").Create(n.Context(), service, metav1.CreateOptions{}); err != nil {
		n.Fatal(err)
	}
	if _, err := n.cloud.DiscoveryV1().EndpointSlices("default").Create(n.Context(), endpointSlice(name, nodes...), metav1.CreateOptions{}); err != nil {
		n.Fatal(err)
	}
}

// endpointSlice is one of a Service of its name.
func endpointSlice(service string, nodes ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: service, Labels: map[string]string{discoveryv1.LabelServiceName: service}}, AddressType: discoveryv1.AddressTypeIPv4}
	for i, node := range nodes {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.9.0.%d", i+1)}, NodeName: &node})
	}
	return s
}

// endpoints has a Service have endpoints on nodes.
func (n *node) endpoints(service string, nodes ...string) {
	n.Helper()
	if _, err := n.cloud.DiscoveryV1().EndpointSlices("default").Update(n.Context(), endpointSlice(service, nodes...), metav1.UpdateOptions{}); err != nil {
		n.Fatal(err)
	}
}

// letNodes lets nodes read what they may not by themselves.
func (n *node) letNodes(resources string) {
	n.Helper()
	testbed.Kubectl(n, n.cluster.Kubeconfig(), "create", "clusterrole", "edge-nodes", "--verb=get,list,watch", "--resource="+resources)
	testbed.Kubectl(n, n.cluster.Kubeconfig(), "create", "clusterrolebinding", "edge-nodes", "--clusterrole=edge-nodes", "--group=system:nodes")
}

// neighbours makes nodes.
func (n *node) neighbours(names ...string) {
	n.Helper()
	for _, name := range names {
		if _, err := n.cloud.CoreV1().Nodes().Create(n.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			n.Fatal(err)
		}
	}
}

// kube-proxy sees endpoints of closed Services as its node is to: as rules, units and endpoints change, while the cloud is away, after the hub was started anew then, and when it is back.
func TestClosedServicesAreSeenAsTheNodeIsTo(t *testing.T) {
	n := newNode(t)
	n.letNodes("nodes,endpointslices.discovery.k8s.io")
	n.neighbours("near", "far")
	n.unit(nodeName, "u")
	n.unit("near", "u")
	n.unit("far", "v")
	everywhere := []string{nodeName, "far", "near"}
	n.service("open", "", everywhere...)
	n.service("unit", "unit", everywhere...)
	n.service("own", "node", everywhere...)
	n.service("empty", "unit", "far")
	n.service("prefers", "preferUnit", "far", "near")
	want := map[string][]string{"open": everywhere, "unit": {nodeName, "near"}, "own": {nodeName}, "empty": {}, "prefers": {"near"}}
	p := proxy(t, "kube-proxy", n.kubelet())
	sees := func(when string) { t.Helper(); p.sees(t, when, want) }
	sees("at first")
	n.annotate("unit", "")
	want["unit"] = everywhere
	sees("when a rule is taken away")
	n.annotate("unit", "unit")
	want["unit"] = []string{nodeName, "near"}
	sees("when it is given again")
	n.annotate("open", "wrong")
	want["open"] = []string{nodeName, "near"}
	sees("when a rule is wrong")
	n.annotate("open", "")
	want["open"] = everywhere
	n.unit("far", "u")
	want["unit"], want["empty"], want["prefers"] = everywhere, []string{"far"}, []string{"far", "near"}
	sees("when a node comes into the unit")
	n.unit(nodeName, "w")
	want["unit"], want["empty"] = []string{nodeName}, []string{}
	sees("when the node itself moves")
	n.endpoints("prefers", nodeName, "far", "near")
	want["prefers"] = []string{nodeName}
	sees("when an endpoint comes that is preferred")
	n.unit(nodeName, "u")
	n.unit("far", "v")
	want["unit"], want["prefers"] = []string{nodeName, "near"}, []string{nodeName, "near"}
	sees("when all is as before")

	n.cable.sever()
	n.annotate("unit", "node")
	n.unit("near", "v")
	n.endpoints("own", "far")
	sees("without the cloud")
	proxy(t, "another one without the cloud", n.kubelet()).sees(t, "at first", want)
	n.restart()
	proxy(t, "one after the hub was started anew without the cloud", n.kubelet()).sees(t, "at first", want)
	sees("after the hub was started anew without the cloud")

	n.cable.heal()
	want["unit"], want["own"], want["prefers"] = []string{nodeName}, []string{}, []string{nodeName}
	sees("when the cloud is back")
	list, err := n.kubelet().DiscoveryV1().EndpointSlices("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range list.Items {
		if s := &list.Items[i]; want[s.Name] != nil && len(s.Endpoints) != len(want[s.Name]) {
			t.Errorf("a list of all has %d endpoints of %s", len(s.Endpoints), s.Name)
		}
	}
}

// A node that may not read all nodes keeps traffic of its unit to itself, and says so.
func TestANodeThatMayNotReadNodesIsAUnitByItself(t *testing.T) {
	n := newNode(t)
	n.letNodes("endpointslices.discovery.k8s.io")
	n.neighbours("near")
	n.unit(nodeName, "u")
	n.unit("near", "u")
	n.service("unit", "unit", nodeName, "near")
	proxy(t, "kube-proxy", n.kubelet()).sees(t, "at first", map[string][]string{"unit": {nodeName}})
	answer, err := http.Get("http://" + n.options.StatusAddress + "/status")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var report app.Report
	if err := json.NewDecoder(answer.Body).Decode(&report); err != nil {
		t.Fatal(err)
	}
	if len(report.Closure) != 1 || !strings.Contains(report.Closure[0], "may not read all nodes") {
		t.Errorf("its status says %q", report.Closure)
	}
}

// Whoever cannot be shown what the node sees is shown nothing.
func TestEndpointSlicesDoNotComeAnotherWay(t *testing.T) {
	n := newNode(t)
	n.letNodes("nodes,endpointslices.discovery.k8s.io")
	n.service("own", "node", nodeName, "far")
	proxy(t, "kube-proxy", n.kubelet()).sees(t, "at first", map[string][]string{"own": {nodeName}})
	const path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
	for _, query := range []string{"?continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0", "?resourceVersion=1&resourceVersionMatch=Exact&limit=1", "?pretty=true", "?watch=true&pretty=true", "/own?pretty=true"} {
		if code, text := n.status(n.kubeletConfig(), "GET", path+query, nil); code < 400 {
			t.Errorf("%s: %d %s", query, code, text)
		}
	}
	_, text := n.status(n.kubeletConfig(), "GET", path+"/own", map[string][]string{"Accept": {"application/vnd.kubernetes.protobuf"}})
	body, err := asJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var slice discoveryv1.EndpointSlice
	if err := json.Unmarshal(body, &slice); err != nil {
		t.Fatal(err)
	}
	if len(slice.Endpoints) != 1 || *slice.Endpoints[0].NodeName != nodeName {
		t.Errorf("protobuf: %s", body)
	}
	table := map[string][]string{"Accept": {"application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}}
	if code, text := n.status(n.kubeletConfig(), "GET", path, table); code != 200 {
		t.Errorf("a table: %d %s", code, text)
	}
}
