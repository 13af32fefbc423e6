package aggregated_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"github.com/koinon-io/koinon/test/testbed"
)

// What must be in no log, as it is or in base64.
const canary = "kanarienvogel"

var secretContents = []string{canary, base64.StdEncoding.EncodeToString([]byte(canary))[:16]}

// TestTheAuditPolicyKeepsContentsOutOfBothLogs gives the policy to the host's API server and to
// ours, and sends them Secrets in every way.
func TestTheAuditPolicyKeepsContentsOutOfBothLogs(t *testing.T) {
	dir := t.TempDir()
	audit := func(log string) []string {
		return []string{"--audit-policy-file=" + artifact(t, "audit-policy.yaml"), "--audit-log-path=" + filepath.Join(dir, log)}
	}
	host := testbed.StartCluster(t, testbed.ClusterOptions{Name: "audited", APIServerArgs: audit("host.log")})
	f := newFixture(t, host)
	f.server = testbed.StartKoinon(t, testbed.KoinonOptions{
		HostKubeconfig: install(t, host), Args: append(audit("koinon.log"), "--service-name=koinon-outside"),
	})
	f.awaitServed("federatedsecrets")

	token := strings.TrimSpace(f.kubectl("-n", f.namespace, "create", "token", "default"))
	f.writeSecrets()
	f.kubectl("-n", f.namespace, "delete", "federatedsecrets.types.kubefed.io", "last", "--timeout=60s")

	for log, resources := range map[string][]string{
		"host.log":   {"secrets", "configmaps", "federatedsecrets", "federateddeployments"},
		"koinon.log": {"federatedsecrets", "federateddeployments"},
	} {
		var content []byte
		f.eventually("the last event in "+log, func(context.Context) error {
			var err error
			if content, err = os.ReadFile(filepath.Join(dir, log)); err != nil {
				return err
			}
			if !hasEvent(t, content, "delete", "federatedsecrets", "last") {
				return fmt.Errorf("there are %d bytes without it", len(content))
			}
			return nil
		})
		for _, resource := range resources {
			if !hasEvent(t, content, "create", resource, "web") {
				t.Errorf("%s does not say that the %s were created", log, resource)
			}
		}
		for _, secret := range append(secretContents, token) {
			for line := range bytes.Lines(content) {
				if bytes.Contains(line, []byte(secret)) {
					t.Errorf("%s has what nobody may read there:\n%s", log, line)
					break
				}
			}
		}
	}
}

// writeSecrets sends contents to both API servers, in both versions, and lets some be refused.
func (f *fixture) writeSecrets() {
	f.Helper()
	encoded := base64.StdEncoding.EncodeToString([]byte(canary))
	federated := func(version, name, template string) string {
		return fmt.Sprintf(`{"apiVersion": "types.kubefed.io/%s", "kind": "FederatedSecret", "metadata": {"name": %q}, "spec": {"template": {%s}, "placement": {}}}`, version, name, template)
	}
	data := `"data": {"password": "` + encoded + `"}`
	f.kubectl("-n", f.namespace, "create", "secret", "generic", "web", "--from-literal=password="+canary)
	f.kubectl("-n", f.namespace, "create", "configmap", "web", "--from-literal=password="+canary)
	f.apply(federated("v1beta2", "web", data))
	f.apply(federated("v1beta1", "old", `"stringData": {"password": "`+canary+`"}`))
	f.apply(federated("v1beta2", "last", data), "--server-side")
	for _, resource := range []string{"secret", "federatedsecrets.v1beta1.types.kubefed.io", "federatedsecrets.v1beta2.types.kubefed.io"} {
		f.kubectl("-n", f.namespace, "get", resource, "-o", "yaml")
		f.kubectl("-n", f.namespace, "get", resource, "web", "-o", "yaml")
		f.kubectl("-n", f.namespace, "annotate", resource, "web", "note="+canary, "--overwrite")
	}
	f.kubectl("-n", f.namespace, "patch", "federatedsecrets.v1beta1.types.kubefed.io", "old", "--type=merge", "-p", `{"spec":{"template":{`+data+`}}}`)
	f.kubectl("-n", f.namespace, "patch", "federatedsecrets.v1beta2.types.kubefed.io", "web", "--subresource=status", "--type=merge", "-p", `{"status":{"conditions":[{"type":"Propagation","status":"True","message":"`+canary+`"}]}}`)
	f.apply(strings.Replace(deployment("web"), `image: "nginx:1"`, `image: "nginx:1", env: [{name: PASSWORD, value: `+canary+`}]`, 1), "--server-side")

	overrides := func(overrides string) string {
		return strings.Replace(federated("v1beta2", "refused", data), `"placement": {}`, `"placement": {}, "overrides": [{"topologyName": "m1", "topologyOverrides": [`+overrides+`]}]`, 1)
	}
	for mistake, manifest := range map[string]string{
		"data that is no object":          federated("v1beta2", "refused", `"data": "`+canary+`"`),
		"data that is no object, v1beta1": federated("v1beta1", "refused", `"data": "`+canary+`"`),
		"data that is no string":          federated("v1beta2", "refused", `"stringData": {"password": ["`+canary+`"]}`),
		"a type that is no string":        federated("v1beta2", "refused", `"type": ["`+canary+`"]`),
		"metadata that is no object":      federated("v1beta2", "refused", `"metadata": "`+canary+`"`),
		"an override of the kind":         overrides(`{"path": "/kind", "value": "` + canary + `"}`),
		"an override of the metadata":     overrides(`{"path": "/metadata", "value": "` + canary + `"}`),
		"an unknown operation":            overrides(`{"op": "x", "path": "/data/password", "value": "` + canary + `"}`),
		"an annotation that is no JSON":   strings.Replace(federated("v1beta1", "refused", data), `"name"`, `"annotations": {"federation.koinon.io/topology": "`+canary+`"}, "name"`, 1),
	} {
		result := testbed.RunKubectl(f.T, f.kubeconfig, manifest, "create", "-n", f.namespace, "--validate=false", "-f", "-", requestTimeout)
		if result.Err == nil || !strings.Contains(result.Stderr, "invalid") {
			f.Errorf("%s: %v %s; want a refusal", mistake, result.Err, result.Stderr)
		}
	}
	strict := testbed.RunKubectl(f.T, f.kubeconfig, federated("v1beta2", "refused", `"passwort": "`+canary+`"`), "create", "-n", f.namespace, "--validate=strict", "-f", "-", requestTimeout)
	if strict.Err == nil {
		f.Error("an unknown field: want a refusal")
	}
}

func hasEvent(t *testing.T, log []byte, verb, resource, name string) bool {
	t.Helper()
	for line := range bytes.Lines(log) {
		var event auditv1.Event
		if err := json.Unmarshal(line, &event); err != nil {
			continue // it is being written
		}
		if ref := event.ObjectRef; ref != nil && ref.Resource == resource && ref.Name == name && (event.Verb == verb || verb == "create" && event.Verb == "patch") {
			return true
		}
	}
	return false
}
