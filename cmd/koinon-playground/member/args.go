package member

import (
	"fmt"
	"slices"
	"strings"
)

// Networks of a cluster. They are the same in all of them: no packet is ever sent to
// such an address.
const (
	serviceNetwork = "10.96.0.0/16"
	serviceIP      = "10.96.0.1"
)

// controllers of kube-controller-manager that run: what a user sees at work in
// namespaces, workloads, Services, accounts and roles. Volumes, certificates requests,
// autoscaling and devices have nobody to serve here.
var controllers = []string{
	"clusterrole-aggregation-controller",
	"cronjob-controller",
	"daemonset-controller",
	"deployment-controller",
	"disruption-controller",
	"endpointslice-controller",
	"garbage-collector-controller",
	"job-controller",
	"namespace-controller",
	"node-lifecycle-controller",
	"pod-garbage-collector-controller",
	"replicaset-controller",
	"resourcequota-controller",
	"root-ca-certificate-publisher-controller",
	"serviceaccount-controller",
	"serviceaccount-token-controller",
	"statefulset-controller",
	"ttl-after-finished-controller",
}

// args returns the command line of a program, without its name.
func (c *Cluster) args(program string) []string {
	switch program {
	case Etcd:
		return append(c.etcdArgs(), c.EtcdArgs...)
	case APIServer:
		// A list that is given twice is both.
		ours := slices.DeleteFunc(c.apiServerArgs(), func(arg string) bool {
			return strings.HasPrefix(arg, addressTypes) && slices.ContainsFunc(c.APIServerArgs, func(arg string) bool { return strings.HasPrefix(arg, addressTypes) })
		})
		return append(ours, c.APIServerArgs...)
	case ControllerManager:
		return append(c.controllerManagerArgs(), c.ControllerManagerArgs...)
	default:
		return []string{
			"--kubeconfig=" + c.path("nodes.kubeconfig"),
			fmt.Sprintf("--count=%d", c.Nodes),
			"--prefix=" + c.Name + "-node-",
			fmt.Sprintf("--port=%d", c.state.Ports.Kubelet),
			"--tls-cert-file=" + c.pki("serving.crt"), "--tls-private-key-file=" + c.pki("serving.key"),
			"--client-ca-file=" + c.pki("ca.crt"),
		}
	}
}

func (c *Cluster) etcdArgs() []string {
	client := fmt.Sprintf("https://127.0.0.1:%d", c.state.Ports.Etcd)
	peer := fmt.Sprintf("https://127.0.0.1:%d", c.state.Ports.EtcdPeer)
	cert, key, ca := c.pki("etcd.crt"), c.pki("etcd.key"), c.pki("etcd-ca.crt")
	return []string{
		"--name=" + c.Name, "--data-dir=" + c.path("etcd"), "--log-level=warn",
		"--unsafe-no-fsync", // a process that is killed loses nothing, a power cut may
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=" + c.Name + "=" + peer,
		"--cert-file=" + cert, "--key-file=" + key, "--trusted-ca-file=" + ca, "--client-cert-auth",
		"--peer-cert-file=" + cert, "--peer-key-file=" + key, "--peer-trusted-ca-file=" + ca, "--peer-client-cert-auth",
	}
}

// addressTypes is the flag with the kinds of addresses by which the API server reaches nodes.
const addressTypes = "--kubelet-preferred-address-types="

func (c *Cluster) apiServerArgs() []string {
	return []string{
		fmt.Sprintf("--etcd-servers=https://127.0.0.1:%d", c.state.Ports.Etcd),
		"--etcd-cafile=" + c.pki("etcd-ca.crt"), "--etcd-certfile=" + c.pki("etcd.crt"), "--etcd-keyfile=" + c.pki("etcd.key"),
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.state.Ports.API),
		// Endpoints may not be on loopback: the Service "kubernetes" has none.
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=" + serviceNetwork,
		"--tls-cert-file=" + c.pki("kube-apiserver.crt"), "--tls-private-key-file=" + c.pki("kube-apiserver.key"),
		"--client-ca-file=" + c.pki("ca.crt"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--allow-privileged",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.pki("service-account.pub"),
		"--service-account-signing-key-file=" + c.pki("service-account.key"),
		"--requestheader-client-ca-file=" + c.pki("front-proxy-ca.crt"), "--requestheader-allowed-names=front-proxy",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + c.pki("front-proxy.crt"), "--proxy-client-key-file=" + c.pki("front-proxy.key"),
		"--kubelet-certificate-authority=" + c.pki("ca.crt"),
		"--kubelet-client-certificate=" + c.pki("kubelet-client.crt"), "--kubelet-client-key=" + c.pki("kubelet-client.key"),
		addressTypes + "InternalIP",
		"--profiling=false",
	}
}

func (c *Cluster) controllerManagerArgs() []string {
	config := c.path("kube-controller-manager.kubeconfig")
	return []string{
		"--kubeconfig=" + config, "--authentication-kubeconfig=" + config, "--authorization-kubeconfig=" + config,
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", c.state.Ports.ControllerManager),
		"--tls-cert-file=" + c.pki("serving.crt"), "--tls-private-key-file=" + c.pki("serving.key"),
		"--leader-elect=false", "--profiling=false", "--use-service-account-credentials",
		"--service-account-private-key-file=" + c.pki("service-account.key"), "--root-ca-file=" + c.pki("ca.crt"),
		"--controllers=" + strings.Join(controllers, ","),
		// The default limits (20 and 30 a second) are what makes a small cluster slow.
		"--kube-api-qps=300", "--kube-api-burst=600",
	}
}

func (c *Cluster) pki(file string) string { return c.path("pki", file) }
