package serving_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"

	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/federated/serving"
	"github.com/koinon-io/koinon/pkg/registry/federated/strategy"
	"github.com/koinon-io/koinon/pkg/registry/federated/targets"
)

// silent are members that never answer, in a federation where everything may be asked.
type silent struct{ strategy.Targets }

func (silent) To(_ context.Context, member string) (targets.Member, error) {
	return targets.Member{}, apierrors.NewServiceUnavailable("cluster " + member + " does not answer")
}

func (silent) Tenant(string) (tenancy.Tenant, error) { return tenancy.Tenant{}, nil }

func (silent) Cluster(context.Context, string) (*corev1beta1.KubeFedCluster, error) { return nil, nil }

func withTargets(t *testing.T) *api {
	t.Helper()
	reader, err := targets.NewReader(targets.Config{
		Members: silent{}, Lookups: silent{}, Federation: func(context.Context) (string, error) { return "f1", nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, serving.Config{Authorizer: authorizerfactory.NewAlwaysAllowAuthorizer(), Targets: reader}, deployments)
}

func TestTargetsAreServedInBothVersions(t *testing.T) {
	a := withTargets(t)
	a.must(request{method: http.MethodPost, version: "v1beta2", contentType: jsonBody, body: federatedDeployment("v1beta2", "web", object{"template": object{}, "placement": object{"topologies": []any{}}})})
	for _, version := range []string{"v1beta1", "v1beta2"} {
		got := a.must(request{method: http.MethodGet, version: version, name: "web", subresource: "targets"})
		if got["kind"] != "TargetObjectList" || got["apiVersion"] != "federation.koinon.io/v1alpha1" {
			t.Errorf("%s: got %v", version, got)
		}
		code, answer := a.do(request{method: http.MethodGet, version: version, name: "web", subresource: "targets/m1"})
		if code != http.StatusNotFound || !strings.Contains(indented(answer), `has no target`) {
			t.Errorf("%s: of a target that is none: %d %s", version, code, indented(answer))
		}
		table := a.must(request{method: http.MethodGet, version: version, name: "web", subresource: "targets", accept: "application/json;as=Table;g=meta.k8s.io;v=v1"})
		if table["kind"] != "Table" || !strings.Contains(indented(table), `"Target"`) {
			t.Errorf("%s: got the table %v", version, table)
		}
	}
}

func TestTargetsAreInTheDocuments(t *testing.T) {
	a := withTargets(t)
	for _, version := range []string{"v1beta1", "v1beta2"} {
		document, err := a.server.OpenAPIV3(schema.GroupVersion{Group: federated.GroupName, Version: version})
		if err != nil {
			t.Fatal(err)
		}
		const path = "/namespaces/{namespace}/federateddeployments/{name}/targets"
		for suffix, model := range map[string]string{"": "TargetObjectList", "/{path}": "TargetObject"} {
			found := document.Paths.Paths["/apis/types.kubefed.io/"+version+path+suffix]
			if found == nil || found.Get == nil {
				t.Errorf("%s: there is no %s", version, path+suffix)
				continue
			}
			ref := found.Get.Responses.StatusCodeResponses[http.StatusOK].Content["application/json"].Schema.Ref.String()
			if !strings.HasSuffix(ref, "."+model) {
				t.Errorf("%s%s is a %s, want a %s", path, suffix, ref, model)
			}
		}
	}
}

func TestWithoutWaysToMembersTargetsSaySo(t *testing.T) {
	a := newAPI(t, nil)
	for _, subresource := range []string{"targets", "targets/m1"} {
		code, answer := a.do(request{method: http.MethodGet, version: "v1beta2", name: "web", subresource: subresource})
		if code != http.StatusServiceUnavailable || !strings.Contains(indented(answer), "this server has no ways to members") {
			t.Errorf("%s: got %d %s", subresource, code, indented(answer))
		}
	}
}
