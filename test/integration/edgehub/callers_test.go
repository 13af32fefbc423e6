package edgehub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/koinon-io/koinon/cmd/koinon-edgehub/app"
	"github.com/koinon-io/koinon/pkg/edgehub/store"
	"github.com/koinon-io/koinon/test/testbed"
)

// token is what kubelet gets for a pod.
func (n *node) token(kubelet kubernetes.Interface, pod *corev1.Pod) (*authenticationv1.TokenRequest, error) {
	return kubelet.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(n.Context(), pod.Spec.ServiceAccountName, n.tokenSpec(pod), metav1.CreateOptions{})
}

// tokenSpec is what kubelet asks for.
func (n *node) tokenSpec(pod *corev1.Pod) *authenticationv1.TokenRequest {
	seconds := int64(3607)
	return &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: &seconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID},
	}}
}

// tokenOf is token, as soon as the API server knows that the pod is the node's.
func (n *node) tokenOf(pod *corev1.Pod) string {
	n.Helper()
	var token string
	testbed.Eventually(n, "kubelet gets a token", func(context.Context) error {
		request, err := n.token(n.kubelet(), pod)
		if err == nil {
			token = request.Status.Token
		}
		return err
	})
	return token
}

// Each pod has its own rights, with and without the cloud, and nobody has the node's by what he leaves out or puts in.
func TestPodsHaveTheirOwnRightsAndNobodyHasTheNodes(t *testing.T) {
	n := newNode(t)
	reader, other := n.pod("reader", "reader"), n.pod("other", "other")
	n.grant("reader", "--verb=get,list,watch", "--resource=configmaps,pods")
	n.grant("other", "--verb=get", "--resource=configmaps", "--resource-name=kube-root-ca.crt")
	readerToken, otherToken := n.tokenOf(reader), n.tokenOf(other)
	asReader, asOther := n.podConfig(readerToken), n.podConfig(otherToken)
	const list, one, others, secrets = "/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/configmaps/kube-root-ca.crt", "/api/v1/namespaces/kube-system/configmaps", "/api/v1/namespaces/default/secrets"
	nobody := rest.CopyConfig(asReader)
	nobody.BearerToken = ""
	stranger := rest.CopyConfig(asReader)
	stranger.BearerToken = readerToken[:len(readerToken)-10] + "AAAAAAAAAA"
	withCertificate := rest.CopyConfig(nobody)
	kubelet := n.kubeletConfig()
	withCertificate.CertData, withCertificate.KeyData = kubelet.CertData, kubelet.KeyData
	type try struct {
		what         string
		as           *rest.Config
		path         string
		header       http.Header
		online, away int
	}
	tries := []try{
		{"who may list", asReader, list, nil, 200, 200},
		{"who may list gets one", asReader, one, nil, 200, 200},
		{"another namespace", asReader, others, nil, 403, 403},
		{"another resource", asReader, secrets, nil, 403, 403},
		{"the node's own pods, as kubelet reads them", asReader, "/api/v1/pods?fieldSelector=spec.nodeName%3D" + nodeName, nil, 403, 403},
		{"who may get one", asOther, one, nil, 200, 200},
		{"who may get one does not list", asOther, list, nil, 403, 403},
		{"who may get one lists that one", asOther, list + "?fieldSelector=metadata.name%3Dkube-root-ca.crt", nil, 403, 403},
		{"without a token", nobody, list, nil, 403, 503},
		{"with kubelet's certificate and no token", withCertificate, list, nil, 403, 503},
		{"with a token that nobody has issued", stranger, list, nil, 401, 0}, // 401 as long as that is fresh, and then 503
		{"as somebody else", asReader, list, http.Header{"Impersonate-User": {"system:node:" + nodeName}, "Impersonate-Group": {"system:nodes"}}, 403, 503},
		{"with headers of a proxy", nobody, list, http.Header{"X-Remote-User": {"admin"}, "X-Remote-Group": {"system:masters"}}, 403, 503},
		{"with a token of a WebSocket", nobody, list, http.Header{"Sec-Websocket-Protocol": {"base64url.bearer.authorization.k8s.io.eA"}}, 403, 503},
	}
	check := func(what string, want func(*try) int) {
		t.Helper()
		for i := range tries {
			try := &tries[i]
			if want(try) == 0 {
				continue
			}
			if code, body := n.status(try.as, http.MethodGet, try.path, try.header); code != want(try) {
				t.Errorf("%s, %s: got %d, want %d: %s", what, try.what, code, want(try), body)
			}
		}
	}
	check("with the cloud", func(try *try) int { return try.online })
	n.cable.sever()
	n.awayIsKnown()
	check("without the cloud", func(try *try) int { return try.away })
	n.restart()
	check("after a restart without the cloud", func(try *try) int { return try.away })
	if code, body := n.status(n.podConfig(readerToken), http.MethodGet, list, nil); code != 200 || !strings.Contains(body, "kube-root-ca.crt") {
		t.Errorf("with what kubelet mounts now: %d: %s", code, body)
	}
	// Nobody who has no certificate of the hub's comes to where kubelet does.
	at := rest.CopyConfig(kubelet)
	at.CertData, at.KeyData, at.BearerToken = nil, nil, readerToken
	if code, body := n.status(at, http.MethodGet, list, nil); code != 0 {
		t.Errorf("a pod is served as kubelet is: %d: %s", code, body)
	}
	n.cable.heal()
	testbed.Eventually(t, "what was taken away is gone", func(context.Context) error {
		if code, _ := n.status(stranger, http.MethodGet, list, nil); code != 401 {
			return errors.New("the cloud is not back")
		}
		return nil
	})
	check("with the cloud again", func(try *try) int { return try.online })
}

