package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// answer is what the server says to a request: a status code, and the message of a Status.
type answer struct {
	code     int
	message  string
	warnings []string
	body     string
}

// send sends a body as it is: clients would not write most of these.
func (f *fixture) send(verb, path, contentType, body string) answer {
	f.t.Helper()
	path, query, _ := strings.Cut(path, "?")
	request := f.kube.Discovery().RESTClient().Verb(verb).AbsPath(path).SetHeader("Content-Type", contentType).Body([]byte(body))
	for _, parameter := range strings.FieldsFunc(query, func(r rune) bool { return r == '&' }) {
		name, value, _ := strings.Cut(parameter, "=")
		request.Param(name, value)
	}
	headers := &warnings{}
	result := request.WarningHandler(headers).Do(f.t.Context())
	var a answer
	result.StatusCode(&a.code)
	data, err := result.Raw()
	a.warnings, a.body = headers.take(), string(data)
	if err != nil {
		var status metav1.Status
		if a.message = err.Error(); json.Unmarshal(data, &status) == nil {
			a.message = status.Message
		}
	}
	return a
}

const applicationJSON = "application/json"

func TestAnObjectOfAnotherKindIsRefused(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("kinds")
	f.create(configMaps, namespace, configMap(namespace, "web"))
	f.create(deployments, namespace, deployment(namespace, "web"))
	manifest := func(apiVersion, kind string) string {
		return fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":"web","namespace":%q},"spec":{"template":{"data":{}}}}`, apiVersion, kind, namespace)
	}
	for _, version := range []string{"v1beta1", "v1beta2"} {
		served := "types.kubefed.io/" + version
		collection := fmt.Sprintf("/apis/%s/namespaces/%s/federatedconfigmaps", served, namespace)
		object, secret := collection+"/web", manifest(served, "FederatedSecret")
		const cannot = `cannot be handled as a FederatedConfigMap`
		for sentence, tc := range map[string]struct {
			verb, path, contentType, body string
			code                          int
			message                       string
		}{
			"POST":              {"POST", collection, applicationJSON, secret, 400, cannot},
			"POST in YAML":      {"POST", collection, "application/yaml", secret, 400, cannot},
			"POST of a list":    {"POST", collection, applicationJSON, fmt.Sprintf(`{"apiVersion":%q,"kind":"FederatedConfigMapList","items":[]}`, served), 400, cannot},
			"with generateName": {"POST", collection, applicationJSON, strings.Replace(secret, `"name"`, `"generateName"`, 1), 400, cannot},
			"PUT":               {"PUT", object, applicationJSON, secret, 400, cannot},
			"PUT of the status": {"PUT", object + "/status", applicationJSON, secret, 400, cannot},
			"PUT of a scale": {"PUT", strings.Replace(object, "configmaps", "deployments", 1) + "/scale", applicationJSON,
				manifest(served, "FederatedDeployment"), 400, `cannot be handled as a Scale`},
			"a merge patch":            {"PATCH", object, string(types.MergePatchType), `{"kind":"FederatedSecret"}`, 422, "FederatedSecret"},
			"a merge patch of status":  {"PATCH", object + "/status", string(types.MergePatchType), `{"kind":"FederatedSecret"}`, 422, "FederatedSecret"},
			"a JSON patch":             {"PATCH", object, string(types.JSONPatchType), `[{"op":"replace","path":"/kind","value":"FederatedSecret"}]`, 422, "FederatedSecret"},
			"apply":                    {"PATCH", object + "?fieldManager=test", string(types.ApplyPatchType), secret, 400, "FederatedSecret"},
			"apply of a new object":    {"PATCH", collection + "/new?fieldManager=test", string(types.ApplyPatchType), strings.Replace(secret, `"web"`, `"new"`, 1), 400, "FederatedSecret"},
			"another group":            {"POST", collection, applicationJSON, manifest("v1", "ConfigMap"), 400, cannot},
			"another version":          {"POST", collection, applicationJSON, manifest("types.kubefed.io/v1", "FederatedConfigMap"), 400, cannot},
			"a kind that is not there": {"POST", collection, applicationJSON, manifest(served, "FederatedNothing"), 400, cannot},
			"options of a collection":  {"DELETE", collection, applicationJSON, secret, 400, ""},
		} {
			t.Run(version+" "+sentence, func(t *testing.T) {
				got := f.send(tc.verb, tc.path, tc.contentType, tc.body)
				if got.code != tc.code || !strings.Contains(got.message+got.body, tc.message) {
					t.Errorf("got %d %s, want %d with %q", got.code, got.message, tc.code, tc.message)
				}
			})
		}
		if got := f.send("GET", collection, "", ""); strings.Contains(got.body, `"kind":"FederatedSecret"`) {
			t.Errorf("there is an object of another kind: %s", got.body)
		}
	}
}

