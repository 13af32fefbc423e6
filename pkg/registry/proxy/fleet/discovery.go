package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	apidiscovery "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	discoveryGroup = "apidiscovery.k8s.io"
	discoveryKind  = "APIGroupDiscoveryList"
)

// discover answers what types there are: all that some member serves, with what can be done with
// them here.
func (c *call) discover(ctx context.Context, w http.ResponseWriter) error {
	types, failures := c.allTypes(ctx)
	if len(c.members) > 0 && len(failures) == len(c.members) {
		return failures.all("the types that it serves")
	}
	answer := c.discoveryOf(types)
	if answer == nil {
		if len(failures) > 0 {
			return failures.all("types of /" + strings.Join(c.path, "/"))
		}
		return status(http.StatusNotFound, fmt.Sprintf("no cluster serves /%s", strings.Join(c.path, "/")))
	}
	data, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("write the types: %w", err)
	}
	failures.warn(w.Header())
	c.answerTypes(w, data)
	return nil
}

// answerTypes writes a document. Clients keep it, and ask whether it is another now.
func (c *call) answerTypes(w http.ResponseWriter, data []byte) {
	sum := sha256.Sum256(data)
	tag := `"` + strings.ToUpper(hex.EncodeToString(sum[:])) + `"`
	w.Header().Set("ETag", tag)
	w.Header().Set("Vary", "Accept")
	w.Header().Set("Cache-Control", "public")
	contentType := "application/json"
	if version := c.aggregated(); version != "" {
		contentType += ";g=" + discoveryGroup + ";v=" + version + ";as=" + discoveryKind
	}
	if c.tag == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(data)
}

// aggregated is the version of the aggregated document that the client wants; "" for none.
func (c *call) aggregated() string {
	if len(c.path) > 1 {
		return ""
	}
	for _, a := range c.accept {
		version := a.parameters["v"]
		if a.parameters["as"] == discoveryKind && a.parameters["g"] == discoveryGroup && (version == "v2" || version == "v2beta1") {
			return version
		}
		if a.parameters["as"] == "" {
			break
		}
	}
	return ""
}

// discoveryOf returns the document that the path is about; nil if there is none.
func (c *call) discoveryOf(types *typeList) any {
	if version := c.aggregated(); version != "" {
		return &apidiscovery.APIGroupDiscoveryList{
			TypeMeta: metav1.TypeMeta{Kind: discoveryKind, APIVersion: discoveryGroup + "/" + version},
			Items:    types.groups,
		}
	}
	switch {
	case len(c.path) == 1 && c.path[0] == "api":
		return &metav1.APIVersions{
			TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: versionsIn(types.groups), ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{},
		}
	case len(c.path) == 1:
		list := &metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: []metav1.APIGroup{}}
		for _, group := range types.groups {
			list.Groups = append(list.Groups, groupOf(group))
		}
		return list
	case len(c.path) == 2 && c.path[0] == "apis":
		i := slices.IndexFunc(types.groups, func(g apidiscovery.APIGroupDiscovery) bool { return g.Name == c.path[1] })
		if i < 0 {
			return nil
		}
		group := groupOf(types.groups[i])
		group.TypeMeta = metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}
		return &group
	case c.path[0] == "api":
		return types.resourcesOf("", c.path[1])
	}
	return types.resourcesOf(c.path[1], c.path[2])
}

func versionsIn(groups []apidiscovery.APIGroupDiscovery) []string {
	out := []string{}
	for _, group := range groups {
		for _, version := range group.Versions {
			out = append(out, version.Version)
		}
	}
	return out
}

func groupOf(g apidiscovery.APIGroupDiscovery) metav1.APIGroup {
	group := metav1.APIGroup{Name: g.Name}
	for _, version := range g.Versions {
		group.Versions = append(group.Versions, metav1.GroupVersionForDiscovery{
			GroupVersion: g.Name + "/" + version.Version, Version: version.Version,
		})
	}
	group.PreferredVersion = group.Versions[0]
	return group
}

// resourcesOf returns the list of a group and version, nil if there is none.
func (t *typeList) resourcesOf(group, version string) any {
	for _, g := range t.groups {
		for _, v := range g.Versions {
			if g.Name == group && v.Version == version {
				return resourceList(g.Name, v)
			}
		}
	}
	return nil
}

func resourceList(group string, v apidiscovery.APIVersionDiscovery) *metav1.APIResourceList {
	list := &metav1.APIResourceList{
		TypeMeta:     metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"},
		GroupVersion: metav1.GroupVersion{Group: group, Version: v.Version}.String(), APIResources: []metav1.APIResource{},
	}
	for _, r := range v.Resources {
		one := metav1.APIResource{
			Name: r.Resource, SingularName: r.SingularResource, Namespaced: r.Scope == apidiscovery.ScopeNamespace,
			Verbs: r.Verbs, ShortNames: r.ShortNames, Categories: r.Categories,
		}
		if kind := r.ResponseKind; kind != nil {
			one.Kind = kind.Kind
			if kind.Group != "" && kind.Group != group || kind.Version != "" && kind.Version != v.Version {
				one.Group, one.Version = kind.Group, kind.Version
			}
		}
		list.APIResources = append(list.APIResources, one)
	}
	return list
}
