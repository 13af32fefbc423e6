// Package multikueue_test runs the stock Kueue in a host and in a member, and sets it up as docs/cluster-profiles.md says: it
// runs the commands that are in the document. The host's Kueue finds the member in its ClusterProfile, and reaches it through the proxy.
package multikueue_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/test/testbed"
)

const (
	namespace      = "kueue-system"
	account        = "kueue-controller-manager"
	memberName     = "m1"
	section        = "## Kueue's MultiKueue"
	requestTimeout = "--request-timeout=60s"
	// nameInMember is that of the account of the host's Kueue.
	nameInMember = "host:system:serviceaccount:" + namespace + ":" + account
)

// fleet is a host with Koinon behind it and Kueue in it, and a member with Kueue in it.
type fleet struct {
	*testing.T
	host, member *testbed.Cluster
	koinon       *testbed.Koinon
	audit        audit // of the member
	document     testbed.Document
	// kubeconfig has the host as its current context, and the member as another one.
	kubeconfig string
	// token is a file with a token of Kueue's account in the host.
	token            string
	inHost, inMember kubernetes.Interface
}

// TestKueueRunsJobsInMembers with nothing of the member but its ClusterProfile, and no more rights than the document gives.
func TestKueueRunsJobsInMembers(t *testing.T) {
	release := os.Getenv("KOINON_KUEUE")
	if release == "" {
		t.Skip("KOINON_KUEUE names no directory with Kueue: make test-kueue makes one")
	}
	if _, err := os.Stat(filepath.Join(release, "manager")); err != nil {
		t.Skipf("hack/kueue.sh has not built Kueue, because its modules cannot be got: %v", err)
	}
	f := newFleet(t)
	install(t, release, f.member).run(t, nil)
	install(t, release, f.host).run(t, f.withProfiles())
	testbed.Shell(t, f.kubeconfig, f.document.Commands(t, section))
	f.isActive("multikueuecluster/" + memberName)
	f.isActive("admissioncheck/members")
	f.isActive("clusterqueue/batch")
	t.Log(testbed.Kubectl(t, f.kubeconfig, "get", "multikueuecluster,admissioncheck"))

	f.runsInTheMember("first")
	f.member.Restart(t)
	f.runsInTheMember("after-the-member")
	f.koinon.Restart(t)
	f.runsInTheMember("after-koinon")
	f.usesAllItsRights()
	f.hasNoOthers()
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	root, err := testbed.Root()
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{T: t, document: testbed.ReadDocument(t, "cluster-profiles.md"), audit: newAudit(t)}
	f.member = testbed.StartCluster(t, testbed.ClusterOptions{Name: memberName, APIServerArgs: f.audit.args()})
	f.host = testbed.StartCluster(t, testbed.ClusterOptions{Name: "host"})
	f.inHost, f.inMember = f.host.Client(t), f.member.Client(t)
	for _, cluster := range []*testbed.Cluster{f.host, f.member} {
		for _, name := range []string{namespace, "shop"} {
			testbed.Kubectl(t, cluster.Kubeconfig(), "create", "namespace", name)
		}
	}
	testbed.Kubectl(t, f.host.Kubeconfig(), "apply", "-f", filepath.Join(root, "artifacts", "clusterprofiles", "clusterprofiles.yaml"))
	f.koinon = testbed.StartKoinon(t, testbed.KoinonOptions{
		HostKubeconfig: f.host.Kubeconfig(), Args: []string{"--cluster-profile-namespace=" + namespace, "--connection-drain-timeout=0s"},
	})
	f.kubeconfig = testbed.WithMember(t, f.host.Kubeconfig(), f.member)
	testbed.Eventually(t, "the host serves Koinon's API", func(context.Context) error {
		return testbed.RunKubectl(t, f.kubeconfig, "", "get", "kubefedclusters", "-A", requestTimeout).Err
	})
	testbed.Plugin(t, f.kubeconfig, "join", memberName, "--proxy")
	return f
}

// withProfiles is the configuration in the document, with the paths and addresses of this machine. The account that it has a token of
// is there.
func (f *fleet) withProfiles() configuration {
	f.Helper()
	plugin, err := testbed.Binary("kubectl-koinon")
	if err != nil {
		f.Fatal(err)
	}
	f.token = filepath.Join(f.TempDir(), "token")
	write(f.T, f.token, []byte(testbed.Kubectl(f, f.host.Kubeconfig(), "-n", namespace, "create", "token", account, "--duration=4h", requestTimeout)))
	text := f.document.Manifests(f, section)
	for said, here := range map[string]string{
		"/plugins/kubectl-koinon": plugin, "https://koinon.example:6443": f.host.Server(), "/etc/koinon/ca.crt": f.host.CAFile(),
		"/var/run/secrets/kubernetes.io/serviceaccount/token": f.token,
	} {
		if !strings.Contains(text, said) {
			f.Errorf("the configuration in the document has no %s", said)
		}
		text = strings.ReplaceAll(text, said, here)
	}
	var config configuration
	if err := yaml.UnmarshalStrict([]byte(text), &config); err != nil {
		f.Fatal(err)
	}
	return config
}

