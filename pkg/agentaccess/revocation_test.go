package agentaccess

import (
	"crypto/x509"
	"net/url"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/tunnel"
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
		err := Allowed(test.cluster, tunnel.Name{Cluster: "m1"}, certificate)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

func TestTheAgentOfANodeMayConnect(t *testing.T) {
	issued := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	certificate := &x509.Certificate{NotBefore: issued.Add(-authority.Backdate)}
	for what, test := range map[string]struct {
		cluster, nodes string // annotations
		node           string
		want           string // empty: it may
	}{
		"if nothing was revoked":                        {"", "", "n1", ""},
		"not if all of the cluster was":                 {"2026-11-29T12:00:00Z", "", "n1", "were revoked"},
		"not if it was":                                 {"", "n1=2026-11-29T12:00:00Z", "n1", "were revoked"},
		"if it was before":                              {"", "n1=2026-11-29T11:59:59Z", "n1", ""},
		"if another was":                                {"", "n2=2026-11-29T12:00:00Z", "n1", ""},
		"if one was whose name begins or ends with it":  {"", "n11=2026-11-29T12:00:00Z,an1=2026-11-29T12:00:00Z,n1.x=2026-11-29T12:00:00Z", "n1", ""},
		"not if it was, among others":                   {"", "n2=2026-11-29T12:00:00Z, n1=2026-11-29T13:00:00+01:00", "n1", "were revoked"},
		"not if one of two times is late enough":        {"", "n1=2026-11-29T13:00:00Z,n1=2026-11-28T12:00:00Z", "n1", "were revoked"},
		"not if what was revoked cannot be read":        {"", "n1", "n2", `"n1" is not NODE=TIME`},
		"not if the time cannot":                        {"", "n2=yesterday", "n1", `"n2=yesterday" is not NODE=TIME`},
		"of the cluster itself, whatever nodes were":    {"", "n1=2026-11-29T12:00:00Z", "", ""},
		"of the cluster itself, if that cannot be read": {"", "=", "", ""},
		"not if a name is none":                         {"", "../n1=2026-11-29T12:00:00Z", "n1", "is not NODE=TIME"},
		"not if nobody knows what an entry is of":       {"", "n2=2026-11-29T12:00:00Z,", "n1", "is not NODE=TIME"},
	} {
		cluster := &v1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{
			v1beta1.AgentsRevokedAnnotation: test.cluster, v1beta1.NodeAgentsRevokedAnnotation: test.nodes,
		}}}
		err := Allowed(cluster, tunnel.Name{Cluster: "m1", Node: test.node}, certificate)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

// An agent that renews its certificate between the revocation and the moment at which a server hears of it is refused all the same.
func TestWhoRenewsIsRevokedWithTheTokenThatItUsed(t *testing.T) {
	revoked := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	renewed := &x509.Certificate{NotBefore: revoked.Add(time.Minute - authority.Backdate)}
	for enrolled, may := range map[string]bool{"2026-11-29T11:00:00Z": false, "2026-11-29T12:00:00Z": false, "2026-11-29T12:00:01Z": true, "soon": false} {
		renewed.URIs = []*url.URL{{Scheme: "koinon-enrolled", Opaque: enrolled}}
		for name, annotation := range map[tunnel.Name][2]string{
			{Cluster: "m1"}:             {v1beta1.AgentsRevokedAnnotation, "2026-11-29T12:00:00Z"},
			{Cluster: "m1", Node: "n1"}: {v1beta1.NodeAgentsRevokedAnnotation, "n1=2026-11-29T12:00:00Z"},
		} {
			cluster := &v1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{annotation[0]: annotation[1]}}}
			if err := Allowed(cluster, name, renewed); (err == nil) != may {
				t.Errorf("%s, whose token was used at %s: got %v", name, enrolled, err)
			}
		}
	}
}

func TestANodeIsRevokedBesideOthers(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for what, test := range map[string]struct{ before, want string }{
		"alone":                               {"", "n1=2026-11-29T12:00:00Z"},
		"beside another":                      {"n2=2026-11-28T12:00:00Z", "n1=2026-11-29T12:00:00Z,n2=2026-11-28T12:00:00Z"},
		"again":                               {"n1=2026-11-28T12:00:00Z", "n1=2026-11-29T12:00:00Z"},
		"without what no certificate is left": {"n2=2026-11-22T11:59:59Z,n3=2026-11-22T12:00:01Z", "n1=2026-11-29T12:00:00Z,n3=2026-11-22T12:00:01Z"},
	} {
		if got, err := RevokeNode(test.before, "n1", now); err != nil || got != test.want {
			t.Errorf("%s: got %q: %v", what, got, err)
		}
	}
	if got, err := RevokeNode("what?", "n1", now); err == nil || got != "" {
		t.Errorf("what cannot be read: got %q: %v", got, err)
	}
}

func FuzzRevokedNodes(f *testing.F) {
	f.Add("n1=2026-11-29T12:00:00Z,n2=2026-11-29T12:00:00+01:00")
	f.Add("n1=,=2026-11-29T12:00:00Z")
	f.Fuzz(func(t *testing.T, text string) {
		now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
		out, err := RevokeNode(text, "n1", now)
		if err != nil {
			return
		}
		nodes, err := parseRevoked(out)
		if err != nil || !nodes["n1"].Equal(now) {
			t.Errorf("%q became %q: %v", text, out, err)
		}
	})
}
