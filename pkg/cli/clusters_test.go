package cli

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// tree is an object as JSON has it.
type tree = map[string]any

// fakeCluster is an API server that keeps what it is given: Koinon's, or a member's. Objects are by their path.
type fakeCluster struct {
	*httptest.Server
	// denied are rights, as "VERB RESOURCE.GROUP", that nobody has.
	denied []string
	// notReady is why a KubeFedCluster that is created is not Ready; empty if it is.
	notReady string
	// probed is when members were last looked at, which they are after each write; zero if they are not.
	probed time.Time
	// member is what is behind clusters/NAME/proxy; nil if nobody answers.
	member *fakeCluster
	// absent are collections that the server does not have.
	absent []string
	// silent answers nothing but 503.
	silent bool
	// bound is the token that is made on request; empty: one that says nothing.
	bound string
	// ahead is by how much the server's clock is ahead.
	ahead time.Duration

	mu      sync.Mutex
	objects map[string]tree // guarded by mu
	made    int             // guarded by mu
}

// kinds are of all resources that the commands use.
var kinds = map[string]string{
	"namespaces": "Namespace", "secrets": "Secret", "serviceaccounts": "ServiceAccount", "configmaps": "ConfigMap", "pods": "Pod",
	"roles": "Role", "rolebindings": "RoleBinding", "clusterroles": "ClusterRole", "clusterrolebindings": "ClusterRoleBinding", "deployments": "Deployment",
	"kubefedclusters": "KubeFedCluster", "federatedtypeconfigs": "FederatedTypeConfig", "kubefedconfigs": "KubeFedConfig",
	"cells": "Cell", "edgeunits": "EdgeUnit", "federateddeployments": "FederatedDeployment", "federatedconfigmaps": "FederatedConfigMap",
	"apiservices": "APIService", "events": "Event",
}

func newFakeCluster(t *testing.T, uid string) *fakeCluster {
	t.Helper()
	c := &fakeCluster{objects: map[string]tree{}}
	c.Server = httptest.NewUnstartedServer(c)
	c.EnableHTTP2 = true // handshakes take most of the time of a test
	c.StartTLS()
	t.Cleanup(c.Close)
	c.put("/api/v1/namespaces/kube-system", tree{"metadata": tree{"uid": uid}})
	return c
}

// put makes an object, with what a server sets.
func (c *fakeCluster) put(path string, object tree) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.putLocked(path, object)
}

func (c *fakeCluster) putLocked(path string, object tree) {
	words := strings.Split(strings.Trim(path, "/"), "/")
	metadata, _ := object["metadata"].(tree)
	if metadata == nil {
		metadata = tree{}
		object["metadata"] = metadata
	}
	c.made++
	metadata["name"] = words[len(words)-1]
	if len(words) > 4 && words[len(words)-4] == "namespaces" {
		metadata["namespace"] = words[len(words)-3]
	}
	if metadata["uid"] == nil {
		metadata["uid"] = fmt.Sprintf("uid-%d", c.made)
	}
	metadata["resourceVersion"] = fmt.Sprint(c.made)
	object["kind"] = kinds[words[len(words)-2]]
	object["apiVersion"] = words[1]
	if words[0] == "apis" {
		object["apiVersion"] = words[1] + "/" + words[2]
	}
	c.fill(object)
	c.objects[path] = object
}

// fill does what controllers do.
func (c *fakeCluster) fill(object tree) {
	switch {
	case object["kind"] == "Secret" && object["type"] == "kubernetes.io/service-account-token":
		object["data"] = tree{"token": "dDBrZW4=", "ca.crt": base64.StdEncoding.EncodeToString(pemOf(c.Certificate().Raw))}
	case object["kind"] == "KubeFedCluster" && object["status"] == nil || object["kind"] == "KubeFedCluster" && len(object["status"].(tree)) == 0:
		condition := tree{"type": "Ready", "status": "True", "lastProbeTime": nil}
		if c.notReady != "" {
			condition = tree{"type": "Offline", "status": "True", "message": c.notReady, "lastProbeTime": nil}
		}
		object["status"] = tree{"conditions": []any{condition}, "kubernetesVersion": "v1.36.2"}
	}
}

// probe has the controllers look at members since a write.
func (c *fakeCluster) probe() {
	if c.probed.IsZero() {
		return
	}
	c.probed = c.probed.Add(time.Second)
	for _, object := range c.objects {
		if status, ok := object["status"].(tree); ok && object["kind"] == "KubeFedCluster" {
			status["conditions"].([]any)[0].(tree)["lastProbeTime"] = c.probed.Format(time.RFC3339)
		}
	}
}

func (c *fakeCluster) object(path string) tree {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.objects[path]
}

