package serving_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/federated/serving"
)

// permissions are what users may do beside the verbs of HTTP: "verb resource.group
// namespace/name" by user.
type permissions map[string][]string

func (p permissions) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	resource := a.GetResource()
	if a.GetAPIGroup() != "" {
		resource += "." + a.GetAPIGroup()
	}
	if slices.Contains(p[a.GetUser().GetName()], fmt.Sprintf("%s %s %s/%s", a.GetVerb(), resource, a.GetNamespace(), a.GetName())) {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

// hostLabels are those of the only namespace of a host.
type hostLabels map[string]string

func (h hostLabels) CurrentLabels(context.Context, string) (map[string]string, error) { return h, nil }

func kindOf(group, kind, resource string) federated.Kind {
	return federated.Kind{
		Kind: "Federated" + kind, Resource: resource, Namespaced: true,
		Target: schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind}, TargetNamespaced: kind != "Namespace",
	}
}

func federatedOf(version, kind, name string, spec object) object {
	return object{"apiVersion": "types.kubefed.io/" + version, "kind": kind, "metadata": object{"name": name, "namespace": namespace}, "spec": spec}
}

func expect(t *testing.T, a *api, what string, code int, r request) {
	t.Helper()
	got, answer := a.do(r)
	if got != code {
		t.Errorf("%s: got %d: %v; want %d", what, got, answer["message"], code)
	}
	if message, _ := answer["message"].(string); code == http.StatusForbidden && !strings.Contains(message, "takes the verb") {
		t.Errorf("%s: got %q, want what it takes", what, message)
	}
}

func TestNobodyGrantsInMembersWithoutTheVerbHere(t *testing.T) {
	for name, kind := range map[string]struct {
		kind federated.Kind
		verb string
	}{
		"roles":                             {kindOf("rbac.authorization.k8s.io", "Role", "federatedroles"), "escalate"},
		"bindings":                          {kindOf("rbac.authorization.k8s.io", "RoleBinding", "federatedrolebindings"), "bind"},
		"cluster roles by another group":    {kindOf("authorization.openshift.io", "ClusterRole", "federatedclusterroles"), "escalate"},
		"kinds that the group may yet have": {kindOf("rbac.authorization.k8s.io", "RoleCondition", "federatedroleconditions"), "escalate"},
	} {
		t.Run(name, func(t *testing.T) {
			k := kind.kind
			a := serve(t, serving.Config{Authorizer: permissions{
				"root": {fmt.Sprintf("%s %s.types.kubefed.io %s/all", kind.verb, k.Resource, namespace)},
			}}, k)
			spec := func(template object, more object) object {
				out := object{"template": template}
				maps.Copy(out, more)
				return out
			}
			template := object{"rules": []any{object{"verbs": []any{"get"}}}}
			wider := object{"rules": []any{object{"verbs": []any{"*"}}}}
			send := func(user, method, version, contentType string, body any) request {
				return request{method: method, version: version, name: "all", resource: k.Resource, user: user, contentType: contentType, manager: user, force: contentType == applyPatch, body: body}
			}
			for _, version := range []string{"v1beta1", "v1beta2"} {
				expect(t, a, "create in "+version, http.StatusForbidden, send("mallory", http.MethodPost, version, jsonBody, federatedOf(version, k.Kind, "all", spec(template, nil))))
				expect(t, a, "apply of a new one in "+version, http.StatusForbidden, send("mallory", http.MethodPatch, version, applyPatch, federatedOf(version, k.Kind, "all", spec(template, nil))))
			}
			expect(t, a, "create by whom may", http.StatusCreated, send("root", http.MethodPost, "v1beta2", jsonBody, federatedOf("v1beta2", k.Kind, "all", spec(template, nil))))

			const selected = `{"topologyType":"cluster","selectorOverrides":[{"index":0,"override":{"topologySelector":{},"topologyOverrides":[{"path":"/rules","op":"add","value":["*"]}]}}]}`
			overridden := map[string]object{
				"v1beta1": {"overrides": []any{object{"clusterName": "m1", "clusterOverrides": []any{object{"path": "/rules", "op": "add", "value": []any{"*"}}}}}},
				"v1beta2": {"overrides": []any{object{"topologyName": "m1", "topologyOverrides": []any{object{"path": "/rules", "op": "add", "value": []any{"*"}}}}}},
			}
			for version, overrides := range overridden {
				for what, r := range map[string]request{
					"PUT of a template":      send("mallory", http.MethodPut, version, jsonBody, federatedOf(version, k.Kind, "all", spec(wider, nil))),
					"merge patch":            send("mallory", http.MethodPatch, version, mergePatch, object{"spec": spec(wider, nil)}),
					"JSON patch":             send("mallory", http.MethodPatch, version, jsonPatch, []any{object{"op": "replace", "path": "/spec/template", "value": wider}}),
					"apply":                  send("mallory", http.MethodPatch, version, applyPatch, federatedOf(version, k.Kind, "all", spec(wider, nil))),
					"patch of the overrides": send("mallory", http.MethodPatch, version, mergePatch, object{"spec": overrides}),
					"patch of the annotation": send("mallory", http.MethodPatch, "v1beta1", mergePatch, object{"metadata": object{"annotations": object{
						"federation.koinon.io/topology": selected}}}),
				} {
					expect(t, a, what+" in "+version, http.StatusForbidden, r)
				}
				expect(t, a, "metadata in "+version, http.StatusOK, send("mallory", http.MethodPatch, version, mergePatch, object{"metadata": object{"finalizers": []any{"example.com/" + version}}}))
				status := send("mallory", http.MethodPatch, version, mergePatch, object{"status": object{"observedGeneration": 1}})
				status.subresource = "status"
				expect(t, a, "status in "+version, http.StatusOK, status)
			}
			expect(t, a, "patch by whom may", http.StatusOK, send("root", http.MethodPatch, "v1beta2", mergePatch, object{"spec": spec(wider, nil)}))
			expect(t, a, "finalizers come off", http.StatusOK, send("mallory", http.MethodPatch, "v1beta2", mergePatch, object{"metadata": object{"finalizers": nil}}))
			expect(t, a, "deletion", http.StatusOK, send("mallory", http.MethodDelete, "v1beta2", "", nil))
		})
	}
}

