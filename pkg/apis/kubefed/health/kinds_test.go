package health

import (
	"reflect"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

// notStored are the kinds of requests, and of what no client creates.
var notStored = map[string]bool{"Binding": true, "ComponentStatus": true, "Eviction": true, "RangeAllocation": true}

// What has no status needs no more than its metadata; of what has one, a member's word must not be
// missed.
func TestKindsWithoutAStatusAreKnown(t *testing.T) {
	seen := map[string]bool{}
	for gvk, typ := range scheme.Scheme.AllKnownTypes() {
		if _, isObject := reflect.New(typ).Interface().(metav1.Object); !isObject || gvk.Version == "__internal" || strings.HasSuffix(gvk.Kind, "List") {
			continue
		}
		_, has := typ.FieldByName("Status")
		if has && !HasStatus(gvk.GroupKind()) {
			t.Errorf("%s has a status", gvk)
		}
		if !has && gvk.Version == "v1" && HasStatus(gvk.GroupKind()) && !notStored[gvk.Kind] && !strings.HasSuffix(gvk.Kind, "Review") {
			t.Errorf("%s has no status, and would be watched as a whole", gvk)
		}
		seen[gvk.Group+"/"+gvk.Kind] = true
	}
	for group, kinds := range withoutStatus {
		for kind := range kinds {
			if !seen[group+"/"+kind] {
				t.Errorf("there is no kind %s in group %q", kind, group)
			}
		}
	}
}