// isActive waits until Kueue says so of an object in the host.
func (f *fleet) isActive(object string) {
	f.Helper()
	testbed.Eventually(f, object+" is active", func(context.Context) error {
		got := testbed.RunKubectl(f, f.kubeconfig, "", "get", object, "-o", `jsonpath={.status.conditions[?(@.type=="Active")]}`, requestTimeout)
		if !strings.Contains(got.Stdout, `"status":"True"`) {
			return fmt.Errorf("got %s%s", got.Stdout, got.Stderr)
		}
		return nil
	})
}

// runsInTheMember follows a Job that is queued in the host until it is complete there. Its pod is in the member only, which has no
// node: the test says how it fares.
func (f *fleet) runsInTheMember(name string) {
	f.Helper()
	f.queue(name)
	f.eventually("a pod of the Job in the member", func(ctx context.Context) error {
		job, err := f.inMember.BatchV1().Jobs("shop").Get(ctx, name, metav1.GetOptions{})
		if err == nil && job.Spec.Suspend != nil && *job.Spec.Suspend {
			err = errors.New("it is suspended")
		}
		if err != nil {
			return err
		}
		return f.setPod(ctx, name, corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}})
	})
	f.awaitJob(name, "runs", func(status *batchv1.JobStatus) bool {
		return status.Active == 1 && status.Ready != nil && *status.Ready == 1
	})
	f.eventually("the pod succeeds", func(ctx context.Context) error {
		return f.setPod(ctx, name, corev1.PodStatus{Phase: corev1.PodSucceeded})
	})
	f.awaitJob(name, "is complete", func(status *batchv1.JobStatus) bool {
		last := len(status.Conditions) - 1
		return status.Succeeded == 1 && last >= 0 && status.Conditions[last].Type == batchv1.JobComplete
	})
	f.eventually("the Job in the member is gone", func(ctx context.Context) error {
		_, err := f.inMember.BatchV1().Jobs("shop").Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("it is there"), err)
	})
	if pods, err := f.inHost.CoreV1().Pods("shop").List(f.Context(), metav1.ListOptions{}); err != nil || len(pods.Items) > 0 {
		f.Errorf("the host has pods %v of the Job: %v", pods.Items, err)
	}
}

// queue makes a Job in the host. A webhook of Kueue's suspends it, and says who works on it.
func (f *fleet) queue(name string) {
	f.Helper()
	testbed.KubectlStdin(f, f.host.Kubeconfig(), fmt.Sprintf(`
apiVersion: batch/v1
kind: Job
metadata: {name: %s, namespace: shop, labels: {kueue.x-k8s.io/queue-name: batch}}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: train, image: registry.example/train, resources: {requests: {cpu: 1, memory: 64Mi}}}]
`, name), "create", "-f", "-", requestTimeout)
}

// setPod sets the status of the pod that a Job has in the member.
func (f *fleet) setPod(ctx context.Context, job string, status corev1.PodStatus) error {
	pods := f.inMember.CoreV1().Pods("shop")
	list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job})
	if err != nil {
		return err
	}
	if len(list.Items) != 1 {
		return fmt.Errorf("there are %d pods", len(list.Items))
	}
	list.Items[0].Status = status
	_, err = pods.UpdateStatus(ctx, &list.Items[0], metav1.UpdateOptions{})
	return err
}

// awaitJob waits for the status that a Job has in the host.
func (f *fleet) awaitJob(name, what string, is func(status *batchv1.JobStatus) bool) {
	f.Helper()
	f.eventually("in the host, the Job "+name+" "+what, func(ctx context.Context) error {
		job, err := f.inHost.BatchV1().Jobs("shop").Get(ctx, name, metav1.GetOptions{})
		if err == nil && !is(&job.Status) {
			err = fmt.Errorf("its status is %+v", job.Status)
		}
		return err
	})
}

// hasNoOthers has Kueue's account try what it has no use for.
func (f *fleet) hasNoOthers() {
	f.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", f.host.AccountKubeconfig(f, namespace, account))
	if err != nil {
		f.Fatal(err)
	}
	config.Host += "/apis/federation.koinon.io/v1alpha1/clusters/" + memberName + "/proxy"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		f.Fatal(err)
	}
	_, secrets := client.CoreV1().Secrets("shop").List(f.Context(), metav1.ListOptions{})
	_, pods := client.CoreV1().Pods("shop").List(f.Context(), metav1.ListOptions{})
	_, jobs := client.BatchV1().Jobs("shop").Patch(f.Context(), "first", "application/merge-patch+json", []byte(`{}`), metav1.PatchOptions{})
	for what, err := range map[string]error{"list secrets": secrets, "list pods": pods, "patch jobs": jobs} {
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), nameInMember) {
			f.Errorf("Kueue's account may %s in the member: %v", what, err)
		}
	}
}

func (f *fleet) eventually(what string, check func(ctx context.Context) error) {
	f.Helper()
	testbed.Eventually(f, what, check)
}
