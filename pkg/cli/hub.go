package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	edgev1alpha1 "github.com/koinon-io/koinon/pkg/apis/edge/v1alpha1"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/placement"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/reach"
	federationclient "github.com/koinon-io/koinon/pkg/generated/clientset/versioned/typed/federation/v1alpha1"
)

// hub is the federation's API with what it says of types and targets, each of it read once. After
// load it may be used concurrently.
type hub struct {
	*federation
	system string
	// asked is how the API is asked as the caller.
	asked *rest.Config
	// requests counts those that were sent, to members too.
	requests *atomic.Int64

	mu sync.Mutex // guards what follows
	// read is what was asked for, by path, and what came of it.
	read map[string]*once
	// coming are the paths of what is not there yet, and supposed to be made.
	coming map[string]bool
}

// once is something that is read once.
type once struct {
	sync.Once
	value any
	err   error
}

// newHub makes one. system is the namespace of KubeFedClusters.
func newHub(s *source, system string) (*hub, error) {
	config, err := s.restConfig(s.server)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	requests := &atomic.Int64{}
	config.QPS = -1 // how many are sent at once is bounded where they are sent
	config.WarningHandler = rest.NoWarnings{}
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper { return counted{rt, requests} })
	client, err := federationclient.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of %s: %w", s.server, err)
	}
	return &hub{
		federation: &federation{server: s.server, client: client.RESTClient(), timeout: s.timeout},
		system:     system, asked: config, requests: requests, read: map[string]*once{}, coming: map[string]bool{},
	}, nil
}

type counted struct {
	http.RoundTripper
	requests *atomic.Int64
}

func (c counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.requests.Add(1)
	return c.RoundTripper.RoundTrip(r)
}

// sent is a request and what is sent with it.
type sent struct {
	verb, path string
	query      map[string]string
	body       []byte
	content    string
	// accept is what is asked for; JSON if it is empty.
	accept string
}

// do sends a request, and returns the answer with what the server warns of.
func (h *hub) do(ctx context.Context, s sent) (answer []byte, warnings []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	request := h.client.Verb(s.verb).AbsPath(s.path).MaxRetries(0).SetHeader("Accept", cmp.Or(s.accept, "application/json"))
	for key, value := range s.query {
		request.Param(key, value)
	}
	if s.body != nil {
		content := s.content
		if content == "" {
			content = "application/json"
		}
		request.SetHeader("Content-Type", content).Body(s.body)
	}
	result := request.Do(ctx)
	for _, warning := range result.Warnings() {
		warnings = append(warnings, warning.Text)
	}
	if err := result.Error(); err != nil { // Raw's error has not what the server says
		return nil, warnings, err
	}
	answer, err = result.Raw()
	return answer, warnings, err
}

// readInto reads what is at a path, once.
func readInto[T any](ctx context.Context, h *hub, path string) (*T, error) {
	h.mu.Lock()
	o := h.read[path]
	if o == nil {
		o = &once{}
		h.read[path] = o
	}
	h.mu.Unlock()
	o.Do(func() {
		into := new(T)
		answer, _, err := h.do(ctx, sent{verb: http.MethodGet, path: path})
		if err == nil {
			err = json.Unmarshal(answer, into)
		}
		o.value, o.err = into, err
	})
	if o.err != nil {
		return nil, o.err
	}
	return o.value.(*T), nil
}

const kubefedPath = "/apis/core.kubefed.io/v1beta1"

// types are the FederatedTypeConfigs.
func (h *hub) types(ctx context.Context) ([]v1beta1.FederatedTypeConfig, error) {
	list, err := readInto[v1beta1.FederatedTypeConfigList](ctx, h, kubefedPath+"/namespaces/"+h.system+"/federatedtypeconfigs")
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("the server at %s does not serve core.kubefed.io/v1beta1: it is not Koinon's; choose its context with --context", h.server)
	}
	if err != nil {
		return nil, fmt.Errorf("list the FederatedTypeConfigs of namespace %q: %s", h.system, sentence(err))
	}
	return list.Items, nil
}

func (h *hub) clusterPath(name string) string {
	return kubefedPath + "/namespaces/" + h.system + "/kubefedclusters/" + name
}

// clusters are the KubeFedClusters, those that cells appear as included.
func (h *hub) clusters(ctx context.Context) ([]v1beta1.KubeFedCluster, error) {
	list, err := readInto[v1beta1.KubeFedClusterList](ctx, h, kubefedPath+"/namespaces/"+h.system+"/kubefedclusters")
	if err != nil {
		return nil, fmt.Errorf("list the KubeFedClusters of namespace %q: %w", h.system, err)
	}
	return list.Items, nil
}