// awayIsKnown waits until the hub knows that the cloud is away.
func (n *node) awayIsKnown() {
	n.Helper()
	testbed.Eventually(n, "it is known that the cloud is away", func(context.Context) error {
		code, body := n.status(n.kubeletConfig(), http.MethodGet, "/apis/apps/v1/namespaces/default/controllerrevisions/x", nil)
		if code != http.StatusServiceUnavailable {
			return errors.New(body)
		}
		return nil
	})
}

// kubelet asks for all tokens again when it starts, and gets those that were issued last; they have to do until the cloud is back.
func TestKubeletGetsTokensWithoutTheCloud(t *testing.T) {
	n := newNode(t)
	pod, unseen := n.pod("known", "known"), n.pod("unseen", "unseen")
	n.grant("known", "--verb=list,watch", "--resource=configmaps")
	before := n.tokenOf(pod)
	if _, err := n.clientOf(n.podConfig(before)).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	n.cable.sever()
	n.awayIsKnown()
	n.restart()
	request, err := n.token(n.kubelet(), pod)
	if err != nil {
		t.Fatal(err)
	}
	if request.Status.Token != before {
		t.Error("it is another token")
	}
	if list, err := n.clientOf(n.podConfig(request.Status.Token)).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) == 0 {
		t.Errorf("what its pod reads: %v", err)
	}
	if _, err := n.token(n.kubelet(), unseen); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("a token that was never issued: %v", err)
	}
	again := *pod
	again.UID = types.UID("00000000-0000-0000-0000-000000000000")
	if _, err := n.token(n.kubelet(), &again); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("a token for another pod of that name: %v", err)
	}
	// What kubelet's own server asks.
	review, err := n.kubelet().AuthenticationV1().TokenReviews().Create(t.Context(), &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: before}}, metav1.CreateOptions{})
	if err != nil || !review.Status.Authenticated || review.Status.User.Username != "system:serviceaccount:default:known" || !slices.Contains(review.Status.User.Groups, "system:serviceaccounts") {
		t.Errorf("whose token it is: %+v, %v", review, err)
	}
	if _, err := n.kubelet().AuthenticationV1().TokenReviews().Create(t.Context(), &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: "x"}}, metav1.CreateOptions{}); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("a token that nobody has shown: %v", err)
	}
}

