package fleet

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	apidiscovery "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"
)

// typeList is the types of one member, or of all. It is never modified.
type typeList struct {
	groups []apidiscovery.APIGroupDiscovery
}

// typesCache keeps what members have said about their types, so that they need not say it again
// while it is the same: they are asked each time, with the tag of what is kept. Members that serve
// the same share what is kept.
type typesCache struct {
	mu sync.Mutex
	// Guarded by mu. byMember is keyed by the member's name and the path.
	byMember map[[2]string]keptTypes
	byHash   map[[sha256.Size]byte]*typeList
}

type keptTypes struct {
	tag   string
	types *typeList
}

const (
	maxKeptTypes  = 128
	maxKeptTags   = 2 * maxMembers
	maxTagBytes   = 256
	maxOldDetails = 300 // groups and versions of a member without aggregated discovery
)

func newTypesCache() *typesCache {
	return &typesCache{byMember: map[[2]string]keptTypes{}, byHash: map[[sha256.Size]byte]*typeList{}}
}

func (c *typesCache) get(member, path string) (keptTypes, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept, found := c.byMember[[2]string{member, path}]
	return kept, found
}

// put keeps what a member said. What is kept of all is forgotten if it is too much.
func (c *typesCache) put(member, path, tag string, types *typeList) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.byMember) >= maxKeptTags {
		clear(c.byMember)
	}
	if len(tag) > maxTagBytes {
		tag = ""
	}
	c.byMember[[2]string{member, path}] = keptTypes{tag, types}
}

// intern reads a document, or finds out that it is one that was read before.
func (c *typesCache) intern(data []byte) (*typeList, error) {
	sum := sha256.Sum256(data)
	c.mu.Lock()
	types := c.byHash[sum]
	c.mu.Unlock()
	if types != nil {
		return types, nil
	}
	var document apidiscovery.APIGroupDiscoveryList
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, err
	}
	types = trim(document.Items)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.byHash) >= maxKeptTypes {
		clear(c.byHash)
	}
	c.byHash[sum] = types
	return types, nil
}

// verbsHere are what can be done with types of a fleet.
var verbsHere = []string{"get", "list", "watch"}

// trim leaves out what cannot be done here.
func trim(groups []apidiscovery.APIGroupDiscovery) *typeList {
	out := &typeList{}
	for _, group := range groups {
		kept := apidiscovery.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: group.Name}}
		for _, v := range group.Versions {
			resources := []apidiscovery.APIResourceDiscovery{}
			for _, r := range v.Resources {
				r.Subresources = nil
				r.Verbs = slices.DeleteFunc(slices.Clone(r.Verbs), func(verb string) bool { return !slices.Contains(verbsHere, verb) })
				if len(r.Verbs) > 0 && r.Resource != "" && !strings.Contains(r.Resource, "/") {
					resources = append(resources, r)
				}
			}
			if v.Version != "" && len(resources) > 0 {
				kept.Versions = append(kept.Versions, apidiscovery.APIVersionDiscovery{Version: v.Version, Resources: resources, Freshness: v.Freshness})
			}
		}
		if len(kept.Versions) > 0 {
			out.groups = append(out.groups, kept)
		}
	}
	return out
}

// allTypes asks all members for their types.
func (c *call) allTypes(ctx context.Context) (*typeList, failures) {
	types, problems := make([]*typeList, len(c.members)), make([]*failure, len(c.members))
	c.each(func(i int, m Member) { types[i], problems[i] = c.typesOf(ctx, m) })
	var failed failures
	weights, order := map[*typeList]int{}, []*typeList{}
	for i := range c.members {
		if problems[i] != nil {
			failed = append(failed, problems[i])
			continue
		}
		if weights[types[i]]++; weights[types[i]] == 1 {
			order = append(order, types[i])
		}
	}
	slices.SortStableFunc(order, func(a, b *typeList) int { return weights[b] - weights[a] })
	return uniteTypes(order, weights), failed
}

const aggregatedAccept = "application/json;g=" + discoveryGroup + ";v=v2;as=" + discoveryKind + ",application/json;g=" + discoveryGroup + ";v=v2beta1;as=" + discoveryKind + ",application/json"

// typesOf asks one member. One that does not answer has the types that it had.
func (c *call) typesOf(ctx context.Context, m Member) (*typeList, *failure) {
	path := c.path[0] // api or apis
	kept, known := c.types.get(m.Name, path)
	header := http.Header{"Accept": {aggregatedAccept}}
	asked := ctx
	if known {
		p := waiting(ctx, 2*c.config.Slow, &errSlow{"it did not answer in time"})
		defer p.end()
		asked = p
		if kept.tag != "" {
			header.Set("If-None-Match", kept.tag)
		}
	}
	a, f := c.ask(asked, m, []string{path}, nil, header)
	switch {
	case f != nil && known, f == nil && a.code == http.StatusNotModified && known:
		return kept.types, nil
	case f != nil:
		return nil, f
	case a.code >= 500 && known:
		return kept.types, nil
	case a.code != http.StatusOK:
		return nil, refusal(m.Name, a.code, a.body)
	}
	types, err := c.readTypes(ctx, m, a.body)
	if err != nil {
		return nil, failed(m.Name, http.StatusServiceUnavailable, "its types cannot be read: %v", err)
	}
	c.types.put(m.Name, path, a.header.Get("ETag"), types)
	return types, nil
}

