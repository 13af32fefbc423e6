package app

import (
	"path/filepath"
	"testing"

	"k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// TestAuditPolicyKeepsCredentialsOutOfLogs asks the shipped policy as an API server does.
func TestAuditPolicyKeepsCredentialsOutOfLogs(t *testing.T) {
	loaded, err := policy.LoadPolicyFromFile(filepath.Join("..", "..", "..", "artifacts", "deploy", "audit-policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	rules := policy.NewPolicyRuleEvaluator(loaded)
	writes := []string{"create", "update", "patch", "delete", "deletecollection"}
	reads := []string{"get", "list", "watch"}
	for name, test := range map[string]struct {
		group, version, resource, subresource string
		verbs                                 []string
		want                                  audit.Level
	}{
		"writes of Secrets":                   {"", "v1", "secrets", "", writes, audit.LevelMetadata},
		"reads of Secrets":                    {"", "v1", "secrets", "", reads, audit.LevelMetadata},
		"ConfigMaps":                          {"", "v1", "configmaps", "", writes, audit.LevelMetadata},
		"FederatedSecrets in v1beta1":         {"types.kubefed.io", "v1beta1", "federatedsecrets", "", writes, audit.LevelMetadata},
		"FederatedSecrets in v1beta2":         {"types.kubefed.io", "v1beta2", "federatedsecrets", "", append(writes, reads...), audit.LevelMetadata},
		"statuses of FederatedSecrets":        {"types.kubefed.io", "v1beta2", "federatedsecrets", "status", append(writes, reads...), audit.LevelMetadata},
		"FederatedDeployments":                {"types.kubefed.io", "v1beta2", "federateddeployments", "", writes, audit.LevelMetadata},
		"kinds that somebody adds":            {"types.kubefed.io", "v1beta2", "federatedwidgets", "", writes, audit.LevelMetadata},
		"tokens of service accounts":          {"", "v1", "serviceaccounts", "token", []string{"create"}, audit.LevelMetadata},
		"token reviews":                       {"authentication.k8s.io", "v1", "tokenreviews", "", []string{"create"}, audit.LevelMetadata},
		"certificate requests":                {"certificates.k8s.io", "v1", "certificatesigningrequests", "approval", []string{"update"}, audit.LevelMetadata},
		"KubeFedClusters":                     {"core.kubefed.io", "v1beta1", "kubefedclusters", "", append(writes, reads...), audit.LevelMetadata},
		"cells":                               {"federation.koinon.io", "v1alpha1", "cells", "", writes, audit.LevelMetadata},
		"custom resources":                    {"example.com", "v1", "widgets", "", writes, audit.LevelMetadata},
		"what roles are given":                {"rbac.authorization.k8s.io", "v1", "rolebindings", "", writes, audit.LevelRequest},
		"what roles are given in all members": {"types.kubefed.io", "v1beta1", "federatedclusterroles", "", writes, audit.LevelRequest},
		"reads of what is no secret":          {"types.kubefed.io", "v1beta2", "federateddeployments", "", reads, audit.LevelNone},
		"leases":                              {"coordination.k8s.io", "v1", "leases", "", writes, audit.LevelNone},
	} {
		t.Run(name, func(t *testing.T) {
			for _, verb := range test.verbs {
				got := rules.EvaluatePolicyRule(authorizer.AttributesRecord{
					User: &user.DefaultInfo{Name: "alice"}, Verb: verb, Namespace: "shop", Name: "web", ResourceRequest: true,
					APIGroup: test.group, APIVersion: test.version, Resource: test.resource, Subresource: test.subresource,
				})
				if got.Level != test.want {
					t.Errorf("%s: level %s, want %s", verb, got.Level, test.want)
				}
			}
		})
	}
}
