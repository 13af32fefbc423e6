package v1beta1_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// completeConfig is what KubeFed's controller manager asks for.
func completeConfig() v1beta1.KubeFedConfigSpec {
	return v1beta1.KubeFedConfigSpec{
		Scope: v1beta1.ClusterScoped,
		ControllerDuration: &v1beta1.DurationConfig{
			AvailableDelay:   &metav1.Duration{Duration: 20 * time.Second},
			UnavailableDelay: &metav1.Duration{Duration: 60 * time.Second},
			CacheSyncTimeout: &metav1.Duration{Duration: 5 * time.Minute},
		},
		LeaderElect: &v1beta1.LeaderElectConfig{
			LeaseDuration: &metav1.Duration{Duration: 15 * time.Second},
			RenewDeadline: &metav1.Duration{Duration: 10 * time.Second},
			RetryPeriod:   &metav1.Duration{Duration: 5 * time.Second},
			ResourceLock:  new(v1beta1.ConfigMapsResourceLock),
		},
		FeatureGates: []v1beta1.FeatureGatesConfig{
			{Name: "PushReconciler", Configuration: v1beta1.Enabled},
			{Name: "SchedulerPreferences", Configuration: v1beta1.Enabled},
			{Name: "RawResourceStatusCollection", Configuration: v1beta1.Disabled},
		},
		ClusterHealthCheck: &v1beta1.ClusterHealthCheckConfig{
			Period:           &metav1.Duration{Duration: 10 * time.Second},
			FailureThreshold: new(int64(3)),
			SuccessThreshold: new(int64(1)),
			Timeout:          &metav1.Duration{Duration: 3 * time.Second},
		},
		SyncController: &v1beta1.SyncControllerConfig{
			MaxConcurrentReconciles: new(int64(1)),
			AdoptResources:          new(v1beta1.Enabled),
		},
		StatusController: &v1beta1.StatusControllerConfig{MaxConcurrentReconciles: new(int64(1))},
	}
}

