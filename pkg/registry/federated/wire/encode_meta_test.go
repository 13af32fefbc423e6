package wire

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/koinon-io/koinon/pkg/registry/federated"
)

func TestMetadataIsWrittenAsTheLibraryWritesIt(t *testing.T) {
	at := metav1.NewTime(time.Date(2026, 2, 3, 4, 5, 6, 7, time.FixedZone("far", 3600)))
	entry := func(raw string) metav1.ManagedFieldsEntry {
		fields := &metav1.FieldsV1{}
		fields.SetRawBytes([]byte(raw))
		return metav1.ManagedFieldsEntry{Manager: "kubectl", Operation: metav1.ManagedFieldsOperationApply, APIVersion: federated.V1beta1.String(),
			Time: &at, FieldsType: "FieldsV1", FieldsV1: fields, Subresource: "status"}
	}
	tests := map[string]metav1.ObjectMeta{
		"nothing": {},
		"all of it": {
			Name: "web", GenerateName: "w-", Namespace: "shop", SelfLink: "/x", UID: "42-a", ResourceVersion: "7", Generation: 3,
			CreationTimestamp: at, DeletionTimestamp: &at, DeletionGracePeriodSeconds: ptr.To[int64](0),
			Labels: map[string]string{"b": "2", "a": "1", "c": ""}, Annotations: map[string]string{"x/y": "z"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Secret", Name: "s", UID: "u", Controller: ptr.To(true)}},
			Finalizers:      []string{"kubefed.io/sync-controller"},
			ManagedFields:   []metav1.ManagedFieldsEntry{entry(`{"f:spec":{"k:{\"name\":\"a\"}":{".":{}}}}`), {}},
		},
		"characters that JSON has to escape": {
			Name:        "a\"b\\c\nd\x00e\x7f",
			Annotations: map[string]string{"<k>": "& é \u2028 \xff", "kubectl": "{\"a\":\"b\"}\n"},
			Labels:      map[string]string{"\"": "\t"},
		},
		"more labels than usual": {Labels: map[string]string{
			"i": "9", "h": "8", "g": "7", "f": "6", "e": "5", "d": "4", "c": "3", "b": "2", "a": "1", "j": "10"}},
		"empty maps and lists": {Labels: map[string]string{}, Annotations: map[string]string{}, Finalizers: []string{},
			OwnerReferences: []metav1.OwnerReference{}, ManagedFields: []metav1.ManagedFieldsEntry{}},
		"empty fields, and a zero time": {ManagedFields: []metav1.ManagedFieldsEntry{{Time: &metav1.Time{}, FieldsV1: &metav1.FieldsV1{}}},
			DeletionTimestamp: &metav1.Time{}},
		"fields in CBOR": {ManagedFields: []metav1.ManagedFieldsEntry{entry("\xa1\x46f:spec\xa0")}},
	}
	for name, meta := range tests {
		t.Run(name, func(t *testing.T) {
			o := newDeployment()
			o.ObjectMeta = meta
			sameAsLibrary(t, o)
		})
	}
}