// namespaces is a server of FederatedNamespaces to mallory, who may do no more with the
// namespace, and to root.
func namespaces(t *testing.T, labels hostLabels) *api {
	return serve(t, serving.Config{Namespaces: labels, Authorizer: permissions{"root": {
		"delete namespaces shop/shop", "escalate federatednamespaces.types.kubefed.io shop/shop",
	}}}, kindOf("", "Namespace", "federatednamespaces"))
}

func namespaceRequest(user, method, contentType string, body any) request {
	return request{method: method, version: "v1beta2", name: "shop", resource: "federatednamespaces", user: user, contentType: contentType, manager: user, body: body}
}

func labelled(labels object, more object) object {
	spec := object{"template": object{"metadata": object{"labels": labels}}}
	maps.Copy(spec, more)
	return federatedOf("v1beta2", "FederatedNamespace", "shop", spec)
}

func placed(names ...string) object {
	var targets []any
	for _, name := range names {
		targets = append(targets, object{"name": name})
	}
	return object{"placement": object{"topologies": targets}}
}

func TestAFederatedNamespaceHasLabelsOnlyAsItsNamespaceDoes(t *testing.T) {
	const enforce = "pod-security.kubernetes.io/enforce"
	for name, test := range map[string]struct {
		labels, more object
		want         int
	}{
		"as the host":                 {object{enforce: "restricted", "kubernetes.io/metadata.name": "shop", "team": "a"}, nil, http.StatusCreated},
		"weaker Pod Security":         {object{enforce: "privileged"}, nil, http.StatusUnprocessableEntity},
		"Pod Security that it lacks":  {object{"pod-security.kubernetes.io/warn": "privileged"}, nil, http.StatusUnprocessableEntity},
		"another tenant":              {object{"federation.koinon.io/tenant": "b"}, nil, http.StatusUnprocessableEntity},
		"another name":                {object{"kubernetes.io/metadata.name": "kube-system"}, nil, http.StatusUnprocessableEntity},
		"what network policies go by": {object{"name": "kube-system"}, nil, http.StatusUnprocessableEntity},
		"what a mesh goes by":         {object{"istio.io/rev": "x"}, nil, http.StatusUnprocessableEntity},
		"an override of a label":      {object{}, patched("/metadata/labels/team", `b`), http.StatusUnprocessableEntity},
		"an override of all labels":   {object{}, patched("/metadata/labels", object{enforce: "restricted"}), http.StatusUnprocessableEntity},
		"an override of all metadata": {object{}, patched("/metadata", object{}), http.StatusUnprocessableEntity},
		"an override of an owner":     {object{}, patched("/metadata/ownerReferences", []any{object{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "1"}}), http.StatusUnprocessableEntity},
		"an override of finalizers":   {object{}, patched("/metadata/finalizers", []any{"example.com/for-ever"}), http.StatusUnprocessableEntity},
		"an override of annotations":  {object{}, patched("/metadata/annotations", object{"scheduler.alpha.kubernetes.io/node-selector": "pool=gpu"}), http.StatusUnprocessableEntity},
	} {
		t.Run(name, func(t *testing.T) {
			a := namespaces(t, hostLabels{enforce: "restricted", "kubernetes.io/metadata.name": "shop", "team": "a"})
			expect(t, a, "create", test.want, namespaceRequest("mallory", http.MethodPost, jsonBody, labelled(test.labels, test.more)))
		})
	}
	a := namespaces(t, hostLabels{enforce: "restricted", "team": "a"})
	a.must(namespaceRequest("mallory", http.MethodPost, jsonBody, labelled(object{enforce: "restricted", "team": "a"}, nil)))
	without := object{"spec": object{"template": object{"metadata": object{"labels": object{enforce: nil}}}}}
	expect(t, a, "taking away what the namespace has", http.StatusForbidden, namespaceRequest("mallory", http.MethodPatch, mergePatch, without))
	expect(t, a, "by whom may", http.StatusOK, namespaceRequest("root", http.MethodPatch, mergePatch, without))
}

