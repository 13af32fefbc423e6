package simulated_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/test/simulation"
)

var (
	// names of federated objects, of each kind; cellNames those of cells, in the namespace shop.
	names     = []string{"a", "b"}
	cellNames = []string{"c1", "c2", "c3", "c4"}
	// memberNamespaces are all that a member may have.
	memberNamespaces = []string{"default", "kube-system", "kube-public", "kube-node-lease", "shop", "shop-c1", "shop-c2", "shop-c3", "shop-c4"}

	kubeFedClusters = v1beta1.SchemeGroupVersion.WithResource("kubefedclusters")
	typeConfigs     = v1beta1.SchemeGroupVersion.WithResource("federatedtypeconfigs")
	cellResource    = federationv1alpha1.SchemeGroupVersion.WithResource("cells")
	deleteNow       = metav1.DeleteOptions{}
)

// happening is what may happen. happen says to whom.
type happening struct {
	weight int
	name   string
	happen func() string
}

var writes = []string{"create", "update", "patch", "delete"}

func (h *history) steps() []happening {
	return []happening{
		{12, "an object is made or changed", h.write},
		{2, "an object is deleted", h.remove},
		{3, "somebody changes an object in a member", h.drift},
		{2, "somebody deletes an object in a member", h.removeByHand},
		{3, "a member's controller reports", h.report},
		{3, "a Job ends", h.endJob},
		{2, "what has ended is removed", h.expireJob},
		{1, "a member goes down", h.toMember((*simulation.Member).Down)},
		{1, "a member comes back", h.toMember((*simulation.Member).Up)},
		{1, "a member fails now and then", h.faulty(simulation.Fault{Rate: 0.3, Code: 500})},
		{1, "a member loses answers", h.faulty(simulation.Fault{Verbs: writes, Rate: 0.5, Late: true, Cut: true})},
		{1, "a member hangs", h.faulty(simulation.Fault{Rate: 0.3, Hang: true})},
		{2, "a member's watches lose and repeat events", h.spoil},
		{2, "a member is well", h.faulty()},
		{1, "the host fails now and then", h.hostFaulty(simulation.Fault{Verbs: append(writes, "get"), Rate: 0.3, Code: 500})},
		{1, "the host loses answers", h.hostFaulty(simulation.Fault{Verbs: writes, Rate: 0.4, Late: true, Cut: true})},
		{1, "the host's watches lose and repeat events", h.spoilHost},
		{2, "the host is well", h.hostFaulty()},
		{1, "the host ends its watches", func() string { h.host.CloseWatches(); return "" }},
		{1, "the host forgets its history", func() string { h.host.Compact(); h.host.CloseWatches(); return "" }},
		{1, "a member does not serve a type", h.loseType},
		{1, "a member serves all of its types", h.serveTypes},
		{1, "a member's custom type is removed with its objects", h.removeDefinition},
		{1, "a member ends its watches", h.toMember((*simulation.Member).CloseWatches)},
		{1, "a member forgets its history", h.toMember(func(m *simulation.Member) { m.Compact(); m.CloseWatches() })},
		{2, "a member leaves", h.leave},
		{3, "members come back to the federation", h.join},
		{2, "a member is labelled", h.labelMember},
		{4, "a cell is made or labelled", h.writeCell},
		{2, "a cell is deleted", h.removeCell},
		{2, "a cell is made anew", h.remakeCell},
		{3, "a cell moves", h.moveCell},
		{1, "a type is not propagated", h.disable},
		{2, "all types are propagated", h.enable},
		{4, "a moment passes", func() string { h.pass(200 * time.Millisecond); return "" }},
		{2, "some time passes", func() string { h.pass(2 * time.Second); return "" }},
		{3, "the controllers are restarted", func() string { h.restart(); return "" }},
	}
}

// pass lets what is under way go on for up to d, so that what happens next falls into it. It
// waits for nothing.
func (h *history) pass(d time.Duration) { h.idle(h.Rand, d) }

// idle lets a random time pass, so that what happens next meets the controllers anywhere.
func (f *fixture) idle(r *rand.Rand, atMost time.Duration) {
	select {
	case <-f.Context().Done():
	case <-time.After(time.Duration(r.Int64N(int64(atMost)))):
	}
}