// readTypes reads a document of types. Members older than Kubernetes 1.27 have one for each group
// and version.
func (c *call) readTypes(ctx context.Context, m Member, data []byte) (*typeList, error) {
	var old struct {
		Kind     string            `json:"kind"`
		Versions []string          `json:"versions"`
		Groups   []metav1.APIGroup `json:"groups"`
	}
	if err := json.Unmarshal(data, &old); err != nil {
		return nil, err
	}
	switch old.Kind {
	case discoveryKind:
		return c.types.intern(data)
	case "APIVersions":
		group := metav1.APIGroup{}
		for _, v := range old.Versions {
			group.Versions = append(group.Versions, metav1.GroupVersionForDiscovery{Version: v})
		}
		old.Groups = []metav1.APIGroup{group}
	case "APIGroupList":
	default:
		return nil, fmt.Errorf("they are a %.100q", old.Kind)
	}
	return c.oldTypes(ctx, m, old.Groups)
}

// oldTypes asks for each group and version, and interns what that makes.
func (c *call) oldTypes(ctx context.Context, m Member, groups []metav1.APIGroup) (*typeList, error) {
	document, n := apidiscovery.APIGroupDiscoveryList{}, 0
	for _, g := range groups {
		group := apidiscovery.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: g.Name}}
		for _, v := range g.Versions {
			if n++; n > maxOldDetails {
				return nil, fmt.Errorf("there are more than %d groups and versions", maxOldDetails)
			}
			path := []string{"apis", g.Name, v.Version}
			if g.Name == "" {
				path = []string{"api", v.Version}
			}
			version := apidiscovery.APIVersionDiscovery{Version: v.Version}
			a, f := c.ask(ctx, m, path, nil, http.Header{"Accept": {"application/json"}})
			var list metav1.APIResourceList
			if f != nil || a.code != http.StatusOK || json.Unmarshal(a.body, &list) != nil {
				continue // a server of the member that is away
			}
			for _, r := range list.APIResources {
				version.Resources = append(version.Resources, discovered(r, g.Name, v.Version))
			}
			group.Versions = append(group.Versions, version)
		}
		document.Items = append(document.Items, group)
	}
	data, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	return c.types.intern(data)
}

func discovered(r metav1.APIResource, group, version string) apidiscovery.APIResourceDiscovery {
	scope := apidiscovery.ScopeCluster
	if r.Namespaced {
		scope = apidiscovery.ScopeNamespace
	}
	return apidiscovery.APIResourceDiscovery{
		Resource: r.Name, SingularResource: r.SingularName, Scope: scope, Verbs: r.Verbs, ShortNames: r.ShortNames, Categories: r.Categories,
		ResponseKind: &metav1.GroupVersionKind{Group: cmp.Or(r.Group, group), Version: cmp.Or(r.Version, version), Kind: r.Kind},
	}
}

// uniteTypes returns all types of lists that so many members have each, those of most first. In a
// group, the version comes first that most members serve, since objects of others are not seen by who
// asks for it; then the later one. What is said twice about a type is true as the first list says it.
func uniteTypes(lists []*typeList, weights map[*typeList]int) *typeList {
	if len(lists) == 1 {
		return lists[0]
	}
	out := &typeList{groups: []apidiscovery.APIGroupDiscovery{}}
	serve := map[[2]string]int{} // group, version
	for _, list := range lists {
		for _, group := range list.groups {
			i := slices.IndexFunc(out.groups, func(g apidiscovery.APIGroupDiscovery) bool { return g.Name == group.Name })
			if i < 0 {
				i = len(out.groups)
				out.groups = append(out.groups, apidiscovery.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: group.Name}})
			}
			for _, v := range group.Versions {
				serve[[2]string{group.Name, v.Version}] += weights[list]
				addVersion(&out.groups[i], v)
			}
		}
	}
	for i := range out.groups {
		g := &out.groups[i]
		slices.SortStableFunc(g.Versions, func(a, b apidiscovery.APIVersionDiscovery) int {
			return cmp.Or(serve[[2]string{g.Name, b.Version}]-serve[[2]string{g.Name, a.Version}],
				version.CompareKubeAwareVersionStrings(b.Version, a.Version))
		})
	}
	return out
}

func addVersion(group *apidiscovery.APIGroupDiscovery, v apidiscovery.APIVersionDiscovery) {
	i := slices.IndexFunc(group.Versions, func(known apidiscovery.APIVersionDiscovery) bool { return known.Version == v.Version })
	if i < 0 {
		v.Resources = slices.Clone(v.Resources)
		group.Versions = append(group.Versions, v)
		return
	}
	known := &group.Versions[i]
	if v.Freshness == apidiscovery.DiscoveryFreshnessCurrent {
		known.Freshness = v.Freshness
	}
	for _, r := range v.Resources {
		at := slices.IndexFunc(known.Resources, func(k apidiscovery.APIResourceDiscovery) bool { return k.Resource == r.Resource })
		if at < 0 {
			known.Resources = append(known.Resources, r)
			continue
		}
		have := &known.Resources[at]
		for _, verb := range r.Verbs {
			if !slices.Contains(have.Verbs, verb) {
				have.Verbs = append(slices.Clone(have.Verbs), verb)
			}
		}
	}
}
