package incluster

import (
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const hub = "HUB AUTHORITY\n"

func base(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func TestPodsFindTheHub(t *testing.T) {
	w := &Rewriter{At: netip.MustParseAddrPort("169.254.77.1:6443"), Authority: []byte(hub), Servers: []string{"https://cloud:6443"}}
	const local, pod = true, false
	for what, test := range map[string]struct {
		local           bool
		group, resource string
		object, want    string // want is empty if it stays
		labels          string // by which is selected
	}{
		"the Service, for kubelet": {local, "", "services",
			`{"metadata":{"name":"kubernetes","namespace":"default"},"spec":{"clusterIP":"10.96.0.1","clusterIPs":["10.96.0.1"],"new":9007199254740993,"ports":[{"name":"https","port":443,"targetPort":6443}]}}`,
			`{"metadata":{"name":"kubernetes","namespace":"default"},"spec":{"clusterIP":"169.254.77.1","clusterIPs":["169.254.77.1"],"new":9007199254740993,"ports":[{"name":"https","port":6443,"targetPort":6443}]}}`, ""},
		"the Service, for kube-proxy":               {pod, "", "services", `{"metadata":{"name":"kubernetes","namespace":"default"},"spec":{"clusterIP":"10.96.0.1"}}`, "", ""},
		"the Service, for a kube-proxy of the node": {local, "", "services", `{"metadata":{"name":"kubernetes","namespace":"default"},"spec":{"clusterIP":"10.96.0.1"}}`, "", "!service.kubernetes.io/service-proxy-name"},
		"a Service of that name":                    {local, "", "services", `{"metadata":{"name":"kubernetes","namespace":"other"},"spec":{"clusterIP":"10.96.0.1"}}`, "", ""},
		"a Service that only speaks of it":          {local, "", "services", `{"metadata":{"name":"x","namespace":"default","labels":{"of":"kubernetes"}},"spec":{}}`, "", ""},
		"a Service without a spec":                  {local, "", "services", `{"metadata":{"name":"kubernetes","namespace":"default"},"spec":null}`, "", ""},
		"its EndpointSlice": {pod, "discovery.k8s.io", "endpointslices",
			`{"metadata":{"name":"kubernetes","namespace":"default","labels":{"kubernetes.io/service-name":"kubernetes"}},"addressType":"IPv4","endpoints":[{"addresses":["1.1.1.1"]},{"addresses":["2.2.2.2"]}],"ports":[{"name":"https","port":6443}]}`,
			`{"metadata":{"name":"kubernetes","namespace":"default","labels":{"kubernetes.io/service-name":"kubernetes"}},"addressType":"IPv4","endpoints":[{"addresses":["169.254.77.1"],"conditions":{"ready":true}}],"ports":[{"name":"https","port":6443}]}`, ""},
		"its EndpointSlice of another family": {pod, "discovery.k8s.io", "endpointslices", `{"metadata":{"name":"kubernetes","namespace":"default","labels":{"kubernetes.io/service-name":"kubernetes"}},"addressType":"IPv6","endpoints":[]}`, "", ""},
		"its Endpoints": {pod, "", "endpoints",
			`{"metadata":{"name":"kubernetes","namespace":"default"},"subsets":[{"addresses":[{"ip":"1.1.1.1"}],"notReadyAddresses":[{"ip":"2.2.2.2"}],"ports":[{"name":"https","port":443}]}]}`,
			`{"metadata":{"name":"kubernetes","namespace":"default"},"subsets":[{"addresses":[{"ip":"169.254.77.1"}],"ports":[{"name":"https","port":6443}]}]}`, ""},
		"its Endpoints, of which there are none": {pod, "", "endpoints", `{"metadata":{"name":"kubernetes","namespace":"default"}}`, "", ""},
		"whom pods trust": {local, "", "configmaps",
			`{"metadata":{"name":"kube-root-ca.crt","namespace":"a"},"data":{"ca.crt":"CLUSTER"}}`, `{"metadata":{"name":"kube-root-ca.crt","namespace":"a"},"data":{"ca.crt":"CLUSTER\n` + strings.TrimSuffix(hub, "\n") + `\n"}}`, ""},
		"whom pods trust, as pods read it":     {pod, "", "configmaps", `{"metadata":{"name":"kube-root-ca.crt","namespace":"a"},"data":{"ca.crt":"CLUSTER"}}`, "", ""},
		"whom pods trust, of which nothing is": {local, "", "configmaps", `{"metadata":{"name":"kube-root-ca.crt","namespace":"a"}}`, "", ""},
		"a Secret with a token": {local, "", "secrets",
			`{"type":"kubernetes.io/service-account-token","metadata":{"name":"x"},"data":{"ca.crt":"` + base("CLUSTER\n") + `","token":"eA=="}}`,
			`{"type":"kubernetes.io/service-account-token","metadata":{"name":"x"},"data":{"ca.crt":"` + base("CLUSTER\n"+hub) + `","token":"eA=="}}`, ""},
		"another Secret": {local, "", "secrets", `{"type":"Opaque","metadata":{"name":"kubernetes.io/service-account-token"},"data":{"ca.crt":"eA=="}}`, "", ""},
		"the kubeconfig of kubeadm's kube-proxy": {local, "", "configmaps",
			`{"metadata":{"name":"kube-proxy","namespace":"kube-system"},"data":{"config.conf":"x","kubeconfig.conf":"clusters:\n- cluster:\n    server: https://cloud:6443/\n"}}`,
			`{"metadata":{"name":"kube-proxy","namespace":"kube-system"},"data":{"config.conf":"x","kubeconfig.conf":"clusters:\n- cluster:\n    server: https://169.254.77.1:6443\n"}}`, ""},
		"one for another API server": {local, "", "configmaps", `{"metadata":{"name":"kube-proxy","namespace":"kube-system"},"data":{"kubeconfig.conf":"server: https://other:6443\n"}}`, "", ""},
		"an Ingress":                 {local, "networking.k8s.io", "services", `{"metadata":{"name":"kubernetes","namespace":"default"},"spec":{}}`, "", ""},
	} {
		t.Run(what, func(t *testing.T) {
			rewrite := w.For(test.local, test.group, test.resource, test.labels)
			got := []byte(test.object)
			if rewrite != nil {
				var err error
				if got, err = rewrite(got); err != nil {
					t.Fatal(err)
				}
			}
			if test.want == "" {
				if string(got) != test.object {
					t.Errorf("it is to stay as it is, and is %s", got)
				}
				return
			}
			var is, want map[string]any
			if json.Unmarshal(got, &is) != nil || json.Unmarshal([]byte(test.want), &want) != nil {
				t.Fatalf("no JSON: %s", got)
			}
			if diff := cmp.Diff(want, is); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(test.object, "9007199254740993") && !strings.Contains(string(got), "9007199254740993") {
				t.Error("a large number is another one")
			}
		})
	}
}

// Whatever an object is like, it is rewritten or stays, and is JSON.
func FuzzAnythingIsRewrittenOrStays(f *testing.F) {
	f.Add("", "services", `{"metadata":{"name":"kubernetes","namespace":"default"},"spec":{"ports":[1,null,{"name":"https"}]}}`)
	f.Add("", "endpoints", `{"metadata":{"name":"kubernetes","namespace":"default"},"subsets":[7]}`)
	f.Add("", "secrets", `{"type":"kubernetes.io/service-account-token","data":{"ca.crt":3}}`)
	f.Add("discovery.k8s.io", "endpointslices", `{"metadata":{"namespace":"default","labels":{"kubernetes.io/service-name":"kubernetes"}},"ports":{}}`)
	w := &Rewriter{At: netip.MustParseAddrPort("169.254.77.1:6443"), Authority: []byte(hub)}
	f.Fuzz(func(t *testing.T, group, resource, object string) {
		rewrite := w.For(true, group, resource, "")
		if rewrite == nil || !json.Valid([]byte(object)) {
			return
		}
		got, err := rewrite([]byte(object))
		if err == nil && !json.Valid(got) {
			t.Errorf("got %s", got)
		}
	})
}
