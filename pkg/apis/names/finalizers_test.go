package names_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/names"
)

func TestFinalizersWithoutADomainAreWarnedAbout(t *testing.T) {
	const prefer = "prefer a domain-qualified finalizer name, such as example.com/nofqdn, to avoid accidental conflicts with other finalizer writers"
	for name, test := range map[string]struct{ finalizers, old, want []string }{
		"with a domain":           {finalizers: []string{"example.com/x"}},
		"Kubernetes' own":         {finalizers: []string{"orphan", "foregroundDeletion", "kubernetes"}},
		"without a domain":        {finalizers: []string{"example.com/x", "nofqdn"}, want: []string{`metadata.finalizers[1]: "nofqdn": ` + prefer}},
		"one that was there":      {finalizers: []string{"nofqdn"}, old: []string{"nofqdn"}},
		"one beside one that was": {finalizers: []string{"a/b", "nofqdn"}, old: []string{"a/b"}, want: []string{`metadata.finalizers[1]: "nofqdn": ` + prefer}},
		"one that is taken off":   {old: []string{"nofqdn"}},
	} {
		object, old := &metav1.ObjectMeta{Finalizers: test.finalizers}, metav1.Object(nil)
		if test.old != nil {
			old = &metav1.ObjectMeta{Finalizers: test.old}
		}
		if diff := cmp.Diff(test.want, names.FinalizerWarnings(object, old)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
