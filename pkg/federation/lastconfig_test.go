package federation

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	listersv1beta1 "github.com/koinon-io/koinon/pkg/generated/listers/core/v1beta1"
)

// TestAKubeFedConfigThatIsMadeAnewUnpausesNothingMeanwhile: of a delete and a create the first is seen first.
func TestAKubeFedConfigThatIsMadeAnewUnpausesNothingMeanwhile(t *testing.T) {
	store := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	configs := lastConfig{lister: listersv1beta1.NewKubeFedConfigLister(store).KubeFedConfigs("system")}
	config := func(name string, push v1beta1.Mode) *v1beta1.KubeFedConfig {
		return &v1beta1.KubeFedConfig{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: name}, Spec: v1beta1.KubeFedConfigSpec{
			FeatureGates: []v1beta1.FeatureGatesConfig{{Name: v1beta1.GatePushReconciler, Configuration: push}},
		}}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	expect := func(when string, want bool) {
		t.Helper()
		if got := pushes(configs.current()); got != want {
			t.Errorf("%s: pushes is %v, want %v", when, got, want)
		}
	}
	expect("before there is one, the defaults hold", true)
	paused := config(v1beta1.KubeFedConfigName, v1beta1.Disabled)
	do(store.Add(paused))
	expect("while it is there", false)
	do(store.Delete(paused))
	expect("once it is deleted", false)
	configs.saw(config("other", v1beta1.Enabled))
	expect("one of another name says nothing", false)
	configs.saw(config(v1beta1.KubeFedConfigName, v1beta1.Enabled))
	expect("the last one that was seen counts, also if nobody had asked for it", true)
	do(store.Add(paused))
	expect("once it is made anew", false)
}
