package topology

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"unique"

	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// master is how a node finds the API server.
const master = "default/kubernetes"

// Topology is what has to be known to filter EndpointSlices for one node: rules of Services, units of nodes, and where endpoints are. What changes it returns the
// Services of which EndpointSlices are to be seen otherwise from then on, NAMESPACE/NAME, sorted: each of their Slices, filtered anew, is what they are now. It has
// to be told of all nodes and Services before anybody is shown what it has filtered: what it does not know is in no unit, and has no rule, but see KnowsAll.
//
// It may be used concurrently.
type Topology struct {
	mu       sync.RWMutex          // guards the rest
	node     name                  // for whom it filters
	units    map[name]name         // of nodes that have one
	services map[string]*service   // by NAMESPACE/NAME
	ruled    map[*service]struct{} // those that have a rule
	owners   map[string]*service   // of EndpointSlices, by NAMESPACE/NAME
	all      bool                  // a Service that is not known is not there
}

// name is of a node, a unit or a type of addresses: it is there once.
type name = unique.Handle[string]

var none = unique.Make("")

// service is one that there is, or that EndpointSlices are of.
type service struct {
	name   string
	rule   Rule
	known  bool
	slices []*slice
	// places are where to look for endpoints, by the type of their addresses.
	places map[name]Scope
}

// slice is what is read of an EndpointSlice.
type slice struct {
	name      string // NAMESPACE/NAME
	addresses name
	endpoints []endpoint
}

type endpoint struct {
	node         name
	ready, shown bool
}

// New returns a Topology for a node, which knows nothing yet.
func New(node string) *Topology {
	return &Topology{node: unique.Make(node), units: map[name]name{}, services: map[string]*service{}, ruled: map[*service]struct{}{}, owners: map[string]*service{}}
}

// SetNode says in which unit a node is, "" for none: see UnitOf. That a node is gone is the same as that it has none.
func (t *Topology) SetNode(node, unit string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	of, in := unique.Make(node), unique.Make(unit)
	if before, ok := t.units[of]; before == in || !ok && in == none {
		return nil
	}
	t.units[of] = in
	if in == none {
		delete(t.units, of)
	}
	var affected []string
	for s := range t.ruled {
		if (of == t.node || s.has(of)) && t.judge(s, nil) {
			affected = append(affected, s.name)
		}
	}
	slices.Sort(affected)
	return affected
}

