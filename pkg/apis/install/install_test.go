package install_test

import (
	"math/rand"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/apitesting/roundtrip"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/randfill"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/install"
	corev1alpha1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1alpha1"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := install.Install(scheme); err != nil {
		t.Fatal(err)
	}
	return scheme
}

// fuzzerFuncs make objects as the server holds them: with their defaults.
func fuzzerFuncs(serializer.CodecFactory) []any {
	return []any{
		func(v *rawjson.Value, c randfill.Continue) {
			*v = rawjson.Value(`{"loadBalancer":{},"n":` + strconv.Itoa(c.Intn(1000)) + `}`)
		},
		func(config *corev1beta1.KubeFedConfig, c randfill.Continue) {
			c.FillNoCustom(config)
			corev1beta1.SetDefaults_KubeFedConfig(config)
		},
		func(config *corev1beta1.FederatedTypeConfig, c randfill.Continue) {
			c.FillNoCustom(config)
			corev1beta1.SetDefaults_FederatedTypeConfig(config)
		},
	}
}

func TestEveryStaticKindSurvivesEncodingAndDecoding(t *testing.T) {
	scheme := newScheme(t)
	codecs := serializer.NewCodecFactory(scheme)
	seed := rand.Int63()
	t.Logf("seed %d", seed)
	filler := fuzzer.FuzzerFor(fuzzer.MergeFuzzerFuncs(metafuzzer.Funcs, fuzzerFuncs), rand.NewSource(seed), codecs)
	skip := map[schema.GroupVersionKind]bool{}
	for _, kind := range immutable {
		skip[kind] = true
		skip[kind.GroupKind().WithVersion(runtime.APIVersionInternal)] = true
	}
	roundtrip.RoundTripTypesWithoutProtobuf(t, scheme, codecs, filler, skip)
	roundtrip.RoundTripExternalTypesWithoutProtobuf(t, scheme, codecs, filler, skip)
}

// immutable kinds hold raw JSON, whose bytes copies share. The round-trip helpers
// overwrite the bytes of a copy and look at the original, so these have a test of
// their own.
var immutable = []schema.GroupVersionKind{
	corev1alpha1.SchemeGroupVersion.WithKind("FederatedServiceStatus"),
	corev1alpha1.SchemeGroupVersion.WithKind("FederatedServiceStatusList"),
	federationv1alpha1.SchemeGroupVersion.WithKind("TargetObject"),
	federationv1alpha1.SchemeGroupVersion.WithKind("TargetObjectList"),
}

func TestKindsWithRawJSONSurviveEncodingAndDecoding(t *testing.T) {
	scheme := newScheme(t)
	codecs := serializer.NewCodecFactory(scheme)
	seed := rand.Int63()
	t.Logf("seed %d", seed)
	filler := fuzzer.FuzzerFor(fuzzer.MergeFuzzerFuncs(metafuzzer.Funcs, fuzzerFuncs), rand.NewSource(seed), codecs)
	for range *roundtrip.FuzzIters {
		for _, kind := range immutable {
			codec := codecs.LegacyCodec(kind.GroupVersion())
			object, err := scheme.New(kind)
			if err != nil {
				t.Fatal(err)
			}
			filler.Fill(object)
			object.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
			data, err := runtime.Encode(codec, object)
			if err != nil {
				t.Fatal(err)
			}
			decoded, err := runtime.Decode(codec, data)
			if err != nil {
				t.Fatal(err)
			}
			if !apiequality.Semantic.DeepEqual(object, decoded) {
				t.Fatalf("%s after encoding and decoding (-want +got):\n%s", kind, cmp.Diff(object, decoded))
			}
		}
	}
}

func TestEveryKindIsKnownInItsInternalVersionByTheSameType(t *testing.T) {
	scheme := newScheme(t)
	for _, gv := range install.GroupVersions() {
		internal := scheme.KnownTypes(schema.GroupVersion{Group: gv.Group, Version: runtime.APIVersionInternal})
		for kind, goType := range scheme.KnownTypes(gv) {
			if goType.PkgPath() == "k8s.io/apimachinery/pkg/apis/meta/v1" {
				continue
			}
			if internal[kind] != goType {
				t.Errorf("%s %s: the internal version has %v, want %v", gv, kind, internal[kind], goType)
			}
		}
	}
}

// Admission plugins that match the external version give the scheme the object to fill, and
// their changes come back in the same way.
func TestEveryKindIsCopiedIntoAnObjectThatIsThere(t *testing.T) {
	scheme := newScheme(t)
	for _, gv := range install.GroupVersions() {
		for kind := range scheme.KnownTypes(schema.GroupVersion{Group: gv.Group, Version: runtime.APIVersionInternal}) {
			in, err := scheme.New(gv.WithKind(kind))
			if err != nil {
				continue // of another version of the group
			}
			out, err := scheme.New(gv.WithKind(kind))
			if err != nil {
				t.Fatal(err)
			}
			in.GetObjectKind().SetGroupVersionKind(gv.WithKind("Marked"))
			if err := scheme.Convert(in, out, nil); err != nil {
				t.Errorf("%s: %v", gv.WithKind(kind), err)
				continue
			}
			if diff := cmp.Diff(in, out); diff != "" {
				t.Errorf("%s (-in +out):\n%s", gv.WithKind(kind), diff)
			}
		}
	}
}

func TestPreferredVersionsComeFirst(t *testing.T) {
	scheme := newScheme(t)
	got := scheme.PrioritizedVersionsForGroup("core.kubefed.io")
	want := []schema.GroupVersion{
		{Group: "core.kubefed.io", Version: "v1beta1"},
		{Group: "core.kubefed.io", Version: "v1alpha1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order of versions (-want +got):\n%s", diff)
	}
	for _, gv := range want {
		if !slices.Contains(install.GroupVersions(), gv) {
			t.Errorf("GroupVersions lacks %s", gv)
		}
	}
}

func TestFederatedKindsAreNotInstalled(t *testing.T) {
	if newScheme(t).IsGroupRegistered(corev1beta1.FederatedGroup) {
		t.Errorf("the scheme knows %s; federated kinds are served at run time", corev1beta1.FederatedGroup)
	}
}
