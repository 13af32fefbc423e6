package serving

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

func TestANamespaceTakesItsOwnObjectsWithIt(t *testing.T) {
	for name, test := range map[string]struct {
		uid          string
		marked, gone bool
		want         bool
	}{
		"its own, while it goes":                                {uid: "one", want: true},
		"its own, when it is gone":                              {uid: "one", gone: true, want: true},
		"another one's of its name":                             {uid: "two", want: false},
		"another one's, when it is gone":                        {uid: "two", gone: true, want: false},
		"an earlier release's, while it goes":                   {want: true},
		"an earlier release's, when another may have been made": {gone: true, want: false},
		"its own, that is marked already":                       {uid: "one", marked: true, want: false},
	} {
		t.Run(name, func(t *testing.T) {
			object := &typesv1beta2.FederatedObject{}
			if test.uid != "" {
				object.Annotations = map[string]string{federationv1alpha1.NamespaceUIDAnnotation: test.uid}
			}
			if test.marked {
				object.DeletionTimestamp = &metav1.Time{}
			}
			if got := (Departure{Namespace: "shop", UID: "one", Gone: test.gone}).includes(object); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