func (h *history) any() *simulation.Member { return h.members[h.IntN(len(h.members))] }

func oneOf[T any](h *history, of []T) T { return of[h.IntN(len(of))] }

func (h *history) toMember(do func(*simulation.Member)) func() string {
	return func() string {
		m := h.any()
		do(m)
		return m.Name()
	}
}

func (h *history) faulty(faults ...simulation.Fault) func() string {
	return h.toMember(func(m *simulation.Member) { m.SetFaults(faults...) })
}

func (h *history) hostFaulty(faults ...simulation.Fault) func() string {
	return func() string { h.host.SetFaults(faults...); return "" }
}

var spoiledWatches = simulation.Fault{Verbs: []string{"watch"}, Drop: 0.3, Duplicate: 0.4}

func (h *history) spoil() string {
	m := h.any()
	m.SetFaults(spoiledWatches)
	h.spoiled[m] = true
	return m.Name()
}

func (h *history) spoilHost() string {
	h.host.SetFaults(spoiledWatches)
	h.spoiled[h.host] = true
	return ""
}

// namespace of the federated objects of a kind.
func (s *subject) namespace() string {
	if s.clusterScoped {
		return ""
	}
	return "shop"
}

// next is a value that nothing had before.
func (h *history) next(what string) string {
	h.round++
	return fmt.Sprintf("%s-%d", what, h.round)
}

// write makes or changes an object, unless it is being deleted.
func (h *history) write() string {
	s, name := oneOf(h, h.subjects), oneOf(h, names)
	before := h.wishes[wishKey{s.config, name}]
	w := &wish{subject: s, name: name, topology: v1beta2.TopologyCluster, value: h.next("v")}
	switch {
	case before != nil:
		*w = *before
	case !s.clusterScoped && h.IntN(2) == 0:
		w.topology = v1beta2.TopologyCell
	}
	h.redraw(w, before == nil)
	deleting := false
	found, err := h.host.Change(s.federated, s.namespace(), name, func(object map[string]any) {
		if deleting = object["metadata"].(map[string]any)["deletionTimestamp"] != nil; !deleting {
			object["spec"] = w.spec()
		}
	})
	switch {
	case deleting:
		return "not: it is being deleted"
	case err == nil && !found:
		metadata := map[string]any{"name": name}
		if !s.clusterScoped {
			metadata["namespace"] = s.namespace()
		}
		err = h.host.Put(s.federated, map[string]any{"metadata": metadata, "spec": w.spec()})
	}
	if err != nil {
		h.Fatal(err)
	}
	h.wishes[w.key()] = w
	return fmt.Sprintf("%s %s %s", s.kind, name, asJSON(w.spec()))
}

// redraw draws anew what an object says: all of it, or one part or two.
func (h *history) redraw(w *wish, all bool) {
	targets := slices.Sorted(maps.Keys(h.joined))
	if w.topology == v1beta2.TopologyCell {
		targets = cellNames
	}
	if targets = append(targets, "nowhere"); all || h.IntN(2) == 0 {
		w.value = h.next("v")
	}
	if all || h.IntN(3) == 0 {
		w.placement = h.choose(targets)
	}
	if all || h.IntN(3) == 0 {
		if w.mask = nil; h.IntN(3) == 0 {
			w.mask = h.choose(targets)
		}
	}
	if all || h.IntN(4) == 0 {
		w.overrides, w.broken = map[string]string{}, map[string]bool{}
		switch target := oneOf(h, targets); h.IntN(8) {
		case 0, 1, 2:
			w.overrides[target] = h.next("o")
		case 3:
			w.broken[target] = true
		}
	}
}

func (h *history) choose(targets []string) *choice {
	switch h.IntN(6) {
	case 0:
		return &choice{labels: map[string]string{}} // all
	case 1, 2:
		return &choice{labels: map[string]string{"zone": h.zone()}}
	case 3:
		return &choice{names: []string{}} // none
	}
	names := []string{}
	for _, name := range targets {
		if h.IntN(2) == 0 {
			names = append(names, name)
		}
	}
	return &choice{names: names}
}

func (h *history) zone() string { return oneOf(h, []string{"east", "west"}) }