// SetService says what annotations a Service has, NAMESPACE/NAME. What is wrong with them is a problem of who wrote them: they count all the same, as RuleOf says.
func (t *Topology) SetService(name string, annotations map[string]string) (affected []string, problem error) {
	rule, problem := RuleOf(annotations)
	if name == master && rule != nil {
		rule, problem = nil, fmt.Errorf("the annotations %s and %s have no effect on it: nodes find the API server by it", Annotation, OpenYurtAnnotation)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.service(name)
	return t.setRule(s, true, rule), problem
}

// DeleteService says that there is no Service of that name.
func (t *Topology) DeleteService(name string) (affected []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.services[name]
	if s == nil {
		return nil
	}
	defer t.forget(s)
	return t.setRule(s, false, nil)
}

// KnowsAll says whether it is told of all Services: if so, of one that it does not know, and which may be closed, no endpoints are seen. At first it is not.
func (t *Topology) KnowsAll(all bool) (affected []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == all {
		return nil
	}
	t.all = all
	for _, s := range t.services {
		if !s.known && t.judge(s, nil) {
			affected = append(affected, s.name)
		}
	}
	slices.Sort(affected)
	return affected
}

// hides reports whether nobody is shown endpoints of a Service: it may be closed. s is nil if it is not known at all. mu must be held.
func (t *Topology) hides(name string, s *service) bool {
	return t.all && name != "" && name != master && (s == nil || !s.known)
}

// setRule gives a Service, which there is or not, another rule. mu must be held.
func (t *Topology) setRule(s *service, known bool, rule Rule) (affected []string) {
	if s.known == known && slices.Equal(s.rule, rule) {
		return nil
	}
	s.known, s.rule = known, rule
	t.ruled[s] = struct{}{}
	if rule == nil {
		delete(t.ruled, s)
	}
	if !t.judge(s, nil) {
		return nil
	}
	return []string{s.name}
}

// service returns one, which is made if it is not there. mu must be held.
func (t *Topology) service(name string) *service {
	s := t.services[name]
	if s == nil {
		s = &service{name: name}
		t.services[name] = s
	}
	return s
}

// forget removes a Service that neither is there nor has EndpointSlices. mu must be held.
func (t *Topology) forget(s *service) {
	if !s.known && len(s.slices) == 0 {
		delete(t.services, s.name)
	}
}

// head is what is read of an EndpointSlice that is filtered.
type head struct {
	Metadata struct {
		Name      string            `json:"name"`
		Namespace string            `json:"namespace"`
		Labels    map[string]string `json:"labels"`
	} `json:"metadata"`
	AddressType string `json:"addressType"`
}

// partial is what is read of one that there is.
type partial struct {
	head
	Endpoints []struct {
		NodeName   string `json:"nodeName"`
		Conditions struct {
			Ready *bool `json:"ready"`
		} `json:"conditions"`
	} `json:"endpoints"`
}

// serviceLabel is that of discovery.k8s.io, whose package is not imported for one word: it is large.
const serviceLabel = "kubernetes.io/service-name"

// service is the Service that an EndpointSlice is of, "" if of none.
func (p *head) service() string {
	if service := p.Metadata.Labels[serviceLabel]; service != "" {
		return p.Metadata.Namespace + "/" + service
	}
	return ""
}

// SetSlice says what an EndpointSlice is now: JSON, as upstream sent it. It is not kept. affected has the Service if others of its slices are to be seen otherwise;
// this one is to be shown in any case.
func (t *Topology) SetSlice(body []byte) (affected []string, err error) {
	var p partial
	if err := utiljson.Unmarshal(body, &p); err != nil {
		return nil, fmt.Errorf("an EndpointSlice that is no JSON: %w", err)
	}
	if p.Metadata.Name == "" || p.Metadata.Namespace == "" {
		return nil, errors.New("an EndpointSlice without a name or a namespace")
	}
	l := &slice{name: p.Metadata.Namespace + "/" + p.Metadata.Name, addresses: unique.Make(p.AddressType), endpoints: make([]endpoint, len(p.Endpoints))}
	for i := range p.Endpoints {
		ready := p.Endpoints[i].Conditions.Ready
		l.endpoints[i] = endpoint{node: unique.Make(p.Endpoints[i].NodeName), ready: ready == nil || *ready}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if before := t.owners[l.name]; before != nil && before.name != p.service() {
		affected = t.remove(before, l.name) // its label was changed
	}
	if p.service() == "" {
		return affected, nil
	}
	s := t.service(p.service())
	t.owners[l.name] = s
	s.slices = append(s.without(l.name), l)
	if t.judge(s, l) {
		affected = append(affected, s.name)
	}
	slices.Sort(affected)
	return affected, nil
}

// DeleteSlice says that there is no EndpointSlice of that name, NAMESPACE/NAME.
func (t *Topology) DeleteSlice(name string) (affected []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.owners[name]
	if s == nil {
		return nil
	}
	return t.remove(s, name)
}

// remove takes an EndpointSlice from its Service. mu must be held.
func (t *Topology) remove(s *service, slice string) (affected []string) {
	delete(t.owners, slice)
	s.slices = s.without(slice)
	defer t.forget(s)
	if t.judge(s, nil) {
		return []string{s.name}
	}
	return nil
}

// Slices are the names of the EndpointSlices of a Service, NAMESPACE/NAME, sorted.
func (t *Topology) Slices(service string) []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var names []string
	if s := t.services[service]; s != nil {
		for _, l := range s.slices {
			names = append(names, l.name)
		}
	}
	slices.Sort(names)
	return names
}

// Filter returns what of an EndpointSlice, JSON, the node sees: see the function Filter. It may be another than that which SetSlice was told of last: the place
// where its Service looks for endpoints is that of what SetSlice knows.
func (t *Topology) Filter(body []byte) ([]byte, error) {
	var p head // endpoints are many, and are looked at if there is a rule
	if err := utiljson.Unmarshal(body, &p); err != nil {
		return nil, fmt.Errorf("an EndpointSlice that is no JSON: %w", err)
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	s := t.services[p.service()]
	if t.hides(p.service(), s) {
		return Filter(body, func(string) bool { return false })
	}
	if s == nil || s.rule == nil {
		return body, nil
	}
	place := s.place(unique.Make(p.AddressType))
	return Filter(body, func(node string) bool { return t.in(place, unique.Make(node)) })
}

// judge decides where a Service looks for endpoints, and which of them are shown, and reports whether that is otherwise than before for any but those of one slice.
// mu must be held.
func (t *Topology) judge(s *service, but *slice) (differs bool) {
	s.places = nil
	if s.rule != nil {
		s.places = map[name]Scope{}
	}
	for _, l := range s.slices {
		if _, decided := s.places[l.addresses]; s.rule != nil && !decided {
			s.places[l.addresses] = t.choose(s, l.addresses)
		}
	}
	hidden := t.hides(s.name, s)
	for _, l := range s.slices {
		place := s.place(l.addresses)
		for i := range l.endpoints {
			e := &l.endpoints[i]
			shown := !hidden && t.in(place, e.node)
			differs = differs || shown != e.shown && l != but
			e.shown = shown
		}
	}
	return differs
}

// choose returns the first place of a rule that has ready endpoints with addresses of a type, or else the last.
func (t *Topology) choose(s *service, addresses name) Scope {
	for _, place := range s.rule {
		for _, l := range s.slices {
			if l.addresses == addresses && slices.ContainsFunc(l.endpoints, func(e endpoint) bool { return e.ready && t.in(place, e.node) }) {
				return place
			}
		}
	}
	return s.rule[len(s.rule)-1]
}

// in reports whether a node, or what is on none, is in a place. mu must be held.
func (t *Topology) in(place Scope, node name) bool {
	switch place {
	case Node:
		return node == t.node
	case Unit:
		unit := t.units[t.node]
		return node == t.node || node != none && unit != (name{}) && t.units[node] == unit
	}
	return true
}

// place is where a Service looks for endpoints.
func (s *service) place(addresses name) Scope {
	if s.rule == nil {
		return Anywhere
	}
	if place, decided := s.places[addresses]; decided {
		return place
	}
	return s.rule[len(s.rule)-1] // no slice of that type was there
}

// has reports whether an endpoint of a Service is on a node.
func (s *service) has(node name) bool {
	return slices.ContainsFunc(s.slices, func(l *slice) bool {
		return slices.ContainsFunc(l.endpoints, func(e endpoint) bool { return e.node == node })
	})
}

// without are the slices of a Service but one.
func (s *service) without(name string) []*slice {
	return slices.DeleteFunc(s.slices, func(l *slice) bool { return l.name == name })
}
