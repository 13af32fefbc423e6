package cainjector

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/servingcert"
)

var service = types.NamespacedName{Namespace: "system", Name: "webhook"}

// object is an object of a YAML text; its name is also its UID.
func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	out := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &out.Object); err != nil {
		t.Fatal(err)
	}
	out.SetUID(types.UID(out.GetName()))
	out.SetResourceVersion("1")
	return out
}

// crd calls the webhook, and caBundle is part of its clientConfig.
func crd(t *testing.T, name, caBundle string) *unstructured.Unstructured {
	return object(t, `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: `+name+`},
spec: {conversion: {strategy: Webhook, webhook: {clientConfig: {`+caBundle+`service: {namespace: system, name: webhook, path: /convert}}}}}}`)
}

func TestOnlyPlacesThatNameTheServiceAreWritten(t *testing.T) {
	bundle := base64.StdEncoding.EncodeToString([]byte("new"))
	inject := func(path string) []operation {
		return []operation{{"test", path + "/service/namespace", "system"}, {"test", path + "/service/name", "webhook"}, {"add", path + "/caBundle", bundle}}
	}
	for name, test := range map[string]struct {
		object string
		want   []operation
	}{
		"a CRD without an authority": {
			`spec: {conversion: {webhook: {clientConfig: {service: {namespace: system, name: webhook}}}}}`, inject("/spec/conversion/webhook/clientConfig")},
		"a CRD with another authority": {
			`spec: {conversion: {webhook: {clientConfig: {caBundle: b2xk, service: {namespace: system, name: webhook}}}}}`, inject("/spec/conversion/webhook/clientConfig")},
		"a CRD that is right": {
			`spec: {conversion: {webhook: {clientConfig: {caBundle: ` + bundle + `, service: {namespace: system, name: webhook}}}}}`, nil},
		"a CRD that calls another Service": {
			`spec: {conversion: {webhook: {clientConfig: {service: {namespace: system, name: other}}}}}`, nil},
		"a CRD that calls that Service of another namespace": {
			`spec: {conversion: {webhook: {clientConfig: {service: {namespace: other, name: webhook}}}}}`, nil},
		"a CRD that calls a URL":     {`spec: {conversion: {webhook: {clientConfig: {url: "https://x"}}}}`, nil},
		"a CRD without a conversion": {`spec: {conversion: {strategy: None}}`, nil},
		"the second of two webhooks": {
			`webhooks: [{clientConfig: {url: "https://x"}}, {clientConfig: {service: {namespace: system, name: webhook}}}]`, inject("/webhooks/1/clientConfig")},
	} {
		t.Run(name, func(t *testing.T) {
			patch, err := patchFor(object(t, test.object), service, []byte("new"))
			if err != nil {
				t.Fatal(err)
			}
			var got []operation
			if err := yaml.Unmarshal(patch, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("patch (-want +got):\n%s", diff)
			}
		})
	}
}

// cluster holds objects as an API server does, for all clients alike.
type cluster struct {
	*testing.T
	dynamic  *dynamicfake.FakeDynamicClient
	metadata *metadatafake.FakeMetadataClient
	replica  *servingcert.Keeper // of the same Secret as the injector's
	injector *Injector
}

func newCluster(t *testing.T) *cluster {
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c := &cluster{T: t, metadata: metadatafake.NewSimpleMetadataClient(scheme),
		dynamic: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
			customResourceDefinitions: "CustomResourceDefinitionList",
			mutatingConfigurations:    "MutatingWebhookConfigurationList",
			validatingConfigurations:  "ValidatingWebhookConfigurationList",
		})}
	config := servingcert.Config{
		Client: fake.NewClientset(), Namespace: service.Namespace, SecretName: "ca", Hosts: servingcert.ServiceHosts(service.Namespace, service.Name),
	}
	certificate, err := servingcert.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if c.replica, err = servingcert.New(config); err != nil {
		t.Fatal(err)
	}
	c.injector, err = New(Config{Dynamic: c.dynamic, Metadata: c.metadata, Service: service, Group: "types.example.io", Certificate: certificate})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// write adds a CRD, or puts it in the place of what is there.