// paths are those of all objects but the namespace kube-system, sorted.
func (c *fakeCluster) paths() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(c.objects)), func(path string) bool { return strings.HasSuffix(path, "/kube-system") })
}

func (c *fakeCluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if rest, ok := strings.CutPrefix(r.URL.Path, groupPath+"/clusters/"); ok {
		if _, path, through := strings.Cut(rest, "/proxy"); through && c.member != nil {
			r.URL.Path = path
			c.member.ServeHTTP(w, r)
			return
		}
		fail(w, answer{http.StatusServiceUnavailable, "the member does not answer"})
		return
	}
	w.Header().Set("Date", time.Now().Add(c.ahead).UTC().Format(http.TimeFormat))
	if c.silent {
		fail(w, answer{http.StatusServiceUnavailable, "the server is starting"})
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case r.URL.Path == "/version":
		_ = json.NewEncoder(w).Encode(tree{"gitVersion": "v1.36.2"})
	case strings.HasSuffix(r.URL.Path, "accessreviews"):
		c.review(w, r)
	case r.URL.Path == "/apis/apps":
		_ = json.NewEncoder(w).Encode(tree{"kind": "APIGroup", "apiVersion": "v1", "name": "apps", "versions": []any{
			tree{"groupVersion": "apps/v2", "version": "v2"}, tree{"groupVersion": "apps/v1", "version": "v1"}}})
	case r.URL.Path == "/api" || r.URL.Path == "/apis" || strings.Count(r.URL.Path, "/") == 2 && strings.HasPrefix(r.URL.Path, "/api/"):
		c.discover(w, r.URL.Path)
	default:
		c.serve(w, r)
	}
}

// discover serves the core group.
func (c *fakeCluster) discover(w http.ResponseWriter, path string) {
	switch path {
	case "/api":
		_ = json.NewEncoder(w).Encode(tree{"kind": "APIVersions", "versions": []any{"v1"}})
	case "/apis":
		_ = json.NewEncoder(w).Encode(tree{"kind": "APIGroupList", "apiVersion": "v1", "groups": []any{}})
	default:
		list := []any{}
		for _, name := range []string{"secrets", "serviceaccounts", "configmaps", "pods"} {
			list = append(list, tree{"name": name, "namespaced": true, "kind": kinds[name], "verbs": []any{"list"}})
		}
		_ = json.NewEncoder(w).Encode(tree{"kind": "APIResourceList", "groupVersion": "v1", "resources": list})
	}
}

// review answers what somebody may do.
func (c *fakeCluster) review(w http.ResponseWriter, r *http.Request) {
	var review tree
	_ = json.NewDecoder(r.Body).Decode(&review)
	allowed := true
	if resource, ok := review["spec"].(tree)["resourceAttributes"].(tree); ok {
		name := fmt.Sprint(resource["resource"])
		if group, _ := resource["group"].(string); group != "" {
			name += "." + group
		}
		allowed = !slices.Contains(c.denied, fmt.Sprint(resource["verb"], " ", name))
	}
	review["status"] = tree{"allowed": allowed}
	_ = json.NewEncoder(w).Encode(review)
}

// serve is REST, as far as the commands use it.
func (c *fakeCluster) serve(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	words := strings.Split(strings.Trim(path, "/"), "/")
	_, isCollection := kinds[words[len(words)-1]]
	object := c.objects[path]
	verb := map[string]string{http.MethodGet: "get", http.MethodPost: "create", http.MethodPut: "update", http.MethodDelete: "delete"}[r.Method]
	if isCollection && verb == "get" {
		verb = "list"
	}
	switch {
	case strings.HasSuffix(path, "/token"):
		_ = json.NewEncoder(w).Encode(tree{"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": tree{}, "spec": tree{},
			"status": tree{"token": cmp.Or(c.bound, "b0und"), "expirationTimestamp": "2030-01-01T00:00:00Z"}})
	case slices.Contains(c.absent, path):
		fail(w, answer{http.StatusNotFound, "the server could not find the requested resource"})
	case slices.Contains(c.denied, verb+" "+path):
		fail(w, answer{http.StatusForbidden, "you may not " + verb + " " + path})
	case verb == "list":
		c.list(w, path, words[len(words)-1], strings.Contains(r.Header.Get("Accept"), "PartialObjectMetadataList"), r.URL.Query().Get("labelSelector"))
	case verb == "create":
		body, _ := io.ReadAll(r.Body)
		var made tree
		_ = json.Unmarshal(body, &made)
		at := path + "/" + made["metadata"].(tree)["name"].(string)
		if c.objects[at] != nil {
			fail(w, answer{http.StatusConflict, "already exists"})
			return
		}
		c.putLocked(at, made)
		_ = json.NewEncoder(w).Encode(made)
	case object == nil:
		fail(w, answer{http.StatusNotFound, "not found"})
	case verb == "update":
		var changed tree
		_ = json.NewDecoder(r.Body).Decode(&changed)
		c.putLocked(path, changed)
		_ = json.NewEncoder(w).Encode(changed)
		c.probe()
	case verb == "delete":
		if finalizers, _ := object["metadata"].(tree)["finalizers"].([]any); len(finalizers) == 0 {
			delete(c.objects, path)
		}
		_ = json.NewEncoder(w).Encode(metav1.Status{Status: metav1.StatusSuccess})
	default:
		_ = json.NewEncoder(w).Encode(object)
	}
}