func (h *history) remove() string {
	s, name := oneOf(h, h.subjects), oneOf(h, names)
	h.host.Remove(s.federated, s.namespace(), name)
	delete(h.wishes, wishKey{s.config, name})
	return s.kind + " " + name
}

// somewhere is a place where there is something, if there is any. It always draws once: what
// comes later in a history depends as little as can be on how quick things are.
func (h *history) somewhere(fit func(*subject, map[string]any) bool) (place, bool) {
	drawn := h.Int()
	var full []place
	for _, p := range slices.SortedFunc(maps.Keys(h.places), comparePlaces) {
		if object := h.object(p); object != nil && fit(h.subjectOf(p.config), object) {
			full = append(full, p)
		}
	}
	if len(full) == 0 {
		return place{}, false
	}
	return full[drawn%len(full)], true
}

// change changes an object in a member, and says so.
func (h *history) change(fit func(*subject, map[string]any) bool, change func(place, *subject, map[string]any)) string {
	p, ok := h.somewhere(fit)
	if !ok {
		return "not: there is none"
	}
	s := h.subjectOf(p.config)
	if _, err := h.member(p.member).Change(s.target, p.namespace, p.name, func(object map[string]any) { change(p, s, object) }); err != nil {
		h.Fatal(err)
	}
	return fmt.Sprint(p)
}

// drift does what is then drift. A Job cannot be changed.
func (h *history) drift() string {
	return h.change(func(s *subject, _ map[string]any) bool { return !s.ends }, func(p place, s *subject, object map[string]any) {
		value, at := h.next("by-hand"), h.at(p)
		s.set(object, value)
		at.possible[value] = true
		at.hands++
	})
}

func (h *history) removeByHand() string {
	p, ok := h.somewhere(func(*subject, map[string]any) bool { return true })
	if !ok {
		return "not: there is none"
	}
	h.removeAt(p)
	return fmt.Sprint(p)
}

func (h *history) removeAt(p place) {
	s, at := h.subjectOf(p.config), h.at(p)
	if object := h.object(p); object != nil && s.value(object) == at.wanted {
		at.removed = true
	}
	h.member(p.member).Remove(s.target, p.namespace, p.name)
	at.possible[""] = true
	at.hands++
}

// report writes a status.
func (h *history) report() string {
	return h.change(func(s *subject, _ map[string]any) bool { return s.target == simulation.Deployments || s.custom }, func(_ place, _ *subject, object map[string]any) {
		h.round++
		object["status"] = map[string]any{"observedGeneration": int64(h.round)}
	})
}

func (h *history) endJob() string {
	return h.change(func(s *subject, _ map[string]any) bool { return s.ends }, func(_ place, _ *subject, object map[string]any) { end(object) })
}

func (h *history) expireJob() string {
	p, ok := h.somewhere(func(s *subject, object map[string]any) bool { return s.hasEnded(object) })
	if !ok {
		return "not: there is none"
	}
	h.removeAt(p)
	return fmt.Sprint(p)
}

func (h *history) loseType() string {
	m, s := h.any(), oneOf(h, h.subjects)
	m.SetServed(s.target, false)
	return m.Name() + " " + s.config
}

func (h *history) serveTypes() string {
	m := h.any()
	h.define(m)
	for _, s := range h.subjects {
		m.SetServed(s.target, true)
	}
	return m.Name()
}

// removeDefinition removes a custom type and what there is of it.
func (h *history) removeDefinition() string {
	m := h.any()
	for _, s := range h.subjects {
		if !s.custom {
			continue
		}
		m.SetServed(s.target, false) // nothing is written from here on
		for p := range h.places {
			if p.config == s.config && p.member == m.Name() {
				h.removeAt(p)
			}
		}
		m.Remove(simulation.CustomResourceDefinitions, "", s.target.Resource+"."+s.target.Group)
	}
	return m.Name()
}

func (h *history) leave() string {
	m := h.any()
	if _, is := h.joined[m.Name()]; !is {
		return "not: it has left"
	}
	h.host.Remove(kubeFedClusters, v1beta1.DefaultNamespace, m.Name())
	h.memberLeft(m.Name())
	return m.Name()
}

