package simulated_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/federated/strategy"
	"github.com/koinon-io/koinon/pkg/registry/federated/targets"
	"github.com/koinon-io/koinon/pkg/registry/proxy"
	"github.com/koinon-io/koinon/test/simulation"
)

// onlookers are those who may read in a namespace of the host. They are shown members by the API server:
// the targets of a federated object, and a cell through its proxy. Its guards decide by the host of now.
type onlookers struct {
	*realm
	law    *law
	reader *targets.Reader
}

func newOnlookers(r *realm, l *law) *onlookers {
	r.Helper()
	o := &onlookers{realm: r, law: l}
	var err error
	if o.reader, err = targets.NewReader(targets.Config{Members: o, Lookups: o, Federation: o.federation}); err != nil {
		r.Fatal(err)
	}
	return o
}

// lookAtTargets reads what members have of an object.
func (o *onlookers) lookAtTargets(ctx context.Context, namespace, name string) {
	kind := federated.Kind{
		Kind: "FederatedConfigMap", Resource: "federatedconfigmaps", Namespaced: true,
		Target: schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, TargetNamespaced: true, TargetResource: "configmaps",
	}
	ctx = genericapirequest.WithNamespace(ctx, namespace)
	if _, err := o.reader.REST(kind, federatedConfigMaps{o}).Get(ctx, name, &federationv1alpha1.TargetObjectOptions{}); err != nil && !apierrors.IsNotFound(err) {
		o.Fatalf("targets of %s/%s: %v", namespace, name, err)
	}
}

// lookIntoCell reads an object in a cell, if the proxy of the cell shows it.
func (o *onlookers) lookIntoCell(ctx context.Context, namespace, cell string) {
	at, err := proxy.Locate(ctx, o, namespace, cell)
	if err != nil {
		return // it may not be there
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/api/v1/namespaces/%s/configmaps/%s-0", at.Member, at.MemberNamespace, namespace), nil)
	if err != nil {
		o.Fatal(err)
	}
	member, err := o.To(ctx, at.Member)
	if err != nil {
		o.Fatal(err)
	}
	if answer, err := member.Transport.RoundTrip(request); err == nil { // else the member is not well
		answer.Body.Close()
	}
}

// To implements targets.Members. Each request is held against the law of now.
func (o *onlookers) To(_ context.Context, name string) (targets.Member, error) {
	i := slices.IndexFunc(o.members, func(m *simulation.Member) bool { return m.Name() == name })
	if i < 0 {
		return targets.Member{}, apierrors.NewServiceUnavailable("there is no such member")
	}
	transport, err := rest.TransportFor(o.members[i].InProcess())
	if err != nil {
		return targets.Member{}, err
	}
	return targets.Member{Replaced: context.Background(), Transport: watched(func(r *http.Request) (*http.Response, error) {
		o.law.seesNow(name, r)
		return transport.RoundTrip(r)
	})}, nil
}

type watched func(*http.Request) (*http.Response, error)

func (w watched) RoundTrip(r *http.Request) (*http.Response, error) { return w(r) }

// seesNow judges a request of somebody who knows the estate of now.
func (l *law) seesNow(member string, r *http.Request) {
	l.mu.Lock()
	since := l.since
	l.since = nil
	l.shown++
	l.mu.Unlock()
	l.sees(member, r)
	l.mu.Lock()
	l.since = since
	l.mu.Unlock()
}

// stored reads an object of the host; nil if there is none.
func stored[T any](o *onlookers, gvr schema.GroupVersionResource, namespace, name string) *T {
	tree := o.host.Object(gvr, namespace, name)
	if tree == nil {
		return nil
	}
	object := new(T)
	if err := json.Unmarshal([]byte(asJSON(tree)), object); err != nil {
		o.Fatal(err)
	}
	return object
}

func (o *onlookers) federation(context.Context) (string, error) {
	config := stored[v1beta1.KubeFedConfig](o, v1beta1.SchemeGroupVersion.WithResource("kubefedconfigs"), v1beta1.DefaultNamespace, v1beta1.KubeFedConfigName)
	if config == nil {
		return "", errors.New("there is no KubeFedConfig")
	}
	return config.Annotations[federationv1alpha1.FederationAnnotation], nil
}

// Cluster implements targets.Lookups and proxy.CellLookups.
func (o *onlookers) Cluster(_ context.Context, name string) (*v1beta1.KubeFedCluster, error) {
	return stored[v1beta1.KubeFedCluster](o, clusters, v1beta1.DefaultNamespace, name), nil
}

func (*onlookers) OnlyNamespace(context.Context) (string, error) { return "", nil }

// Page implements targets.Lookups and proxy.CellLookups.
func (o *onlookers) Page(_ context.Context, namespace string) (*federationv1alpha1.MemberNamespace, error) {
	return stored[federationv1alpha1.MemberNamespace](o, federationv1alpha1.SchemeGroupVersion.WithResource("membernamespaces"), "", namespace), nil
}

// Tenant implements targets.Lookups and proxy.CellLookups.
func (o *onlookers) Tenant(namespace string) (tenancy.Tenant, error) {
	labels, err := o.NamespaceLabels(context.Background(), namespace)
	return tenancy.Of(labels), err
}

// NamespaceLabels implements targets.Lookups.
func (o *onlookers) NamespaceLabels(_ context.Context, name string) (map[string]string, error) {
	namespace := stored[corev1.Namespace](o, simulation.Namespaces, "", name)
	if namespace == nil {
		return nil, nil
	}
	return namespace.Labels, nil
}

// StoredCell implements proxy.CellLookups.
func (o *onlookers) StoredCell(_ context.Context, namespace, name string) (*federationv1alpha1.Cell, error) {
	cell := stored[federationv1alpha1.Cell](o, cellResource, namespace, name)
	if cell == nil {
		return nil, apierrors.NewNotFound(cellResource.GroupResource(), name)
	}
	return cell, nil
}

// Unit implements targets.Lookups; edge units there are none.
func (o *onlookers) Unit(_ context.Context, _, namespace, name string) (*strategy.Unit, error) {
	cell := stored[federationv1alpha1.Cell](o, cellResource, namespace, name)
	if cell == nil {
		return nil, nil
	}
	return &strategy.Unit{
		Labels: cell.Labels, Member: cell.Spec.ClusterName, Namespace: ownership.MemberNamespaceOf(cell.Spec.MemberNamespace, namespace, name),
	}, nil
}

// LabelsOf implements targets.Lookups.
func (*onlookers) LabelsOf(context.Context, string, string) (map[string]map[string]string, error) {
	return nil, errors.New("nobody asks for all labels")
}

// federatedConfigMaps are those of the host, as a storage has them.
type federatedConfigMaps struct{ *onlookers }

// Get implements targets.Objects.
func (f federatedConfigMaps) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	object := stored[v1beta2.FederatedObject](f.onlookers, simulation.FederatedConfigMaps, genericapirequest.NamespaceValue(ctx), name)
	if object == nil {
		return nil, apierrors.NewNotFound(simulation.FederatedConfigMaps.GroupResource(), name)
	}
	return object, nil
}

