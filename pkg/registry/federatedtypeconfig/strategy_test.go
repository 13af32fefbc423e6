package federatedtypeconfig

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

func stored() *v1beta1.FederatedTypeConfig {
	config := &v1beta1.FederatedTypeConfig{
		ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: "deployments.apps", Generation: 3},
		Spec: v1beta1.FederatedTypeConfigSpec{
			TargetType: v1beta1.APIResource{Version: "v1", Kind: "Deployment", Scope: v1beta1.NamespaceScoped},
		},
		Status: v1beta1.FederatedTypeConfigStatus{
			ObservedGeneration: 3,
			Conditions:         []metav1.Condition{{Type: "Audited", Status: metav1.ConditionTrue}},
		},
	}
	v1beta1.SetDefaults_FederatedTypeConfig(config)
	return config
}

func TestWrites(t *testing.T) {
	object := newStrategy(runtime.NewScheme(), "system")
	create := func(c, _ *v1beta1.FederatedTypeConfig) { object.PrepareForCreate(t.Context(), c) }
	status := func(c, old *v1beta1.FederatedTypeConfig) {
		newStatusStrategy(object, runtime.NewScheme()).PrepareForUpdate(t.Context(), c, old)
	}
	for name, test := range map[string]struct {
		prepare      func(c, old *v1beta1.FederatedTypeConfig)
		change, want func(*v1beta1.FederatedTypeConfig)
	}{
		"a new one has its defaults and no status": {
			prepare: create,
			change: func(c *v1beta1.FederatedTypeConfig) {
				c.Spec.FederatedType, c.Spec.TargetType.PluralName = v1beta1.APIResource{}, ""
			},
			want: func(c *v1beta1.FederatedTypeConfig) {
				c.Status, c.Generation = v1beta1.FederatedTypeConfigStatus{}, 1
			}},
		"a status that is sent back as it was read": {
			prepare: status,
			change: func(c *v1beta1.FederatedTypeConfig) {
				c.Status.Conditions = append(c.Status.Conditions, metav1.Condition{Type: v1beta1.TypeServed, Status: metav1.ConditionTrue})
			},
			want: func(*v1beta1.FederatedTypeConfig) {}},
	} {
		t.Run(name, func(t *testing.T) {
			got, want := stored(), stored()
			test.change(got)
			test.want(want)
			test.prepare(got, stored())
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("object (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOutsideOfTheSystemNamespaceThereIsAWarning(t *testing.T) {
	strategy := newStrategy(runtime.NewScheme(), "system")
	config := stored()
	if got := strategy.WarningsOnCreate(t.Context(), config); got != nil {
		t.Errorf("got %q, want no warning", got)
	}
	config.Namespace = "shop"
	want := []string{`metadata.namespace: a FederatedTypeConfig outside of namespace "system" is kept and not used`}
	if diff := cmp.Diff(want, strategy.WarningsOnCreate(t.Context(), config)); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}
