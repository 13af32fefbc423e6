package propagation

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// An object goes only where the FederatedNamespace of its namespace goes: see placement.Narrow for the
// rule. Here is who knows of FederatedNamespaces: the feed of their kind. Until that is filled
// nothing is known, and every object that it could narrow is left as it is.

// namespaceType is the name of the FederatedTypeConfig of FederatedNamespaces.
const namespaceType = "namespaces"

// isNarrowed reports whether objects of the kind go only where their namespace goes: those that are in a
// namespace of members.
func (k *kind) isNarrowed() bool { return k.target.Namespaced }

// inOneNamespace reports whether the scope is Namespaced.
func (e *Engine) inOneNamespace() bool { return e.Scope == v1beta1.NamespaceScoped }

// watched is the namespace whose federated objects are propagated; empty is all.
func (e *Engine) watched() string {
	if e.inOneNamespace() {
		return e.SystemNamespace
	}
	return metav1.NamespaceAll
}

// isOutOfScope reports whether objects of a type are not propagated since they lie in no namespace of
// members. FederatedNamespaces are read all the same: they narrow.
func (e *Engine) isOutOfScope(ftc *v1beta1.FederatedTypeConfig) bool {
	return e.inOneNamespace() && ftc.Spec.TargetType.Scope != v1beta1.NamespaceScoped && ftc.Name != namespaceType
}

// namespaceOf returns what is known of where the namespace of an object goes.
func (e *Engine) namespaceOf(v *view) placement.Namespace {
	if !v.kind.isNarrowed() {
		return placement.Namespace{}
	}
	known := placement.Namespace{Name: v.key.namespace, Optional: e.inOneNamespace()}
	k, off := e.namespaceKind()
	switch {
	case k == nil:
		known.Off, known.Unknown = off, !off
	case k.isOff():
		known.Off = true
	case !k.informer.HasSynced():
		known.Unknown = true
	default:
		known.Federated = e.federatedNamespace(k, v.key.namespace)
	}
	return known
}

// namespaceKind returns the kind of FederatedNamespaces, nil if it is not running. off says that it
// is not meant to.
func (e *Engine) namespaceKind() (k *kind, off bool) {
	e.mu.RLock()
	k, off = e.kinds[namespaceType], e.namespacesOff
	e.mu.RUnlock()
	if k != nil || off {
		return k, off
	}
	_, err := e.Types.Get(namespaceType)
	return nil, isNotFound(err)
}

// isOff reports whether the type is Disabled by itself, and so says nothing of where objects go, as if it were
// missing. What pauses all types is no such word: their objects are left as they are all the same.
func (k *kind) isOff() bool {
	return k.spec.Propagation != v1beta1.Enabled && !k.onlyNarrows
}

// narrowsAnew reports whether a kind says something else of where objects go than the one before it, which may be nil,
// by what is in its FederatedTypeConfig. What its objects say is told by its feed.
func (k *kind) narrowsAnew(old *kind) bool {
	if old == nil {
		return k.name == namespaceType && k.isOff()
	}
	return k.name == namespaceType && k.isOff() != old.isOff()
}

// federatedNamespace returns the FederatedNamespace of a namespace, nil if there is none, or only one
// that was made in an earlier namespace of that name.
func (e *Engine) federatedNamespace(k *kind, name string) *v1beta2.FederatedObject {
	federated := k.get(objectKey{k.name, name, name})
	if federated == nil {
		return nil
	}
	if namespace, err := e.Namespaces.Get(name); err == nil && !belongs(federated, namespace) {
		return nil
	}
	return federated
}

// sameNamespace reports whether two answers of namespaceOf narrow alike.
func sameNamespace(a, b placement.Namespace) bool {
	return a.Name == b.Name && a.Unknown == b.Unknown && a.Off == b.Off && a.Optional == b.Optional && sayTheSame(a.Federated, b.Federated)
}

// sayTheSame reports whether two versions of a FederatedNamespace, of which either may be nil, narrow
// alike.
func sayTheSame(a, b *v1beta2.FederatedObject) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.UID == b.UID && a.Generation == b.Generation && (a.DeletionTimestamp == nil) == (b.DeletionTimestamp == nil)
}

// narrowBy has the objects of a namespace looked at again when its FederatedNamespace in the feed
// changes. What the feed shows first concerns all objects: see narrowOnceKnown.
func (e *Engine) narrowBy(f *feed) error {
	_, err := f.informer.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(object any, isInInitialList bool) {
			if !isInInitialList {
				e.namespaceNarrowed(nil, object)
			}
		},
		UpdateFunc: func(old, current any) { e.namespaceNarrowed(old, current) },
		DeleteFunc: func(object any) {
			if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = gone.Obj
			}
			e.namespaceNarrowed(nil, object)
		},
	})
	return err
}

// namespaceNarrowed takes a change of a FederatedNamespace; old is nil if there is or was none.
func (e *Engine) namespaceNarrowed(old, current any) {
	federated, ok := current.(*v1beta2.FederatedObject)
	if !ok || federated.Name != federated.Namespace {
		return
	}
	if before, _ := old.(*v1beta2.FederatedObject); before == nil || !sayTheSame(before, federated) {
		e.NamespaceChanged(federated.Namespace)
	}
}

// narrowOnceKnown has every object looked at that waits for the feed to be filled. Where it is stopped before
// that, they wait for what comes after it.
func (e *Engine) narrowOnceKnown(f *feed) {
	if cache.WaitForCacheSync(f.stopped, f.informer.HasSynced) {
		e.enqueueNarrowed()
	}
}

// enqueueNarrowed has every object looked at again that is in a namespace of members.
func (e *Engine) enqueueNarrowed() {
	for _, k := range e.runningKinds() {
		if k.isNarrowed() {
			k.enqueueAll(e)
		}
	}
}

// addOutside adds the targets that the placement names, and the namespace does not go to. Where the
// object is, it departs; where it is not, the target says why.
func (v *view) addOutside() {
	byName := make(map[string]int, len(v.targets))
	for i, t := range v.targets {
		if t.former == "" {
			byName[t.Name] = i
		}
	}
	for _, t := range v.outside {
		if i, departs := byName[t.Name]; departs {
			v.targets[i].leftOut = t.Message
			continue
		}
		v.targets = append(v.targets, viewTarget{Candidate: t.Candidate, intent: remove, leftOut: t.Message})
	}
	v.sortTargets()
}
