package agentaccess

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/tunnel/authority"
)

func TestAnAgentMayConnect(t *testing.T) {
	issued := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	certificate := &x509.Certificate{NotBefore: issued.Add(-authority.Backdate)}
	annotated := func(text string) *v1beta1.KubeFedCluster {
		return &v1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1beta1.AgentsRevokedAnnotation: text}}}
	}
	for what, test := range map[string]struct {
		cluster *v1beta1.KubeFedCluster
		want    string // empty: it may
	}{
		"if there is a member of its name":                  {&v1beta1.KubeFedCluster{}, ""},
		"not if there is none":                              {nil, "there is no KubeFedCluster of this name"},
		"not for a cell":                                    {&v1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1alpha1.TopologyLabel: "Cell"}}}, "there is no KubeFedCluster of this name"},
		"if what was issued before its own was revoked":     {annotated("2026-11-29T11:59:59Z"), ""},
		"not if what was issued until then was revoked":     {annotated("2026-11-29T12:00:00Z"), "were revoked"},
		"not if the time of the revocation cannot be read":  {annotated("yesterday"), "no time"},
		"whatever the zone in which the time is written is": {annotated("2026-11-29T12:59:59+01:00"), ""},
	} {
		err := Allowed(test.cluster, certificate)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v", what, err)
		}
	}
}