func TestKubeFedConfigDefaults(t *testing.T) {
	partly := completeConfig()
	partly.Scope = v1beta1.NamespaceScoped
	partly.ControllerDuration.AvailableDelay.Duration = time.Second
	partly.SyncController.AdoptResources = new(v1beta1.Disabled)
	partly.FeatureGates = []v1beta1.FeatureGatesConfig{
		{Name: "RawResourceStatusCollection", Configuration: v1beta1.Enabled},
		{Name: "PushReconciler", Configuration: v1beta1.Enabled},
		{Name: "SchedulerPreferences", Configuration: v1beta1.Enabled},
	}
	for name, test := range map[string]struct{ in, want v1beta1.KubeFedConfigSpec }{
		"an empty spec becomes complete": {want: completeConfig()},
		"a complete spec stays as it is": {in: completeConfig(), want: completeConfig()},
		"what is set is kept, in its place": {
			in: v1beta1.KubeFedConfigSpec{
				Scope:              v1beta1.NamespaceScoped,
				ControllerDuration: &v1beta1.DurationConfig{AvailableDelay: &metav1.Duration{Duration: time.Second}},
				FeatureGates:       []v1beta1.FeatureGatesConfig{{Name: "RawResourceStatusCollection", Configuration: v1beta1.Enabled}},
				SyncController:     &v1beta1.SyncControllerConfig{AdoptResources: new(v1beta1.Disabled)},
			},
			want: partly,
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := &v1beta1.KubeFedConfig{Spec: test.in}
			v1beta1.SetDefaults_KubeFedConfig(config)
			if diff := cmp.Diff(test.want, config.Spec); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFederatedTypeConfigDefaults(t *testing.T) {
	for name, test := range map[string]struct {
		object   string
		in, want v1beta1.FederatedTypeConfigSpec
	}{
		"the target is enough": {
			object: "deployments.apps",
			in: v1beta1.FederatedTypeConfigSpec{
				TargetType: v1beta1.APIResource{Version: "v1", Kind: "Deployment", Scope: v1beta1.NamespaceScoped},
			},
			want: v1beta1.FederatedTypeConfigSpec{
				TargetType:    v1beta1.APIResource{Group: "apps", Version: "v1", Kind: "Deployment", PluralName: "deployments", Scope: v1beta1.NamespaceScoped},
				FederatedType: v1beta1.APIResource{Group: "types.kubefed.io", Version: "v1beta1", Kind: "FederatedDeployment", PluralName: "federateddeployments", Scope: v1beta1.NamespaceScoped},
				Propagation:   v1beta1.Enabled,
			},
		},
		"a group with dots is the rest of the name": {
			object: "ingresses.networking.k8s.io",
			in: v1beta1.FederatedTypeConfigSpec{
				TargetType: v1beta1.APIResource{Version: "v1", Kind: "Ingress", Scope: v1beta1.NamespaceScoped},
			},
			want: v1beta1.FederatedTypeConfigSpec{
				TargetType:    v1beta1.APIResource{Group: "networking.k8s.io", Version: "v1", Kind: "Ingress", PluralName: "ingresses", Scope: v1beta1.NamespaceScoped},
				FederatedType: v1beta1.APIResource{Group: "types.kubefed.io", Version: "v1beta1", Kind: "FederatedIngress", PluralName: "federatedingresses", Scope: v1beta1.NamespaceScoped},
				Propagation:   v1beta1.Enabled,
			},
		},
		"a FederatedNamespace is namespaced": {
			object: "namespaces",
			in: v1beta1.FederatedTypeConfigSpec{
				TargetType: v1beta1.APIResource{Version: "v1", Kind: "Namespace", Scope: v1beta1.ClusterScoped},
			},
			want: v1beta1.FederatedTypeConfigSpec{
				TargetType:    v1beta1.APIResource{Version: "v1", Kind: "Namespace", PluralName: "namespaces", Scope: v1beta1.ClusterScoped},
				FederatedType: v1beta1.APIResource{Group: "types.kubefed.io", Version: "v1beta1", Kind: "FederatedNamespace", PluralName: "federatednamespaces", Scope: v1beta1.NamespaceScoped},
				Propagation:   v1beta1.Enabled,
			},
		},
		"a federated type that is written names its group itself": {
			object: "widgets.example.com",
			in: v1beta1.FederatedTypeConfigSpec{
				TargetType:    v1beta1.APIResource{Version: "v1", Kind: "Widget", Scope: v1beta1.NamespaceScoped},
				FederatedType: v1beta1.APIResource{Kind: "FederatedWidget"},
			},
			want: v1beta1.FederatedTypeConfigSpec{
				TargetType:    v1beta1.APIResource{Group: "example.com", Version: "v1", Kind: "Widget", PluralName: "widgets", Scope: v1beta1.NamespaceScoped},
				FederatedType: v1beta1.APIResource{Version: "v1beta1", Kind: "FederatedWidget", PluralName: "federatedwidgets", Scope: v1beta1.NamespaceScoped},
				Propagation:   v1beta1.Enabled,
			},
		},
		"what is set is kept": {
			object: "widgets.example.com",
			in: v1beta1.FederatedTypeConfigSpec{
				TargetType:       v1beta1.APIResource{Group: "example.com", Version: "v2", Kind: "Widget", PluralName: "widgets", Scope: v1beta1.ClusterScoped},
				FederatedType:    v1beta1.APIResource{Group: "types.kubefed.io", Version: "v1beta2", Kind: "SpreadWidget", PluralName: "spreadwidgets", Scope: v1beta1.ClusterScoped},
				StatusType:       &v1beta1.APIResource{Kind: "WidgetStatus", PluralName: "widgetstatuses", Scope: v1beta1.ClusterScoped},
				Propagation:      v1beta1.Disabled,
				StatusCollection: new(v1beta1.Disabled),
			},
			want: v1beta1.FederatedTypeConfigSpec{
				TargetType:       v1beta1.APIResource{Group: "example.com", Version: "v2", Kind: "Widget", PluralName: "widgets", Scope: v1beta1.ClusterScoped},
				FederatedType:    v1beta1.APIResource{Group: "types.kubefed.io", Version: "v1beta2", Kind: "SpreadWidget", PluralName: "spreadwidgets", Scope: v1beta1.ClusterScoped},
				StatusType:       &v1beta1.APIResource{Group: "types.kubefed.io", Version: "v1beta2", Kind: "WidgetStatus", PluralName: "widgetstatuses", Scope: v1beta1.ClusterScoped},
				Propagation:      v1beta1.Disabled,
				StatusCollection: new(v1beta1.Disabled),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := &v1beta1.FederatedTypeConfig{ObjectMeta: metav1.ObjectMeta{Name: test.object}, Spec: test.in}
			v1beta1.SetDefaults_FederatedTypeConfig(config)
			if diff := cmp.Diff(test.want, config.Spec); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
		})
	}
}

func TestATypeThatEndsRunsAgainOnChangeByDefault(t *testing.T) {
	config := &v1beta1.FederatedTypeConfig{}
	config.Spec.RunToCompletion = &v1beta1.RunToCompletion{Ended: "true"}
	v1beta1.SetDefaults_FederatedTypeConfig(config)
	if got := config.Spec.RunToCompletion.Rerun; got != v1beta1.RerunOnChange {
		t.Errorf("got %q, want %q", got, v1beta1.RerunOnChange)
	}
	config.Spec.RunToCompletion.Rerun = v1beta1.RerunNever
	v1beta1.SetDefaults_FederatedTypeConfig(config)
	if got := config.Spec.RunToCompletion.Rerun; got != v1beta1.RerunNever {
		t.Errorf("got %q, want what was set", got)
	}
}
