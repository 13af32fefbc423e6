package federatedtypeconfig

import (
	"fmt"
	"reflect"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// builtin is a kind of Kubernetes' own.
type builtin struct {
	gvk        schema.GroupVersionKind
	plural     string
	namespaced bool
}

// builtins are all kinds that Kubernetes has clients for. What the clients are called, what they
// take and what they create is what the API says of the kinds:
// AppsV1().StatefulSets(namespace).Create(ctx, *appsv1.StatefulSet, ...).
var builtins = sync.OnceValue(func() []builtin {
	var out []builtin
	groups := reflect.TypeFor[kubernetes.Interface]()
	for i := range groups.NumMethod() {
		group := groups.Method(i).Type
		if group.NumIn() != 0 || group.NumOut() != 1 || group.Out(0).Kind() != reflect.Interface {
			continue
		}
		for j := range group.Out(0).NumMethod() {
			if kind, ok := builtinOf(group.Out(0).Method(j)); ok {
				out = append(out, kind)
			}
		}
	}
	return out
})

// builtinOf returns the kind that a method of a group's client is for.
func builtinOf(client reflect.Method) (builtin, bool) {
	if client.Type.NumIn() > 1 || client.Type.NumOut() != 1 || client.Type.Out(0).Kind() != reflect.Interface {
		return builtin{}, false
	}
	create, ok := client.Type.Out(0).MethodByName("Create")
	if !ok || create.Type.NumIn() < 2 || create.Type.In(1).Kind() != reflect.Pointer {
		return builtin{}, false
	}
	object, ok := reflect.New(create.Type.In(1).Elem()).Interface().(runtime.Object)
	if !ok {
		return builtin{}, false
	}
	gvks, _, err := clientgoscheme.Scheme.ObjectKinds(object)
	if err != nil {
		return builtin{}, false
	}
	return builtin{gvk: gvks[0], plural: strings.ToLower(client.Name), namespaced: client.Type.NumIn() == 1}, true
}

// targetProblems returns why nothing of a type will reach members, as far as Kubernetes' own
// kinds tell: one sentence for each mistake. Of other kinds, and of versions that this release
// of Kubernetes does not have, nothing is known.
func targetProblems(config *v1beta1.FederatedTypeConfig) (problems []string) {
	target := &config.Spec.TargetType
	gv := schema.GroupVersion{Group: target.Group, Version: target.Version}
	problem := func(field, got, want string, known builtin) {
		problems = append(problems, fmt.Sprintf("spec.targetType.%s: %q is not that of the %s of %s, which is %q: members do not take what is propagated so",
			field, got, known.gvk.Kind, gv, want))
	}
	for _, known := range builtins() {
		if known.gvk.GroupVersion() != gv || known.plural != target.PluralName && known.gvk.Kind != target.Kind {
			continue
		}
		if known.gvk.Kind != target.Kind {
			problem("kind", target.Kind, known.gvk.Kind, known)
		}
		if known.plural != target.PluralName {
			problem("pluralName", target.PluralName, known.plural, known)
		}
		scope := v1beta1.ClusterScoped
		if known.namespaced {
			scope = v1beta1.NamespaceScoped
		}
		if target.Scope != scope {
			problem("scope", string(target.Scope), string(scope), known)
		}
	}
	return problems
}