func (c *cluster) write(object *unstructured.Unstructured) {
	c.Helper()
	meta := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: object.GetAPIVersion(), Kind: object.GetKind()}, ObjectMeta: metav1.ObjectMeta{
		Name: object.GetName(), UID: object.GetUID(), ResourceVersion: object.GetResourceVersion()}}
	gvr := customResourceDefinitions
	err := errors.Join(c.dynamic.Tracker().Create(gvr, object, ""), c.metadata.Tracker().Create(gvr, meta, ""))
	if apierrors.IsAlreadyExists(err) {
		err = errors.Join(c.dynamic.Tracker().Update(gvr, object, ""), c.metadata.Tracker().Update(gvr, meta, ""))
	}
	if err != nil {
		c.Fatalf("%s was not written: %v", object.GetName(), err)
	}
}

// start runs the injector until the test ends.
func (c *cluster) start() {
	ctx, cancel := context.WithCancel(c.Context())
	ended, first := make(chan struct{}), make(chan struct{})
	go func() { // ends with ctx
		defer close(ended)
		c.injector.Run(ctx, func() { close(first) })
	}()
	c.Cleanup(func() { cancel(); <-ended })
	<-first
}

// injected waits until a CRD has the bundle that there is now.
func (c *cluster) injected(name string) {
	c.Helper()
	want, err := c.replica.Ensure(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	for {
		object, err := c.dynamic.Resource(customResourceDefinitions).Get(c.Context(), name, metav1.GetOptions{})
		if err != nil {
			c.Fatal(err)
		}
		if places(object)[0].caBundle == base64.StdEncoding.EncodeToString(want) {
			return
		}
		select {
		case <-c.Context().Done():
			c.Fatalf("%s was not injected", name)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestWhatComesLaterOrIsOverwrittenIsInjected(t *testing.T) {
	c := newCluster(t)
	c.write(crd(t, "a.types.example.io", ""))
	c.start()
	c.injected("a.types.example.io")

	c.write(crd(t, "later.types.example.io", ""))
	c.injected("later.types.example.io")

	overwritten := crd(t, "a.types.example.io", "caBundle: b3RoZXI=, ")
	overwritten.SetResourceVersion("2")
	c.write(overwritten)
	c.injected("a.types.example.io")
}

func TestOneThatIsForbiddenHoldsUpNoOther(t *testing.T) {
	c := newCluster(t)
	c.dynamic.PrependReactor("patch", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.(clienttesting.PatchAction).GetName() == "a.types.example.io" {
			return true, nil, errors.New("forbidden")
		}
		return false, nil, nil
	})
	c.write(crd(t, "a.types.example.io", ""))
	c.write(crd(t, "b.types.example.io", ""))
	c.injector.informers.Start(t.Context().Done())
	err := c.injector.Sync(t.Context())
	if err == nil || !strings.Contains(err.Error(), `customresourcedefinitions "a.types.example.io"`) {
		t.Errorf("got %v, want an error that names the CRD", err)
	}
	c.injected("b.types.example.io")
}

func TestOthersAreNotEvenRead(t *testing.T) {
	c := newCluster(t)
	c.write(crd(t, "a.others.example.io", ""))
	c.write(crd(t, "a.types.example.io", ""))
	c.injector.informers.Start(t.Context().Done())
	for range 3 {
		if err := c.injector.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, action := range c.dynamic.Actions() {
		if get, ok := action.(clienttesting.GetAction); ok && get.GetName() != "a.types.example.io" {
			t.Errorf("%s was read", get.GetName())
		}
	}
	object, err := c.dynamic.Resource(customResourceDefinitions).Get(t.Context(), "a.others.example.io", metav1.GetOptions{})
	if err != nil || places(object)[0].caBundle != "" {
		t.Errorf("another group's CRD was written: %v, %v", object, err)
	}
}