func (h *hub) configPath() string {
	return kubefedPath + "/namespaces/" + h.system + "/kubefedconfigs/" + v1beta1.KubeFedConfigName
}

// suppose has what is at a path read as an object that is not there yet.
func (h *hub) suppose(path string, object any) {
	o := &once{value: object}
	o.Do(func() {})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.read[path] = o
}

// config is the KubeFedConfig.
func (h *hub) config(ctx context.Context) (*v1beta1.KubeFedConfig, error) {
	config, err := readInto[v1beta1.KubeFedConfig](ctx, h, h.configPath())
	if err != nil {
		return nil, fmt.Errorf("read the KubeFedConfig of namespace %q: %s", h.system, sentence(err))
	}
	return config, nil
}

func namespacePath(name string) string { return "/api/v1/namespaces/" + name }

// namespace is one of the host; nil if there is none.
func (h *hub) namespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	namespace, err := readInto[corev1.Namespace](ctx, h, namespacePath(name))
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the namespace %q: %s", name, sentence(err))
	}
	return namespace, nil
}

// page is that of the book of owners for namespaces of a name. It is nil if there is none, or if the
// caller may not read it: the server decides by it in any case.
func (h *hub) page(ctx context.Context, name string) (*federationv1alpha1.MemberNamespace, error) {
	page, err := readInto[federationv1alpha1.MemberNamespace](ctx, h, groupPath+"/membernamespaces/"+name)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the owners of namespaces %q: %s", name, sentence(err))
	}
	return page, nil
}

// cells are those of a namespace.
func (h *hub) cells(ctx context.Context, namespace string) ([]federationv1alpha1.Cell, error) {
	list, err := readInto[federationv1alpha1.CellList](ctx, h, groupPath+"/namespaces/"+namespace+"/cells")
	if err != nil {
		return nil, fmt.Errorf("list the cells of namespace %q: %s", namespace, sentence(err))
	}
	return list.Items, nil
}

// edgeUnits are those of a namespace.
func (h *hub) edgeUnits(ctx context.Context, namespace string) ([]edgev1alpha1.EdgeUnit, error) {
	list, err := readInto[edgev1alpha1.EdgeUnitList](ctx, h, "/apis/"+edgev1alpha1.SchemeGroupVersion.String()+"/namespaces/"+namespace+"/edgeunits")
	if err != nil {
		return nil, fmt.Errorf("list the edge units of namespace %q: %s", namespace, sentence(err))
	}
	return list.Items, nil
}

// members are the KubeFedClusters by name. Who may not list them sees none, and does without them
// unless an object is placed in clusters: known says whether they are.
func (h *hub) members(ctx context.Context, topologyType string) (members map[string]*v1beta1.KubeFedCluster, known bool, err error) {
	clusters, err := h.clusters(ctx)
	switch {
	case apierrors.IsForbidden(err) && topology.Base(topologyType) != v1beta2.TopologyCluster:
		return nil, false, nil
	case err != nil:
		return nil, false, errors.New(sentence(err))
	}
	members = make(map[string]*v1beta1.KubeFedCluster, len(clusters))
	for i := range clusters {
		members[clusters[i].Name] = &clusters[i]
	}
	return members, true, nil
}

// candidates are all clusters, cells or edge units that the object may be in, and those that it may not,
// with why.
func (h *hub) candidates(ctx context.Context, o reach.Object) (candidates []placement.Candidate, err error) {
	if !topology.Known(o.TopologyType) {
		return nil, fmt.Errorf("spec.topologyType is %q, which this program does not know", o.TopologyType)
	}
	switch o.Base() {
	case v1beta2.TopologyCluster:
		clusters, err := h.clusters(ctx)
		if err != nil {
			return nil, errors.New(sentence(err))
		}
		for i := range clusters {
			candidates = append(candidates, o.Cluster(&clusters[i]))
		}
	case v1beta2.TopologyCell:
		cells, err := h.cells(ctx, o.Namespace)
		if err != nil {
			return nil, err
		}
		for i := range cells {
			candidates = append(candidates, o.Cell(&cells[i]))
		}
	default:
		units, err := h.edgeUnits(ctx, o.Namespace)
		if err != nil {
			return nil, err
		}
		for i := range units {
			candidates = append(candidates, o.EdgeUnit(&units[i]))
		}
	}
	return candidates, nil
}