func TestNamesAreThoseOfTheTargetKind(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("names")
	const subdomain = "a lowercase RFC 1123 subdomain must consist of"
	named := func(apiVersion, kind, field, name string) string {
		return fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{%q:%q},"spec":{"template":{},"apiEndpoint":"https://m","secretRef":{"name":"m"},"clusterName":"m","targetKind":"FederatedDeployment"},
"status":{},"templateVersion":"","overrideVersion":""}`, apiVersion, kind, field, name)
	}
	types := "types.kubefed.io/v1beta2"
	for sentence, tc := range map[string]struct{ path, manifest, want string }{
		"capitals":           {"namespaces/" + namespace + "/federatedconfigmaps", named(types, "FederatedConfigMap", "name", "Foo_Bar"), subdomain},
		"a blank":            {"namespaces/" + namespace + "/federatedconfigmaps", named(types, "FederatedConfigMap", "name", "a b"), subdomain},
		"not ASCII":          {"namespaces/" + namespace + "/federatedconfigmaps", named(types, "FederatedConfigMap", "name", "ü☃"), subdomain},
		"1,500 characters":   {"namespaces/" + namespace + "/federatedconfigmaps", named(types, "FederatedConfigMap", "name", strings.Repeat("n", 1500)), "must be no more than 253 "},
		"a bad prefix":       {"namespaces/" + namespace + "/federatedconfigmaps", named(types, "FederatedConfigMap", "generateName", "Foo_"), "metadata.generateName"},
		"in v1beta1":         {"namespaces/" + namespace + "/federatedconfigmaps", named("types.kubefed.io/v1beta1", "FederatedConfigMap", "name", "Foo_Bar"), subdomain},
		"a role":             {"federatedclusterroles", named(types, "FederatedClusterRole", "name", "system:Web"), ""},
		"a role's prefix":    {"federatedclusterroles", named(types, "FederatedClusterRole", "generateName", "system:Web:"), ""},
		"a role with a %":    {"federatedclusterroles", named(types, "FederatedClusterRole", "name", "a%b"), "may not contain '%'"},
		"a cluster":          {"namespaces/" + systemNamespace + "/kubefedclusters", named("core.kubefed.io/v1beta1", "KubeFedCluster", "name", "Foo_Bar"), subdomain},
		"a cell":             {"namespaces/" + namespace + "/cells", named("federation.koinon.io/v1alpha1", "Cell", "name", "Foo_Bar"), "a lowercase RFC 1123 label"},
		"an edge unit":       {"namespaces/" + namespace + "/edgeunits", named("edge.koinon.io/v1alpha1", "EdgeUnit", "name", "Foo_Bar"), "a lowercase RFC 1123 label"},
		"a preference":       {"namespaces/" + namespace + "/replicaschedulingpreferences", named("scheduling.kubefed.io/v1alpha1", "ReplicaSchedulingPreference", "name", "Foo_Bar"), subdomain},
		"a record":           {"namespaces/" + namespace + "/propagatedversions", named("core.kubefed.io/v1alpha1", "PropagatedVersion", "name", "Foo_Bar"), subdomain},
		"a record of a role": {"clusterpropagatedversions", named("core.kubefed.io/v1alpha1", "ClusterPropagatedVersion", "name", "clusterrole-system:Web"), ""},
	} {
		t.Run(sentence, func(t *testing.T) {
			apiVersion := f.parse(tc.manifest).GetAPIVersion()
			got := f.send("POST", "/apis/"+apiVersion+"/"+tc.path+"?dryRun=All", applicationJSON, tc.manifest)
			if tc.want == "" {
				if got.code != http.StatusCreated {
					t.Errorf("got %d %s, want it to be taken", got.code, got.message)
				}
				return
			}
			if got.code != http.StatusUnprocessableEntity || !strings.Contains(got.message, tc.want) || strings.Count(got.message, "Foo_Bar") > 2 {
				t.Errorf("got %d %s, want 422 with %q, once", got.code, got.message, tc.want)
			}
		})
	}
}

func TestKeysThatComeTwiceInsideTemplatesAndValues(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("twice")
	f.create(configMaps, namespace, configMap(namespace, "there"))
	manifest := func(name, version string) string {
		overrides := `[{"topologyName":"m1","topologyOverrides":[{"path":"/data","value":{"b":"1","b":"2"}}]}]`
		if version == "v1beta1" {
			overrides = strings.NewReplacer("topologyName", "clusterName", "topologyOverrides", "clusterOverrides").Replace(overrides)
		}
		return fmt.Sprintf(`{"apiVersion":"types.kubefed.io/%s","kind":"FederatedConfigMap","metadata":{"namespace":%q,"name":%q},
"spec":{"template":{"data":{"a":"1","a":"2"}},"overrides":%s}}`, version, namespace, name, overrides)
	}
	for _, version := range []string{"v1beta1", "v1beta2"} {
		collection := fmt.Sprintf("/apis/types.kubefed.io/%s/namespaces/%s/federatedconfigmaps", version, namespace)
		field := map[string]string{"v1beta1": "clusterOverrides", "v1beta2": "topologyOverrides"}[version]
		duplicates := []string{`duplicate field "spec.template.data.a"`, `duplicate field "spec.overrides[0].` + field + `[0].value.b"`}
		for _, verb := range []string{"POST", "PUT"} {
			path, name := collection, "new"
			if verb == "PUT" {
				path, name = collection+"/there", "there"
			}
			t.Run(version+" "+verb, func(t *testing.T) {
				got := f.send(verb, path+"?dryRun=All&fieldValidation=Strict", applicationJSON, manifest(name, version))
				if want := "strict decoding error: " + strings.Join(duplicates, ", "); got.code != http.StatusBadRequest || !strings.Contains(got.message, want) {
					t.Errorf("Strict: got %d %s, want 400 with %s", got.code, got.message, want)
				}
				got = f.send(verb, path+"?dryRun=All&fieldValidation=Warn", applicationJSON, manifest(name, version))
				if diff := cmp.Diff(duplicates, got.warnings); got.code >= 300 || diff != "" {
					t.Errorf("Warn: got %d %s, warnings (-want +got):\n%s", got.code, got.message, diff)
				}
				if !strings.Contains(got.body, `"data":{"a":"2"}`) || !strings.Contains(got.body, `"value":{"b":"2"}`) {
					t.Errorf("the last of two keys does not count: %s", got.body)
				}
				got = f.send(verb, path+"?dryRun=All&fieldValidation=Ignore", applicationJSON, manifest(name, version))
				if got.code >= 300 || got.warnings != nil {
					t.Errorf("Ignore: got %d %s, warnings %q", got.code, got.message, got.warnings)
				}
			})
		}
	}
}

func TestWhatDoesNotReachMembersIsSaidAtWrite(t *testing.T) {
	f := newFixture(t)
	namespace := f.namespace("dropped")
	propagating := func(patterns string) {
		_, err := f.kube.Discovery().RESTClient().Patch(mergePatch).
			AbsPath("/apis/core.kubefed.io/v1beta1/namespaces", systemNamespace, "federatedtypeconfigs", "configmaps").
			Body([]byte(`{"spec":{"propagatingAnnotations":` + patterns + `}}`)).Do(t.Context()).Raw()
		if err != nil {
			t.Fatal(err)
		}
	}
	propagating(`["lb.example/*"]`)
	defer propagating(`null`)
	const manifest = `{apiVersion: types.kubefed.io/%s, kind: FederatedConfigMap, metadata: {name: web, namespace: %s},
spec: {template: {metadata: {annotations: {lb.example/kind: internal, private: x}, finalizers: [a/b], creationTimestamp: null, resourceVersion: "7"}, data: {a: b}}}}`
	for _, version := range []string{"v1beta1", "v1beta2"} {
		f.eventually("the annotations that propagate are known", func(context.Context) error {
			said, err := f.apply(fmt.Sprintf(manifest, version, namespace), "create", "--dry-run=server")
			if err != nil {
				t.Fatal(said)
			}
			want := `Warning: spec.template.metadata.annotations[private]: is not sent to members: no pattern in spec.propagatingAnnotations of the FederatedTypeConfig matches it
Warning: spec.template.metadata.finalizers: are not sent to members: they are for controllers of this cluster
Warning: spec.template.metadata.resourceVersion: is not sent to members: their API servers set it
federatedconfigmap.types.kubefed.io/web created (server dry run)`
			if diff := cmp.Diff(want, said); diff != "" {
				return fmt.Errorf("(-want +got):\n%s", diff)
			}
			return nil
		})
	}
}
