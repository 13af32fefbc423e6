package federatedtypeconfig

import (
	"context"
	"errors"
	"testing"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

func TestWhatIsSaidOfObjectsWhoseTypeIsDeleted(t *testing.T) {
	config, elsewhere, refused := typeConfig("configmaps", "1"), typeConfig("elsewhere", "2"), typeConfig("refused", "3")
	for _, c := range []*v1beta1.FederatedTypeConfig{config, elsewhere, refused} {
		c.Spec.FederatedType = v1beta1.APIResource{PluralName: "federatedconfigmaps", Scope: v1beta1.NamespaceScoped}
		c.Namespace = "system"
	}
	elsewhere.Namespace = "shop"
	const rest = " in the store and in members, where nobody looks after them until a FederatedTypeConfig serves the kind again; " +
		"to remove them, create it again and run kubectl delete federatedconfigmaps --all --all-namespaces before it is deleted, with --cascade=orphan to leave what members have"
	for name, test := range map[string]struct {
		config *v1beta1.FederatedTypeConfig
		count  int64
		err    error
		want   string
	}{
		"how many there are":                         {config, 12, nil, "federatedconfigmaps: 12 objects stay" + rest},
		"that there is one":                          {config, 1, nil, "federatedconfigmaps: 1 object stays" + rest},
		"nothing if there is none":                   {config, 0, nil, ""},
		"nothing by one that is not used":            {elsewhere, 12, nil, ""},
		"nothing by one whose kind another serves":   {refused, 12, nil, ""},
		"that they may be there if nobody can count": {config, 0, errors.New("the store is away"), "federatedconfigmaps: objects that there may be stay in the store and in members; they could not be counted: the store is away"},
	} {
		served := NewServed("system")
		served.SetCounter(func(_ context.Context, resource string) (int64, error) {
			if resource != "federatedconfigmaps" {
				t.Errorf("%s was counted", resource)
			}
			return test.count, test.err
		})
		served.Set([]*v1beta1.FederatedTypeConfig{config}, map[*v1beta1.FederatedTypeConfig]string{refused: "taken"}, nil)
		if got := served.left(t.Context(), test.config); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}