func patched(path string, value any) object {
	return object{"overrides": []any{object{"topologyName": "m1", "topologyOverrides": []any{object{"path": path, "op": "add", "value": value}}}}}
}

func TestWhoMayNotDeleteANamespaceDeletesNoneInMembers(t *testing.T) {
	a := namespaces(t, nil)
	patch := func(user string, body object) request {
		return namespaceRequest(user, http.MethodPatch, mergePatch, body)
	}
	owned := object{"metadata": object{"ownerReferences": []any{object{"apiVersion": "v1", "kind": "ConfigMap", "name": "mine", "uid": "1"}}}}
	remove := namespaceRequest("", http.MethodDelete, "", nil)
	by := func(user string, r request) request { r.user = user; return r }

	expect(t, a, "create with an owner", http.StatusForbidden, namespaceRequest("mallory", http.MethodPost, jsonBody, func() object {
		o := labelled(object{}, placed("m1"))
		o["metadata"].(object)["ownerReferences"] = owned["metadata"].(object)["ownerReferences"]
		return o
	}()))
	a.must(namespaceRequest("mallory", http.MethodPost, jsonBody, labelled(object{}, placed("m1", "m2"))))
	expect(t, a, "more targets", http.StatusOK, patch("mallory", object{"spec": placed("m1", "m2", "m3")}))
	expect(t, a, "fewer targets", http.StatusForbidden, patch("mallory", object{"spec": placed("m1")}))
	expect(t, a, "no placement", http.StatusForbidden, patch("mallory", object{"spec": object{"placement": nil}}))
	expect(t, a, "a selector instead", http.StatusForbidden, patch("mallory", object{"spec": object{"placement": object{"topologies": nil, "topologySelector": object{}}}}))
	expect(t, a, "an owner", http.StatusForbidden, patch("mallory", owned))
	expect(t, a, "deletion", http.StatusForbidden, by("mallory", remove))
	collection := remove
	collection.name = ""
	expect(t, a, "deletion of all", http.StatusForbidden, by("mallory", collection))

	for _, policy := range []string{"Background", "Foreground"} {
		options := by("mallory", remove)
		options.body = object{"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy}
		expect(t, a, "deletion, "+policy, http.StatusForbidden, options)
	}
	a.must(patch("mallory", object{"metadata": object{"finalizers": []any{"example.com/held"}}}))
	orphaning := by("mallory", remove)
	orphaning.body = object{"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Orphan"}
	expect(t, a, "deletion as an orphan", http.StatusOK, orphaning)
	expect(t, a, "taking that back", http.StatusForbidden, patch("mallory", object{"metadata": object{"annotations": nil}}))
	expect(t, a, "letting it go", http.StatusOK, patch("root", object{"metadata": object{"finalizers": nil}}))
	a.must(namespaceRequest("mallory", http.MethodPost, jsonBody, labelled(object{}, placed("m1", "m2"))))

	expect(t, a, "leaving members as they are", http.StatusOK, patch("mallory", object{"metadata": object{"annotations": object{"kubefed.io/orphan": "true"}, "finalizers": []any{"example.com/held"}}}))
	expect(t, a, "deletion that leaves them", http.StatusOK, by("mallory", remove))
	expect(t, a, "taking that back", http.StatusForbidden, patch("mallory", object{"metadata": object{"annotations": nil}}))
	expect(t, a, "taking that back by whom may", http.StatusOK, patch("root", object{"metadata": object{"annotations": nil, "finalizers": nil}}))

	a.must(namespaceRequest("mallory", http.MethodPost, jsonBody, labelled(object{}, placed("m1"))))
	expect(t, a, "fewer targets by whom may", http.StatusOK, patch("root", object{"spec": placed()}))
	expect(t, a, "deletion by whom may", http.StatusOK, by("root", remove))
}
