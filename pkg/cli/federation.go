package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	federationclient "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/federation/v1alpha1"
)

const (
	// patience is how long one request may take if --request-timeout does not say it.
	patience = 10 * time.Second
	// namesShown is how many names a sentence has.
	namesShown = 10
)

// federation is Koinon's API, as the caller sees it.
type federation struct {
	server  string
	client  rest.Interface
	timeout time.Duration
	// served is what discovery says, once it was asked; nil before.
	served []metav1.APIResource
}

// newFederation makes a client of the API at a URL, which may be one of its proxies.
func (s *source) newFederation(server string) (*federation, error) {
	config, err := s.restConfig(server)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	client, err := federationclient.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of %s: %w", server, err)
	}
	return &federation{server: server, client: client.RESTClient(), timeout: s.timeout}, nil
}

// get reads from a path. It does not wait as long as Retry-After says: what the server says now is
// to be read.
func (f *federation) get(ctx context.Context, path string, query map[string]string) rest.Result {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	request := f.client.Get().AbsPath(path).MaxRetries(0)
	for key, value := range query {
		request.Param(key, value)
	}
	return request.Do(ctx)
}

// require makes sure that the server serves a subresource.
func (f *federation) require(ctx context.Context, resource string) error {
	if err := f.discover(ctx); err != nil {
		return err
	}
	if slices.ContainsFunc(f.served, func(r metav1.APIResource) bool { return r.Name == resource }) {
		return nil
	}
	return fmt.Errorf("the server at %s does not serve %s of %s: it must be upgraded to a Koinon that does", f.server, resource, v1alpha1.SchemeGroupVersion)
}

// discover asks once what the server serves.
func (f *federation) discover(ctx context.Context) error {
	if f.served != nil {
		return nil
	}
	var list metav1.APIResourceList
	err := f.get(ctx, groupPath, nil).Into(&list)
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("the server at %s does not serve %s: it is not Koinon's; choose its context with --context", f.server, v1alpha1.SchemeGroupVersion)
	}
	if err != nil {
		return fmt.Errorf("ask the server at %s what it serves: %w", f.server, err)
	}
	f.served = append([]metav1.APIResource{}, list.APIResources...)
	return nil
}

// sight is what the caller sees of an object.
type sight int

const (
	absent sight = iota
	present
	// hidden is what he may not read.
	hidden
)

// see looks for the object of a target.
func (f *federation) see(ctx context.Context, t target) (sight, error) {
	err := f.get(ctx, strings.TrimSuffix(t.path(), "/proxy"), nil).Error()
	switch {
	case err == nil:
		return present, nil
	case apierrors.IsNotFound(err):
		return absent, nil
	case apierrors.IsForbidden(err):
		return hidden, nil
	}
	return absent, fmt.Errorf("look for %s: %w", t, err)
}

// resolve finds out what a name means, and that there is such a thing. What the caller may not read
// may be there: he may have the right to use what he has none to look at.
func (f *federation) resolve(ctx context.Context, t target, namespace string) (target, error) {
	asCluster, asCell := target{kind: cluster, name: t.name}, target{kind: cell, namespace: namespace, name: t.name}
	switch t.kind {
	case fleet:
		return t, nil
	case unknown:
		clusterSight, err := f.see(ctx, asCluster)
		if err != nil {
			return target{}, err
		}
		cellSight, err := f.see(ctx, asCell)
		if err != nil {
			return target{}, err
		}
		return f.choose(ctx, asCluster, clusterSight, asCell, cellSight)
	}
	seen, err := f.see(ctx, t)
	if err == nil && seen == absent {
		err = fmt.Errorf("there is no %s%s", t, f.others(ctx, t))
	}
	return t, err
}

// choose decides between the cluster and the cell of one name.
func (f *federation) choose(ctx context.Context, asCluster target, clusterSight sight, asCell target, cellSight sight) (target, error) {
	choice := fmt.Sprintf("say cluster/%s or cell/%s", asCluster.name, asCell.name)
	switch {
	case clusterSight == present && cellSight == present:
		return target{}, fmt.Errorf("%q is a cluster, and a cell of namespace %q: %s", asCluster.name, asCell.namespace, choice)
	case clusterSight == present:
		return asCluster, nil
	case cellSight == present:
		return asCell, nil
	case clusterSight == absent && cellSight == absent:
		return target{}, fmt.Errorf("there is no cluster %q, and no cell of that name in namespace %q%s%s",
			asCluster.name, asCell.namespace, f.others(ctx, asCluster), f.others(ctx, asCell))
	}
	return target{}, fmt.Errorf("you may not look whether %q is a cluster, or a cell of namespace %q: %s", asCluster.name, asCell.namespace, choice)
}

// others continues a sentence with the names that there are of a kind; with nothing if they may not
// be listed.
func (f *federation) others(ctx context.Context, t target) string {
	names, err := f.list(ctx, t.kind, t.namespace)
	if err != nil {
		return ""
	}
	of := string(t.kind) + "s"
	if t.kind == cell {
		of += " of " + t.namespace
	}
	if len(names) == 0 {
		return "; there are no " + of
	}
	shown := strings.Join(names[:min(len(names), namesShown)], ", ")
	if more := len(names) - namesShown; more > 0 {
		shown += fmt.Sprintf(" and %d more", more)
	}
	return "; " + of + ": " + shown
}

// list returns the names of clusters, or of cells of a namespace, sorted.
func (f *federation) list(ctx context.Context, of kind, namespace string) ([]string, error) {
	var names []string
	var into runtime.Object
	var clusters v1alpha1.ClusterList
	var cells v1alpha1.CellList
	path := groupPath + "/clusters"
	into = &clusters
	if of == cell {
		path, into = groupPath+"/namespaces/"+namespace+"/cells", &cells
	}
	if err := f.get(ctx, path, nil).Into(into); err != nil {
		return nil, fmt.Errorf("list %ss: %w", of, err)
	}
	for i := range clusters.Items {
		names = append(names, clusters.Items[i].Name)
	}
	for i := range cells.Items {
		names = append(names, cells.Items[i].Name)
	}
	slices.Sort(names)
	return names, nil
}

// sentence is what a server says of a request that failed, or why it says nothing.
func sentence(err error) string {
	var status apierrors.APIStatus
	switch {
	case errors.As(err, &status) && status.Status().Message != "":
		return status.Status().Message
	case errors.Is(err, context.DeadlineExceeded):
		return "there was no answer in time"
	}
	var unanswered *url.Error // which has the URL, too
	if errors.As(err, &unanswered) {
		return unanswered.Err.Error()
	}
	return err.Error()
}