// join joins those that are not.
func (h *history) join() string {
	joined := []string{}
	for _, m := range h.members {
		if _, is := h.joined[m.Name()]; !is {
			labels := map[string]string{"zone": h.zone()}
			h.put(kubeFedClusters, h.tree(m.Cluster(labels)))
			h.joined[m.Name()] = labels
			joined = append(joined, m.Name())
		}
	}
	return fmt.Sprint(joined)
}

func (h *history) labelMember() string {
	if len(h.joined) == 0 {
		return "not: there is none"
	}
	name, zone := oneOf(h, slices.Sorted(maps.Keys(h.joined))), h.zone()
	h.relabel(kubeFedClusters, v1beta1.DefaultNamespace, name, zone)
	h.joined[name] = map[string]string{"zone": zone}
	return name + " " + zone
}

// writeCell makes a cell, or labels it, unless it is being deleted.
func (h *history) writeCell() string {
	name, zone, member := oneOf(h, cellNames), h.zone(), h.any().Name()
	switch object := h.host.Object(cellResource, "shop", name); {
	case object == nil:
		h.makeCell(name, zone, member)
	case object["metadata"].(map[string]any)["deletionTimestamp"] == nil:
		h.relabel(cellResource, "shop", name, zone)
		h.cells[name] = cell{h.cells[name].member, map[string]string{"zone": zone}}
	default:
		return "not: it is being deleted"
	}
	return fmt.Sprintf("%s %s in %s", name, zone, h.cells[name].member)
}

func (h *history) removeCell() string {
	name := oneOf(h, cellNames)
	h.host.Remove(cellResource, "shop", name)
	h.cellGone(name)
	return name
}

func (h *history) cellGone(name string) {
	if was, is := h.cells[name]; is {
		h.gone[former{was.member, name}] = true
		delete(h.cells, name)
	}
}

// moveCell has a cell say that it is in another member, or in the same one.
func (h *history) moveCell() string {
	name, member := oneOf(h, cellNames), h.any().Name()
	was, is := h.cells[name]
	if !is {
		return "not: there is none"
	}
	_, err := h.host.Change(cellResource, "shop", name, func(object map[string]any) {
		object["spec"].(map[string]any)["clusterName"] = member
	})
	if err != nil {
		h.Fatal(err)
	}
	h.gone[former{was.member, name}] = true
	h.cells[name] = cell{member, was.labels}
	return fmt.Sprintf("%s to %s", name, member)
}

// remakeCell makes a cell anew in another member, so quickly that it may not be seen that there was
// none for a moment: somebody takes the finalizer away.
func (h *history) remakeCell() string {
	name, zone, member := oneOf(h, cellNames), h.zone(), h.any().Name()
	h.host.Remove(cellResource, "shop", name)
	_, err := h.host.Change(cellResource, "shop", name, func(object map[string]any) {
		delete(object["metadata"].(map[string]any), "finalizers")
	})
	if err != nil {
		h.Fatal(err)
	}
	h.cellGone(name)
	h.makeCell(name, zone, member)
	return fmt.Sprintf("%s %s to %s", name, zone, member)
}

func (h *history) makeCell(name, zone, member string) {
	h.put(cellResource, map[string]any{
		"metadata": map[string]any{"name": name, "namespace": "shop", "labels": map[string]any{"zone": zone}},
		"spec":     map[string]any{"clusterName": member},
	})
	h.cells[name] = cell{member, map[string]string{"zone": zone}}
}

func (h *history) relabel(gvr schema.GroupVersionResource, namespace, name, zone string) {
	_, err := h.host.Change(gvr, namespace, name, func(object map[string]any) {
		object["metadata"].(map[string]any)["labels"] = map[string]any{"zone": zone}
	})
	if err != nil {
		h.Fatal(err)
	}
}

func (h *history) setPropagation(s *subject, mode v1beta1.Mode) {
	_, err := h.host.Change(typeConfigs, v1beta1.DefaultNamespace, s.config, func(object map[string]any) {
		object["spec"].(map[string]any)["propagation"] = string(mode)
	})
	if err != nil {
		h.Fatal(err)
	}
}

func (h *history) disable() string {
	s := oneOf(h, h.subjects)
	h.setPropagation(s, v1beta1.Disabled)
	return s.config
}

func (h *history) enable() string {
	for _, s := range h.subjects {
		h.setPropagation(s, v1beta1.Enabled)
	}
	return ""
}
