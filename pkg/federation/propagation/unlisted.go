package propagation

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/federation/events"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
)

// What is in a cell is known once the federated objects of all types are listed. A type whose objects cannot be
// listed holds every move and every deletion of a cell: what is not known of may need what would be removed.

// unlistedPatience is how long that may take before it is told: after a start it takes a moment.
const unlistedPatience = time.Minute

// ReasonObjectsNotListed is the reason of the Event on a FederatedTypeConfig whose objects cannot be listed.
const ReasonObjectsNotListed = "ObjectsNotListed"

// ReasonNotStarted is the reason of the Event on a FederatedTypeConfig of which nothing is propagated, since it is wrong.
const ReasonNotStarted = "NotStarted"

// unlistedType is a type whose federated objects are not all known, and why.
type unlistedType struct {
	config *v1beta1.FederatedTypeConfig
	why    string
}

// String says what it is, and what to do.
func (t unlistedType) String() string {
	return fmt.Sprintf("the objects of the type %q are not known: %s; correct that, or delete the FederatedTypeConfig if nothing of the type is needed", t.config.Name, t.why)
}

// listing returns the kinds that run, and the types whose federated objects are not all known, by name. Both are of one
// moment: else a kind that is replaced between two looks would be in neither.
func (e *Engine) listing() (kinds []*kind, unlisted []unlistedType) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	kinds = slices.Collect(maps.Values(e.kinds))
	all, err := e.Types.List(labels.Everything())
	if err != nil {
		return kinds, []unlistedType{{&v1beta1.FederatedTypeConfig{}, err.Error()}} // listers fail only for want of an index
	}
	for _, config := range all {
		if why := e.whyUnlisted(config); why != "" {
			unlisted = append(unlisted, unlistedType{config, why})
		}
	}
	slices.SortFunc(unlisted, func(a, b unlistedType) int { return strings.Compare(a.config.Name, b.config.Name) })
	return kinds, unlisted
}

// whyUnlisted returns why not all federated objects of a type are known; empty if they are, or nothing of them is
// in a cell. e.mu is held.
func (e *Engine) whyUnlisted(config *v1beta1.FederatedTypeConfig) string {
	k, failed := e.kinds[config.Name], e.failed[config.Name]
	switch {
	case k != nil && k.isListed():
		return ""
	case k != nil && k.problem.Load() != nil:
		return "they cannot be listed: " + *k.problem.Load()
	case k != nil:
		return "they are being listed"
	case failed != nil:
		return memberclient.Problem(failed)
	case !e.looked[config.Name]:
		return "its FederatedTypeConfig was not looked at yet"
	}
	return ""
}

// isListed reports whether all objects of the kind are known that may be in a cell.
func (k *kind) isListed() bool {
	return k.onlyNarrows || !k.federatedNamespaced || k.informer.HasSynced()
}

// unlistedWatch remembers since when types are not listed, and which of them were told of.
type unlistedWatch struct {
	since map[string]time.Time
	told  map[string]bool
}

// look tells of types that have not been listed for long. It reports whether other types are not listed than before.
func (w *unlistedWatch) look(e *Engine) (changed bool) {
	now, since, told := e.now(), map[string]time.Time{}, map[string]bool{}
	_, unlisted := e.listing()
	for _, t := range unlisted {
		name := t.config.Name
		if since[name] = now; !w.since[name].IsZero() {
			since[name] = w.since[name]
		}
		if told[name] = w.told[name]; told[name] || now.Sub(since[name]) < unlistedPatience {
			continue
		}
		told[name] = true
		e.tellUnlisted(t)
	}
	changed = !maps.Equal(w.since, since)
	w.since, w.told = since, told
	return changed
}

func (e *Engine) tellUnlisted(t unlistedType) {
	e.tellOfType(t.config, ReasonObjectsNotListed, t.String()+"; until then no cell that moves leaves the place where it was, and none that is deleted ends")
}

// tellOfType writes a Warning about a FederatedTypeConfig.
func (e *Engine) tellOfType(config *v1beta1.FederatedTypeConfig, reason, message string) {
	if e.Record == nil {
		return
	}
	e.Record(&corev1.ObjectReference{
		APIVersion: v1beta1.SchemeGroupVersion.String(), Kind: "FederatedTypeConfig",
		Namespace: config.Namespace, Name: config.Name, UID: config.UID,
	}, events.Event{Type: corev1.EventTypeWarning, Reason: reason, Message: message})
}
