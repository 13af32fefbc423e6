package cli

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
)

// kind is what a target is.
type kind string

const (
	// unknown is a name that may be of a cluster or of a cell.
	unknown kind = ""
	cluster kind = "cluster"
	cell    kind = "cell"
	fleet   kind = "fleet"
)

// target is what clients are to reach through the federation's API. namespace is of cells alone.
type target struct {
	kind            kind
	namespace, name string
}

// everything is all clusters at once.
var everything = target{kind: fleet, name: "all"}

// parseTarget reads CLUSTER, CELL, cluster/NAME or cell/NAME. namespace is where cells are looked
// for. Of a bare name the kind is unknown.
func parseTarget(word, namespace string) (target, error) {
	t := target{name: word}
	if prefix, name, ok := strings.Cut(word, "/"); ok {
		t.name = name
		switch strings.ToLower(prefix) {
		case "cluster", "clusters":
			t.kind = cluster
		case "cell", "cells":
			t.kind, t.namespace = cell, namespace
		default:
			return target{}, fmt.Errorf("%q is no name: it must be CLUSTER, CELL, cluster/CLUSTER or cell/CELL", word)
		}
	}
	if problems := validation.IsDNS1123Subdomain(t.name); len(problems) > 0 {
		return target{}, fmt.Errorf("%q is no name of a cluster or cell: %s", t.name, problems[0])
	}
	return t, nil
}

// resource is the subresource through which it is reached.
func (t target) resource() string { return string(t.kind) + "s/proxy" }

// path is where the API serves it.
func (t target) path() string {
	switch t.kind {
	case cell:
		return v1alpha1.CellProxyPath(t.namespace, t.name)
	case fleet:
		return v1alpha1.FleetProxyPath(t.name)
	}
	return v1alpha1.ClusterProxyPath(t.name)
}

// suffix tells it from others in names of contexts.
func (t target) suffix() string {
	switch t.kind {
	case cell:
		return t.namespace + "/" + t.name
	case fleet:
		return "fleet"
	}
	return t.name
}

// String is how it is called in sentences.
func (t target) String() string {
	switch t.kind {
	case cell:
		return fmt.Sprintf("cell %q of namespace %q", t.name, t.namespace)
	case fleet:
		return "the fleet"
	}
	return fmt.Sprintf("cluster %q", t.name)
}

var (
	groupPath = "/apis/" + v1alpha1.SchemeGroupVersion.String()

	proxied = regexp.MustCompile("^(.*?)" + regexp.QuoteMeta(groupPath) +
		"/(?:namespaces/([^/]+)/)?(cluster|cell|fleet)s/([^/]+)/proxy/?$")
)

// splitServer tells the URL of the federation's API from what one of its proxies adds. The second is
// nil if nothing is added: the server is no member.
func splitServer(server string) (string, *target) {
	found := proxied.FindStringSubmatch(server)
	if found == nil {
		return strings.TrimSuffix(server, "/"), nil
	}
	return found[1], &target{kind: kind(found[3]), namespace: found[2], name: found[4]}
}

// hostOf is a name for a server that no context names.
func hostOf(server string) string {
	if parsed, err := url.Parse(server); err == nil && parsed.Host != "" {
		return parsed.Host
	}
	return server
}
