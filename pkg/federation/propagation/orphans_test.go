package propagation

import (
	"testing"

	"github.com/koinon-io/koinon/pkg/apis/federation/ownership"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/render"
)

func TestWhichOrphansMayBeReleased(t *testing.T) {
	cell := ownership.UnitOwner(v1beta2.TopologyCell, "shop", "rz00a")
	for name, test := range map[string]struct {
		change func(*orphan)
		want   bool
	}{
		"one whose federated object is gone":                         {func(*orphan) {}, true},
		"one in a cell of its namespace":                             {func(o *orphan) { o.home, o.holder = "shop-rz00a", cell }, true},
		"one in a namespace that nobody holds any more":              {func(o *orphan) { o.held = false }, true},
		"one that has no namespace":                                  {func(o *orphan) { o.home, o.held = "", false }, true},
		"none while it is not known whether there is one":            {func(o *orphan) { o.known = false }, false},
		"none that is gone":                                          {func(o *orphan) { o.live = nil }, false},
		"none in a member that is not well":                          {func(o *orphan) { o.memberWell = false }, false},
		"none in a member of another tenant":                         {func(o *orphan) { o.refusal = "theirs" }, false},
		"none of another federation":                                 {func(o *orphan) { o.live.Annotations[federationv1alpha1.FederationAnnotation] = "f2" }, false},
		"none that names no federation":                              {func(o *orphan) { delete(o.live.Annotations, federationv1alpha1.FederationAnnotation) }, false},
		"none that KubeFed has written":                              {func(o *orphan) { o.live.Annotations = nil }, false},
		"no namespace that was made since something is placed in it": {func(o *orphan) { o.live.Annotations[render.SourceAnnotation] = render.NoSource }, false},
		"none that was released":                                     {func(o *orphan) { o.live.Labels = nil }, false},
		"none in a namespace that is somebody else's by now":         {func(o *orphan) { o.holder = ownership.NamespaceOwner("other") }, false},
		"none in another namespace that nobody holds":                {func(o *orphan) { o.home, o.held = "other", false }, false},
		"none in a cell of another namespace, whatever it is called": {func(o *orphan) { o.holder = ownership.UnitOwner(v1beta2.TopologyCell, "other", "shop") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := orphan{
				live: ourObject(), source: objectKey{"configmaps", "shop", "web"}, known: true, federation: "f1", memberWell: true,
				home: "shop", holder: ownership.NamespaceOwner("shop"), held: true,
			}
			test.change(&o)
			if got := o.mayBeReleased(); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