// Watch implements targets.Objects; nobody watches.
func (federatedConfigMaps) Watch(context.Context, *metainternalversion.ListOptions) (watch.Interface, error) {
	return nil, errors.New("nobody watches")
}

var eventResource = corev1.SchemeGroupVersion.WithResource("events")

// eventsTellWhatMayBe holds the Events since the last rest against the law: those of an object speak of
// targets that its namespace may have, and of nothing that is another's there. A target that it may not
// have is told of where somebody names it, as admission does.
func (c *crossing) eventsTellWhatMayBe() {
	c.Helper()
	told := 0
	for _, tree := range c.host.Objects(eventResource) {
		var event corev1.Event
		if err := json.Unmarshal([]byte(asJSON(tree)), &event); err != nil {
			c.Fatal(err)
		}
		about, key := event.InvolvedObject, event.Namespace+"/"+event.Name+" "+event.ResourceVersion
		if c.told[key] || !slices.Contains(crossingNamespaces, about.Namespace) {
			continue
		}
		c.told[key] = true
		told++
		for _, other := range crossingNamespaces {
			if other != about.Namespace && strings.Contains(event.Message, other+"-") {
				c.Fatalf("an Event of %s/%s speaks of what is in namespace %s: %s: %s", about.Namespace, about.Name, other, event.Reason, event.Message)
			}
		}
		if event.Reason == string(v1beta2.TargetNotFound) || event.Reason == string(v1beta2.TargetMasked) {
			continue
		}
		for _, target := range targetsOf(event.Message) {
			if !c.law.allowsTarget(about.Namespace, target) {
				c.Fatalf("an Event of %s/%s tells of target %s, which is another tenant's: %s: %s", about.Namespace, about.Name, target, event.Reason, event.Message)
			}
		}
	}
	c.Logf("%d Events were told, and %d requests shown to onlookers", told, c.law.shown)
}

// targetsOf are the targets that an Event names first.
func targetsOf(message string) (targets []string) {
	first, _, ok := strings.Cut(message, ": ")
	if !ok {
		return nil
	}
	first, _, _ = strings.Cut(first, " and ")
	for _, name := range strings.Split(first, ", ") {
		if !strings.Contains(name, " ") {
			targets = append(targets, name)
		}
	}
	return targets
}

// allowsTarget says whether a namespace may have a target: a member, or a cell of its own wherever that is
// or was.
func (l *law) allowsTarget(namespace, target string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, isMember := l.now.members[target]; isMember {
		return l.allows(namespace, target, namespace)
	}
	inMember := namespace + "-" + strings.TrimSuffix(target, "."+namespace)
	for member := range l.now.cells[inMember] {
		if l.allows(namespace, member, inMember) {
			return true
		}
	}
	return false
}
