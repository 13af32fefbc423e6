package propagationrecord

import (
	"crypto/md5" //nolint:gosec // KubeFed's hash
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1alpha1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

var configMaps = federated.Kind{
	Kind: "FederatedConfigMap", Resource: "federatedconfigmaps", Namespaced: true,
	Target: schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}, TargetNamespaced: true, TargetResource: "configmaps",
}

// settings is a FederatedConfigMap in two cells.
func settings() *typesv1beta2.FederatedObject {
	o := &typesv1beta2.FederatedObject{
		TypeMeta:   metav1.TypeMeta{Kind: "FederatedConfigMap", APIVersion: federated.V1beta2.String()},
		ObjectMeta: metav1.ObjectMeta{Name: "cm", Namespace: "shop", UID: "u1", ResourceVersion: "9"},
	}
	o.Spec.TopologyType = typesv1beta2.TopologyCell
	o.Spec.Template = rawjson.Value(`{"data": {"b": "<1>", "a": "2"}}`)
	o.Spec.Overrides = []typesv1beta2.Override{{TopologyName: "rz01a", TopologyOverrides: []typesv1beta2.OverridePatch{{Path: "/data/a", Value: rawjson.Value(`3`)}}}}
	o.Status = &typesv1beta2.FederatedObjectStatus{Targets: []typesv1beta2.TargetStatus{
		{Name: "rz01a", Version: "rv:5"},
		{Name: "rz00a", Version: "rv:4"},
		{Name: "rz02a", Version: "rv:3", State: typesv1beta2.TargetMasked},
		{Name: "rz03a", State: typesv1beta2.TargetPending},
	}}
	return o
}

// sum is the hash of bytes as KubeFed sees them: what json.Encoder writes of a map, which sorts keys,
// escapes for HTML, and ends with a newline.
func sum(text string) string {
	s := md5.Sum([]byte(text + "\n")) //nolint:gosec // see above
	return hex.EncodeToString(s[:])
}

func TestARecordIsWhatKubeFedWouldHaveWritten(t *testing.T) {
	got, err := newHashes().statusOf(configMaps, settings())
	if err != nil {
		t.Fatal(err)
	}
	want := v1alpha1.PropagatedVersionStatus{
		TemplateVersion: sum(`{"data":{"a":"2","b":"\u003c1\u003e"}}`),
		OverrideVersion: sum(`{"overrides":[{"clusterName":"rz01a.shop","clusterOverrides":[{"path":"/data/a","value":3}]}]}`),
		ClusterVersions: []v1alpha1.ClusterObjectVersion{{ClusterName: "rz00a.shop", Version: "rv:4"}, {ClusterName: "rz01a.shop", Version: "rv:5"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestVersionsOfWhatIsNotThere(t *testing.T) {
	o := settings()
	o.Spec.Template, o.Spec.Overrides = nil, nil
	got, err := newHashes().statusOf(configMaps, o)
	if err != nil {
		t.Fatal(err)
	}
	if got.TemplateVersion != "" || got.OverrideVersion != sum(`{"overrides":null}`) {
		t.Errorf("got %+v", got)
	}
}

func TestAVersionDoesNotDependOnHowTheTemplateIsWritten(t *testing.T) {
	a, b := settings(), settings()
	b.Spec.Template = rawjson.Value(`{"data":{"a":"2","b":"\u003c1>"}}`)
	first, _ := templateVersion(a)
	if second, _ := templateVersion(b); first != second {
		t.Errorf("got %s and %s", first, second)
	}
	b.Spec.Template = rawjson.Value(`{"data":{"a":"2","b":"x"}}`)
	if second, _ := templateVersion(b); first == second {
		t.Error("another template has the same version")
	}
}

func TestTheMetadataOfARecord(t *testing.T) {
	got := metadataOf("configmap-cm", settings())
	if diff := cmp.Diff([]metav1.OwnerReference{{APIVersion: "types.kubefed.io/v1beta1", Kind: "FederatedConfigMap", Name: "cm", UID: "u1"}}, got.OwnerReferences); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
	if got.Namespace != "shop" || len(got.UID) != 36 || got.UID == metadataOf("x", &typesv1beta2.FederatedObject{}).UID {
		t.Errorf("got %+v", got)
	}
}

func TestAnObjectHasARecordOnceItWasPropagated(t *testing.T) {
	o := settings()
	if !propagated(o) {
		t.Error("it has none")
	}
	o.Status.Targets = o.Status.Targets[3:]
	if propagated(o) {
		t.Error("nothing was written, and it has one")
	}
	if name, ok := nameOf(configMaps, "cm"); name != "configmap-cm" || !ok {
		t.Errorf("it is called %q", name)
	}
	if _, ok := nameOf(configMaps, strings.Repeat("x", 250)); ok {
		t.Error("a name of 260 characters is one")
	}
}

// Who may list records need not be able to read Secrets.
func TestARecordOfASecretHasNoHashOfIt(t *testing.T) {
	secrets := configMaps
	secrets.Target.Kind = "Secret"
	got, err := newHashes().statusOf(secrets, settings())
	if err != nil {
		t.Fatal(err)
	}
	if got.TemplateVersion != "" || got.OverrideVersion != "" || len(got.ClusterVersions) != 2 {
		t.Errorf("got %+v", got)
	}
}

// A record of a spec is not one of the next.
func TestWhatIsRememberedIsOfThatSpec(t *testing.T) {
	hashes, o := newHashes(), settings()
	first, err := hashes.statusOf(configMaps, o)
	if err != nil {
		t.Fatal(err)
	}
	o.Spec.Template, o.Generation = rawjson.Value(`{"data":{}}`), 2
	second, err := hashes.statusOf(configMaps, o)
	if err != nil || second.TemplateVersion != sum(`{"data":{}}`) || first.TemplateVersion == second.TemplateVersion {
		t.Errorf("got %+v and then %+v, %v", first, second, err)
	}
}