// list lists the objects of a collection, in all namespaces if the path names none.
func (c *fakeCluster) list(w http.ResponseWriter, path, resource string, metadataOnly bool, selector string) {
	group := strings.TrimSuffix(path, "/"+resource)
	items := []any{}
	for _, at := range slices.Sorted(maps.Keys(c.objects)) {
		rest, below := strings.CutPrefix(at, group+"/")
		words := strings.Split(rest, "/")
		if !below || words[len(words)-2] != resource || len(words) != 2 && len(words) != 4 {
			continue
		}
		object := c.objects[at]
		metadata := object["metadata"].(tree)
		if key, value, selects := strings.Cut(selector, "="); selects {
			if labels, _ := metadata["labels"].(tree); labels[key] != value {
				continue
			}
		}
		if metadataOnly {
			object = tree{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
		}
		items = append(items, object)
	}
	list := tree{"kind": kinds[resource] + "List", "apiVersion": strings.TrimPrefix(strings.TrimPrefix(group, "/apis/"), "/api/"), "items": items}
	if i := strings.Index(list["apiVersion"].(string), "/namespaces/"); i >= 0 {
		list["apiVersion"] = list["apiVersion"].(string)[:i]
	}
	if metadataOnly {
		list["kind"], list["apiVersion"] = "PartialObjectMetadataList", "meta.k8s.io/v1"
	}
	_ = json.NewEncoder(w).Encode(list)
}

const (
	koinonNamespace = "/apis/core.kubefed.io/v1beta1/namespaces/kube-federation-system"
	koinonSecrets   = "/api/v1/namespaces/kube-federation-system/secrets/"
	memberRoles     = "/apis/rbac.authorization.k8s.io/v1/clusterroles/"
	memberBindings  = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/"
	memberAccounts  = "/api/v1/namespaces/koinon-system/serviceaccounts/"
	joinRole        = "koinon:join:koinon-system:koinon"
)

// bench is a person with Koinon as the current context, and one member as context m1.
type bench struct {
	koinon, member *fakeCluster
	config         *clientcmdapi.Config
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{koinon: newFakeCluster(t, "uid-koinon"), member: newFakeCluster(t, "uid-m1"), config: clientcmdapi.NewConfig()}
	b.koinon.member = b.member
	for name, server := range map[string]*fakeCluster{"koinon": b.koinon, "m1": b.member} {
		b.config.Clusters[name] = &clientcmdapi.Cluster{Server: server.URL, CertificateAuthorityData: pemOf(server.Certificate().Raw)}
		b.config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: "of-" + name}
		b.config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	}
	b.config.CurrentContext = "koinon"
	b.federate("configmaps", "", "ConfigMap", "configmaps")
	b.federate("deployments.apps", "apps", "Deployment", "deployments")
	b.koinon.put(koinonNamespace+"/kubefedconfigs/kubefed", tree{"metadata": tree{"annotations": tree{"federation.koinon.io/federation": "f1"}}})
	return b
}

func (b *bench) federate(name, group, kind, plural string) {
	b.koinon.put(koinonNamespace+"/federatedtypeconfigs/"+name, tree{"spec": tree{
		"targetType":    tree{"group": group, "version": "v1", "kind": kind, "pluralName": plural, "scope": "Namespaced"},
		"federatedType": tree{"group": "types.kubefed.io", "version": "v1beta1", "kind": "Federated" + kind, "pluralName": "federated" + plural, "scope": "Namespaced"},
	}})
}

// run runs a command line with the bench's kubeconfig.
func (b *bench) run(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	if err := clientcmd.WriteToFile(*b.config, file); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", file)
	return run(t, args...)
}

// mustRun runs one that must succeed.
func (b *bench) mustRun(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	stdout, stderr, err := b.run(t, args...)
	if err != nil {
		t.Fatalf("%v: %v; it said %s%s", args, err, stderr, stdout)
	}
	return stdout, stderr
}