// typeOf finds the type that a word means: the federated kind, or the kind of its objects in members,
// in singular or plural, with its group or without, or a short name of either. A word that means several is refused.
func (h *hub) typeOf(ctx context.Context, word string) (*v1beta1.FederatedTypeConfig, error) {
	types, err := h.types(ctx)
	if err != nil {
		return nil, err
	}
	word = strings.ToLower(word)
	// What is federated comes first: the two may have one name.
	if found, err := federatedNamed(types, word); err != nil || found != nil {
		return found, err
	}
	if found, err := targetNamed(types, word); err != nil || found != nil {
		return found, err
	}
	// The short name of a federated kind is an f and that of its objects in members.
	for _, short := range []string{word, "f" + word} {
		if found, err := onlyOne(word, h.shortNamed(ctx, types, short), federatedResource); err != nil || found != nil {
			return found, err
		}
	}
	var known []string
	for i := range types {
		known = append(known, types[i].Spec.FederatedType.PluralName)
	}
	return nil, fmt.Errorf("there is no federated type %q; there are %s", word, someNames(known))
}

// federatedNamed finds the FederatedTypeConfig whose federated kind a word names; nil if none does.
func federatedNamed(types []v1beta1.FederatedTypeConfig, word string) (*v1beta1.FederatedTypeConfig, error) {
	var found []*v1beta1.FederatedTypeConfig
	for i := range types {
		if isNamed(types[i].Spec.FederatedType, word) {
			found = append(found, &types[i])
		}
	}
	return onlyOne(word, found, federatedResource)
}

func federatedResource(c *v1beta1.FederatedTypeConfig) schema.GroupResource {
	return schema.GroupResource{Group: c.Spec.FederatedType.Group, Resource: c.Spec.FederatedType.PluralName}
}

// onlyOne returns the one that a word means, nil if it means none. Of several it says what they are called.
func onlyOne(word string, found []*v1beta1.FederatedTypeConfig, called func(*v1beta1.FederatedTypeConfig) schema.GroupResource) (*v1beta1.FederatedTypeConfig, error) {
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return found[0], nil
	}
	var types []schema.GroupResource
	for _, c := range found {
		types = append(types, called(c))
	}
	return nil, severalTypes(word, types)
}

func isNamed(r v1beta1.APIResource, word string) bool {
	kind := strings.ToLower(r.Kind)
	for _, name := range []string{r.PluralName, kind} {
		if word == name || word == name+"."+r.Group {
			return true
		}
	}
	return false
}

// shortNamed finds the types that discovery has a short name for.
func (h *hub) shortNamed(ctx context.Context, types []v1beta1.FederatedTypeConfig, word string) (found []*v1beta1.FederatedTypeConfig) {
	asked := map[string]bool{}
	for i := range types {
		group := types[i].Spec.FederatedType.Group
		if asked[group] {
			continue
		}
		asked[group] = true
		list, err := readInto[metav1.APIResourceList](ctx, h, "/apis/"+group+"/"+v1beta2.SchemeGroupVersion.Version)
		if err != nil {
			continue
		}
		for _, resource := range list.APIResources {
			for _, short := range resource.ShortNames {
				if short != word {
					continue
				}
				for j := range types {
					if f := types[j].Spec.FederatedType; f.Group == group && f.PluralName == resource.Name {
						found = append(found, &types[j])
					}
				}
			}
		}
	}
	return found
}

// someNames are as many as a sentence has room for.
func someNames(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	shown := strings.Join(names[:min(len(names), namesShown)], ", ")
	if more := len(names) - namesShown; more > 0 {
		shown += fmt.Sprintf(" and %d more", more)
	}
	return shown
}

// pathOf is where an API server has an object of a resource, or all of them if name is empty.
func pathOf(gvr schema.GroupVersionResource, namespace, name string) string {
	path := "/apis/" + gvr.Group + "/" + gvr.Version
	if gvr.Group == "" {
		path = "/api/" + gvr.Version
	}
	if namespace != "" {
		path += "/namespaces/" + namespace
	}
	path += "/" + gvr.Resource
	if name != "" {
		path += "/" + name
	}
	return path
}

// federatedPath is where the federated objects of a type are, in the version that all is decided in.
func federatedPath(ftc *v1beta1.FederatedTypeConfig, version, namespace, name string) string {
	return pathOf(federatedIn(ftc, version), namespace, name)
}

func federatedIn(ftc *v1beta1.FederatedTypeConfig, version string) schema.GroupVersionResource {
	federated := ftc.Spec.FederatedType
	return schema.GroupVersionResource{Group: federated.Group, Version: version, Resource: federated.PluralName}
}

// throughMember is the path of a member's API.
func throughMember(member, path string) string {
	return target{kind: cluster, name: member}.path() + path
}

// together does all at once, as far as limit lets it. It returns when all have ended.
func together(limit int, all ...func()) {
	var wg sync.WaitGroup
	room := make(chan struct{}, limit)
	for _, one := range all {
		room <- struct{}{}
		wg.Go(func() { // ends with one
			defer func() { <-room }()
			one()
		})
	}
	wg.Wait()
}
