package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/names"
)

// memberTypes is what one member serves.
type memberTypes struct {
	member string
	// types are those that have objects, in each version, with group and version filled in.
	types []metav1.APIResource
	// failed are groups of which the member does not say what is in them.
	failed map[string]bool
	// unknown is why the member could not be asked; empty if it was.
	unknown string
}

// memberTypes asks all members what they serve, in two requests each. Cells are in members, and not asked.
func (h *hub) memberTypes(ctx context.Context) ([]memberTypes, error) {
	clusters, err := h.clusters(ctx)
	if err != nil {
		return nil, errors.New(sentence(err))
	}
	clusters = slices.DeleteFunc(slices.Clone(clusters), func(c v1beta1.KubeFedCluster) bool { return strings.Contains(c.Name, ".") })
	members := make([]memberTypes, len(clusters))
	var all []func()
	for i := range clusters {
		all = append(all, func() { members[i] = h.typesOfMember(ctx, clusters[i].Name) })
	}
	together(planAtOnce, all...)
	slices.SortFunc(members, func(a, b memberTypes) int { return strings.Compare(a.member, b.member) })
	return members, context.Cause(ctx)
}

// onceIn sends requests in a context, and has no answer say that they should be sent again: client-go's discovery takes no context,
// and waits for a member that is away as long as Retry-After says, ten times.
type onceIn struct {
	http.RoundTripper
	ctx context.Context
}

func (o onceIn) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := o.RoundTripper.RoundTrip(r.WithContext(o.ctx))
	if err == nil {
		response.Header.Del("Retry-After")
	}
	return response, err
}

// typesOfMember asks one member, for as long as one request may take.
func (h *hub) typesOfMember(ctx context.Context, name string) memberTypes {
	m := memberTypes{member: name, failed: map[string]bool{}}
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	config := rest.CopyConfig(h.asked)
	// The context ends first; without a timeout discovery has one of its own.
	config.Host, config.Timeout = strings.TrimSuffix(h.server, "/")+throughMember(name, ""), 2*h.timeout
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper { return onceIn{rt, ctx} })
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		m.unknown = err.Error()
		return m
	}
	_, lists, err := client.ServerGroupsAndResources()
	var partly *discovery.ErrGroupDiscoveryFailed
	switch {
	case errors.As(err, &partly):
		for gv := range partly.Groups {
			m.failed[gv.Group] = true
		}
	case err != nil:
		m.unknown = sentence(err)
		// What the server says is not in errors of discovery.
		if _, _, err := h.do(ctx, sent{verb: http.MethodGet, path: throughMember(name, "/version")}); err != nil {
			m.unknown = sentence(err)
		}
		return m
	}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue // nobody can ask for what is in it
		}
		for _, resource := range list.APIResources {
			if strings.Contains(resource.Name, "/") {
				continue
			}
			resource.Group, resource.Version = gv.Group, gv.Version
			m.types = append(m.types, resource)
		}
	}
	return m
}

func groupResource(r *metav1.APIResource) schema.GroupResource {
	return schema.GroupResource{Group: r.Group, Resource: r.Name}
}

// meansType says how well a word names a type: by its plural, its kind, or a short name; 0 if it does not.
func meansType(r *metav1.APIResource, word string) int {
	name, group, inGroup := strings.Cut(word, ".")
	if inGroup && group != r.Group {
		return 0
	}
	switch {
	case name == r.Name:
		return 3
	case name == strings.ToLower(r.Kind) || name == r.SingularName:
		return 2
	case slices.Contains(r.ShortNames, name):
		return 1
	}
	return 0
}

// findType finds the type that a word means among those that members serve.
func findType(members []memberTypes, word string) (schema.GroupResource, error) {
	word = strings.ToLower(word)
	best, meant := 0, map[schema.GroupResource]bool{}
	for i := range members {
		for j := range members[i].types {
			r := &members[i].types[j]
			switch how := meansType(r, word); {
			case how == 0 || how < best:
			case how > best:
				best, meant = how, map[schema.GroupResource]bool{groupResource(r): true}
			default:
				meant[groupResource(r)] = true
			}
		}
	}
	found := slices.SortedFunc(maps.Keys(meant), func(a, b schema.GroupResource) int {
		return cmp.Or(strings.Compare(a.Group, b.Group), strings.Compare(a.Resource, b.Resource))
	})
	switch {
	case len(found) == 1, len(found) > 1 && found[0].Group == "": // kubectl means that of the core group, too; others can be named with theirs
		return found[0], nil
	case len(found) > 1:
		return schema.GroupResource{}, severalTypes(word, found)
	}
	return schema.GroupResource{}, noType(members, word)
}

func severalTypes(word string, types []schema.GroupResource) error {
	names := namesOfTypes(types)
	slices.Sort(names)
	return fmt.Errorf("%q is more than one type: say which of %s", word, someNames(names))
}

func namesOfTypes(types []schema.GroupResource) (names []string) {
	for _, t := range types {
		names = append(names, t.String())
	}
	return names
}

// noType says that no member serves what a word means, and what was meant perhaps. It is no longer known
// for certain where a member could not be asked.
func noType(members []memberTypes, word string) error {
	if len(members) == 0 {
		return fmt.Errorf("there is no member that could serve %q: join one with \"kubectl koinon join\"", word)
	}
	var unknown []string
	why := ""
	for _, m := range members {
		switch {
		case m.unknown != "":
			unknown, why = append(unknown, m.member), m.unknown
		case len(m.failed) > 0:
			unknown, why = append(unknown, m.member), "it does not say what is in "+strings.Join(slices.Sorted(maps.Keys(m.failed)), ", ")
		}
	}
	said := fmt.Sprintf("no member serves a type %q", word)
	if len(unknown) > 0 {
		said = fmt.Sprintf("no member that could be asked serves a type %q; not asked: %s (%s)", word, someNames(unknown), why)
	}
	if near := nearTypes(members, word); len(near) > 0 {
		said += "; near it: " + someNames(near)
	}
	return errors.New(said)
}

