package static_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"

	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/mistakes"
)

// bodyBytes is just under what an API server reads of a request.
const bodyBytes = 3_000_000

// list is a list or map somewhere in a kind, which fill makes of a given length.
type list struct {
	path string
	fill func(object reflect.Value, entries int)
}

// listsOf finds every list and map of a type, by reflection: those that are new, too.
func listsOf(typ reflect.Type, path string, at func(reflect.Value) reflect.Value) []list {
	switch typ.Kind() {
	case reflect.Pointer:
		return listsOf(typ.Elem(), path, func(object reflect.Value) reflect.Value {
			pointer := at(object)
			if pointer.IsNil() {
				pointer.Set(reflect.New(typ.Elem()))
			}
			return pointer.Elem()
		})
	case reflect.Struct:
		var out []list
		for i := range typ.NumField() {
			if f := typ.Field(i); f.IsExported() && f.Type != reflect.TypeFor[metav1.Time]() {
				out = append(out, listsOf(f.Type, path+"."+f.Name, func(object reflect.Value) reflect.Value { return at(object).Field(i) })...)
			}
		}
		return out
	case reflect.Map:
		return []list{{path, func(object reflect.Value, entries int) {
			m := reflect.MakeMapWithSize(typ, entries)
			for i := range entries {
				m.SetMapIndex(reflect.ValueOf(fmt.Sprintf("!%d", i)).Convert(typ.Key()), invalid(typ.Elem()))
			}
			at(object).Set(m)
		}}}
	case reflect.Slice:
		whole := list{path, func(object reflect.Value, entries int) {
			s := reflect.MakeSlice(typ, entries, entries)
			for i := range entries {
				s.Index(i).Set(invalid(typ.Elem()))
			}
			at(object).Set(s)
		}}
		return append(listsOf(typ.Elem(), path+"[]", func(object reflect.Value) reflect.Value {
			if at(object).Len() == 0 {
				at(object).Set(reflect.MakeSlice(typ, 1, 1))
			}
			return at(object).Index(0)
		}), whole)
	}
	return nil
}

// invalid is a value that nothing takes: "!" or nothing at all.
func invalid(typ reflect.Type) reflect.Value {
	if typ.Kind() == reflect.String {
		return reflect.ValueOf("!").Convert(typ)
	}
	return reflect.Zero(typ)
}

// causes are those of a refusal; an object that is taken has none.
func causes(t *testing.T, err error) []metav1.StatusCause {
	t.Helper()
	var status *apierrors.StatusError
	if errors.As(err, &status) && status.ErrStatus.Details != nil {
		return status.ErrStatus.Details.Causes
	}
	return nil
}

func checkBounded(t *testing.T, err error) {
	t.Helper()
	if got := len(causes(t, err)); got > 2*(mistakes.Max+1) { // those of the metadata, and others
		t.Errorf("got %d causes", got)
	}
	if err != nil && len(err.Error()) > 1<<20 {
		t.Errorf("the sentence has %d bytes", len(err.Error()))
	}
}

func TestTheLongestListOfMistakesIsAnsweredWithABoundedNumber(t *testing.T) {
	registry := newRegistry(t)
	seen := map[string]bool{}
	for _, group := range registry.Groups {
		for _, resources := range group.VersionedResourcesStorageMap {
			for resource, storage := range resources {
				creater, ok := storage.(rest.Creater)
				if !ok {
					continue
				}
				typ := reflect.TypeOf(creater.New()).Elem()
				for _, l := range listsOf(typ, "", func(object reflect.Value) reflect.Value { return object }) {
					// The metadata are the same for all.
					if strings.HasPrefix(l.path, ".ObjectMeta") && resource != "kubefedclusters" {
						continue
					}
					name := resource + l.path
					seen[name] = true
					t.Run(name, func(t *testing.T) {
						object := creater.New()
						accessor, err := meta.Accessor(object)
						if err != nil {
							t.Fatal(err)
						}
						accessor.SetName("x")
						l.fill(reflect.ValueOf(object).Elem(), bodyBytes/10)
						if scoper := storage.(rest.Scoper); scoper.NamespaceScoped() {
							accessor.SetNamespace(systemNamespace)
						}
						_, err = creater.Create(in(t, accessor.GetNamespace()), object, rest.ValidateAllObjectFunc, &metav1.CreateOptions{})
						checkBounded(t, err)
					})
				}
			}
		}
	}
	for _, must := range []string{"kubefedclusters.Spec.AllowedSystemNamespaces", "kubefedclusters.ObjectMeta.Labels", "federatedtypeconfigs.Spec.PropagatingAnnotations",
		"kubefedconfigs.Spec.FeatureGates", "replicaschedulingpreferences.Spec.Clusters", "edgeunits.Spec.NodeSelector", "membernamespaces.Spec.Owners[].Members"} {
		if !seen[must] {
			t.Errorf("%s was not looked at, but these: %v", must, seen)
		}
	}
}

func TestAnUpdateWithTheLongestListOfMistakesIsAnsweredWithABoundedNumber(t *testing.T) {
	registry := newRegistry(t)
	stored := create(t, registry.Clusters, systemNamespace, newCluster("m1"))
	for _, l := range listsOf(reflect.TypeFor[corev1beta1.KubeFedCluster](), "", func(object reflect.Value) reflect.Value { return object }) {
		for name, updater := range map[string]rest.Updater{"object": registry.Clusters, "status": statusOf(t, registry.Groups, "kubefedclusters/status")} {
			t.Run(name+l.path, func(t *testing.T) {
				changed := stored.DeepCopyObject()
				l.fill(reflect.ValueOf(changed).Elem(), bodyBytes/10)
				_, _, err := updater.Update(in(t, systemNamespace), "m1", rest.DefaultUpdatedObjectInfo(changed),
					rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, &metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
				checkBounded(t, err)
			})
		}
	}
}

// One more than the bound is refused in a sentence; see package mistakes for what is stored already.
func TestAListBeyondItsBoundIsRefusedInASentence(t *testing.T) {
	registry := newRegistry(t)
	object := newCluster("m1")
	for i := range corev1beta1.MaxAllowedSystemNamespaces {
		object.Spec.AllowedSystemNamespaces = append(object.Spec.AllowedSystemNamespaces, fmt.Sprintf("ns-%d", i))
	}
	stored := create(t, registry.Clusters, systemNamespace, object)
	stored.Spec.AllowedSystemNamespaces = append(stored.Spec.AllowedSystemNamespaces, "one-more")
	_, _, err := registry.Clusters.Update(in(t, systemNamespace), "m1", rest.DefaultUpdatedObjectInfo(runtime.Object(stored)),
		rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, &metav1.UpdateOptions{})
	if got := causes(t, err); len(got) != 1 || got[0].Field != "spec.allowedSystemNamespaces" || got[0].Message != "Too many: 101: must have at most 100 items" {
		t.Errorf("got %v", err)
	}
}

func statusOf(t *testing.T, groups []*genericapiserver.APIGroupInfo, resource string) rest.Updater {
	t.Helper()
	for _, group := range groups {
		for _, resources := range group.VersionedResourcesStorageMap {
			if storage, ok := resources[resource]; ok {
				return storage.(rest.Updater)
			}
		}
	}
	t.Fatalf("there is no %s", resource)
	return nil
}