// What was kept of another cluster is forgotten, and not mixed with what this one has.
func TestWhatIsKeptOfAnotherClusterIsForgotten(t *testing.T) {
	n := newNode(t)
	testbed.Kubectl(t, n.cluster.Kubeconfig(), "create", "clusterrole", "edgehub", "--verb=get", "--resource=namespaces", "--resource-name=kube-system")
	testbed.Kubectl(t, n.cluster.Kubeconfig(), "create", "clusterrolebinding", "edgehub", "--clusterrole=edgehub", "--group=system:nodes")
	list := metav1.ListOptions{FieldSelector: "metadata.name=" + nodeName}
	if _, err := n.kubelet().CoreV1().Nodes().List(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	n.restart() // by now it is known which cluster it is
	testbed.Eventually(t, "the node is kept", func(ctx context.Context) error {
		r, err := n.report()
		if err == nil && !slices.ContainsFunc(r.Views, func(v app.ViewReport) bool {
			return v.Complete && v.Name == "v1/nodes?fields=metadata.name%3D"+nodeName
		}) {
			err = fmt.Errorf("there are %+v", r.Views)
		}
		if err == nil && r.Cluster == "" {
			err = errors.New("it is not known which cluster this is")
		}
		return err
	})
	n.stop()
	disk, _, _, err := store.Open(filepath.Join(n.options.StateDir, "cache.db"))
	if err != nil {
		t.Fatal(err)
	}
	if id, err := disk.Cluster(); err != nil || id == "" {
		t.Errorf("it is of %q, %v", id, err)
	}
	if err := disk.SetCluster("another"); err != nil { // and so the views are gone, as they would be of it
		t.Fatal(err)
	}
	change := store.Change{Name: "v1/nodes?fields=metadata.name%3Dghost", Kind: "/v1/nodes", Version: "5 5 Node", Whole: true, Put: []store.Object{
		{Name: "ghost", Version: "5", Body: []byte(`{"kind":"Node","apiVersion":"v1","metadata":{"name":"ghost","resourceVersion":"5"}}`)},
	}}
	if err := errors.Join(disk.Apply(change), disk.Close()); err != nil {
		t.Fatal(err)
	}
	n.start()
	testbed.Eventually(t, "what was of another cluster is gone", func(context.Context) error {
		r, err := n.report()
		if err == nil && slices.ContainsFunc(r.Views, func(v app.ViewReport) bool { return strings.Contains(v.Name, "ghost") }) {
			err = fmt.Errorf("there are %+v", r.Views)
		}
		return err
	})
	if list, err := n.kubelet().CoreV1().Nodes().List(t.Context(), list); err != nil || len(list.Items) != 1 {
		t.Errorf("what this one has: %v", err)
	}
}

// report is how the hub says that it is.
func (n *node) report() (*app.Report, error) {
	answer, err := http.Get("http://" + n.options.StatusAddress + "/status")
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var r app.Report
	return &r, json.NewDecoder(answer.Body).Decode(&r)
}

// A program that has never run on this node starts without the cloud: it finds out which kinds there are.
func TestAProgramThatStartsWithoutTheCloudKnowsWhichKindsThereAre(t *testing.T) {
	n := newNode(t)
	pod := n.pod("late", "late")
	n.grant("late", "--verb=get,list,watch", "--resource=configmaps")
	config := n.podConfig(n.tokenOf(pod))
	read := func(ctx context.Context) error {
		code, body := n.status(n.kubeletConfig(), http.MethodGet, "/apis/apps/v1", nil)
		if code != http.StatusOK {
			return errors.New(body)
		}
		r, err := n.report()
		if err == nil && r.Documents < 20 {
			err = fmt.Errorf("%d documents are kept", r.Documents)
		}
		return err
	}
	testbed.Eventually(t, "the hub has read documents", read)
	n.cable.sever()
	n.awayIsKnown()
	n.restart()
	for what, legacy := range map[string]bool{"aggregated": false, "one by one": true} {
		client, err := discovery.NewDiscoveryClientForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		client.UseLegacyDiscovery = legacy
		groups, err := restmapper.GetAPIGroupResources(client)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		mapping, err := restmapper.NewDiscoveryRESTMapper(groups).RESTMapping(schema.GroupKind{Group: "apps", Kind: "Deployment"})
		if err != nil || mapping.Resource.Resource != "deployments" {
			t.Errorf("%s: %+v, %v", what, mapping, err)
		}
		if version, err := client.ServerVersion(); err != nil || version.Major != "1" {
			t.Errorf("%s: %+v, %v", what, version, err)
		}
	}
}