// nearTypes are the types whose names are like a word, those that are most like it first.
func nearTypes(members []memberTypes, word string) []string {
	name, _, _ := strings.Cut(word, ".")
	near := map[string]int{}
	for i := range members {
		for j := range members[i].types {
			r := &members[i].types[j]
			d := min(names.Distance(name, r.Name), names.Distance(name, strings.ToLower(r.Kind)))
			if d > max(1, len(name)/4) && (len(name) < 3 || !strings.Contains(r.Name, name)) {
				continue
			}
			near[groupResource(r).String()] = d
		}
	}
	return slices.SortedFunc(maps.Keys(near), func(a, b string) int { return cmp.Or(cmp.Compare(near[a], near[b]), strings.Compare(a, b)) })
}

// survey is how members serve a type.
type survey struct {
	resource   schema.GroupResource
	version    string
	kind       string
	namespaced bool
	// serving members have it in the version, others in other versions alone, and lacking ones not at all.
	serving, lacking []string
	others           map[string][]string // versions, by member
	unknown          []string            // members that did not say
	why              string
}

// neededVerbs are what the controllers do with objects of a type.
var neededVerbs = []string{"create", "delete", "get", "list", "update", "watch"}

// surveyType looks how members serve a type. Without a version it chooses the one that most members have; the
// highest of those.
func surveyType(members []memberTypes, resource schema.GroupResource, version string) (*survey, error) {
	s := &survey{resource: resource, version: version, others: map[string][]string{}}
	byMember := map[string][]string{}
	var first *metav1.APIResource
	firstMember := ""
	for i := range members {
		m := &members[i]
		for j := range m.types {
			r := &m.types[j]
			if groupResource(r) != resource {
				continue
			}
			if first == nil {
				first, firstMember = r, m.member
			}
			if r.Kind != first.Kind || r.Namespaced != first.Namespaced {
				return nil, fmt.Errorf("%s is not the same in all members: kind %s, %s in %s, and kind %s, %s in %s",
					resource, first.Kind, scopeOf(first.Namespaced), firstMember, r.Kind, scopeOf(r.Namespaced), m.member)
			}
			byMember[m.member] = append(byMember[m.member], r.Version)
		}
	}
	if first == nil {
		return nil, noType(members, resource.String())
	}
	s.kind, s.namespaced = first.Kind, first.Namespaced
	if lacks := without(neededVerbs, first.Verbs); len(lacks) > 0 {
		return nil, fmt.Errorf("%s cannot be federated: member %s has no %s for it", resource, firstMember, strings.Join(lacks, ", "))
	}
	if s.version == "" {
		s.version = mostServed(byMember)
	}
	s.sort(members, byMember)
	if len(s.serving) == 0 && version != "" {
		return nil, fmt.Errorf("no member that could be asked serves %s as %q: it is served as %s", resource, version, strings.Join(allVersions(byMember), ", "))
	}
	return s, nil
}

// sort says of each member how it serves the type.
func (s *survey) sort(members []memberTypes, byMember map[string][]string) {
	for _, m := range members {
		versions := byMember[m.member]
		switch {
		case slices.Contains(versions, s.version):
			s.serving = append(s.serving, m.member)
		case len(versions) > 0:
			s.others[m.member] = versions
		case m.unknown != "":
			s.unknown, s.why = append(s.unknown, m.member), m.unknown
		case m.failed[s.resource.Group]:
			s.unknown, s.why = append(s.unknown, m.member), "it does not say what is in "+s.resource.Group
		default:
			s.lacking = append(s.lacking, m.member)
		}
	}
}

func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(some, s) })
}

func scopeOf(namespaced bool) v1beta1.ResourceScope {
	if namespaced {
		return v1beta1.NamespaceScoped
	}
	return v1beta1.ClusterScoped
}

func mostServed(byMember map[string][]string) string {
	count := map[string]int{}
	for _, versions := range byMember {
		for _, v := range versions {
			count[v]++
		}
	}
	return slices.MaxFunc(slices.Collect(maps.Keys(count)), func(a, b string) int {
		return cmp.Or(cmp.Compare(count[a], count[b]), version.CompareKubeAwareVersionStrings(a, b))
	})
}

func allVersions(byMember map[string][]string) []string {
	seen := map[string]bool{}
	for _, versions := range byMember {
		for _, v := range versions {
			seen[v] = true
		}
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b string) int { return -version.CompareKubeAwareVersionStrings(a, b) })
}

// remarks say which members are not as the type needs them, one sentence for each case.
func (s *survey) remarks() (said []string) {
	if len(s.lacking) > 0 {
		said = append(said, fmt.Sprintf("%s: not served by %s, where targets say TypeNotServed until it is", s.resource, someNames(s.lacking)))
	}
	byVersions := map[string][]string{}
	for _, member := range slices.Sorted(maps.Keys(s.others)) {
		versions := strings.Join(s.others[member], ", ")
		byVersions[versions] = append(byVersions[versions], member)
	}
	for _, versions := range slices.Sorted(maps.Keys(byVersions)) {
		said = append(said, fmt.Sprintf("%s: %s alone in %s: what is %s is written in that version if all its fields are known there",
			s.resource, versions, someNames(byVersions[versions]), s.version))
	}
	if len(s.unknown) > 0 {
		said = append(said, fmt.Sprintf("%s: it is not known whether %s has it: %s", s.resource, someNames(s.unknown), s.why))
	}
	return said
}
