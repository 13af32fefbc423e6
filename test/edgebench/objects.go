package main

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

const (
	// edge is the node with the hub.
	edge = "edge-1"
	// endpointsEach is how many endpoints a Service has.
	endpointsEach = 5
	// podNamespaces is how many namespaces the node's pods are in, and serviceNamespaces Services.
	podNamespaces, serviceNamespaces = 10, 20
)

// now is a moment for all objects.
var now = metav1.Now()

func nodeName(i int) string {
	if i == 0 {
		return edge
	}
	return fmt.Sprintf("node-%04d", i)
}

// address is that of the pod of a number, in a network of 16 million.
func address(i int) string { return fmt.Sprintf("10.%d.%d.%d", 128+i>>16, i>>8&255, i&255) }

// node is one as a cloud has it: with labels and annotations of several controllers, and the images of its pods.
func node(i int) *corev1.Node {
	name := nodeName(i)
	capacity := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8145696Ki"), corev1.ResourcePods: resource.MustParse("110"),
		corev1.ResourceEphemeralStorage: resource.MustParse("101430960Ki"), "hugepages-1Gi": resource.MustParse("0"), "hugepages-2Mi": resource.MustParse("0"),
	}
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				"beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "kubernetes.io/hostname": name,
				"node.kubernetes.io/instance-type": "edge.large", "topology.kubernetes.io/region": "north", "topology.kubernetes.io/zone": fmt.Sprintf("north-%d", i%20),
				"edge.koinon.io/unit": fmt.Sprintf("unit-%03d", i/5),
			},
			Annotations: map[string]string{
				"flannel.alpha.coreos.com/backend-data": fmt.Sprintf(`{"VNI":1,"VtepMAC":"02:42:ac:%02x:%02x:%02x"}`, i>>16, i>>8&255, i&255), "flannel.alpha.coreos.com/backend-type": "vxlan",
				"flannel.alpha.coreos.com/kube-subnet-manager": "true", "flannel.alpha.coreos.com/public-ip": fmt.Sprintf("172.16.%d.%d", i>>8&255, i&255),
				"kubeadm.alpha.kubernetes.io/cri-socket": "unix:///run/containerd/containerd.sock", "node.alpha.kubernetes.io/ttl": "0",
				"volumes.kubernetes.io/controller-managed-attach-detach": "true",
			},
		},
		Spec: corev1.NodeSpec{PodCIDR: fmt.Sprintf("10.%d.%d.0/24", 64+i>>8, i&255), PodCIDRs: []string{fmt.Sprintf("10.%d.%d.0/24", 64+i>>8, i&255)}, ProviderID: "edge://north/" + name},
		Status: corev1.NodeStatus{
			Capacity: capacity, Allocatable: capacity, Conditions: nodeConditions(metav1.Now()),
			Addresses:       []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("172.16.%d.%d", i>>8&255, i&255)}, {Type: corev1.NodeHostName, Address: name}},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: 10250}},
			NodeInfo: corev1.NodeSystemInfo{
				MachineID: fmt.Sprintf("%032x", i), SystemUUID: fmt.Sprintf("%08x-0000-4000-8000-000000000000", i), BootID: fmt.Sprintf("%08x-0000-4000-8000-000000000001", i),
				KernelVersion: "6.8.0-48-generic", OSImage: "Ubuntu 24.04.1 LTS", ContainerRuntimeVersion: "containerd://2.1.4", KubeletVersion: "v1.36.3", OperatingSystem: "linux", Architecture: "amd64",
			},
		},
	}
	for k := range 7 {
		repository := fmt.Sprintf("registry.example.org/team-%d/service-%02d", k%4, k)
		n.Status.Images = append(n.Status.Images, corev1.ContainerImage{Names: []string{repository + "@sha256:" + strings.Repeat(fmt.Sprintf("%02x", k), 32), repository + ":v1.2.3"}, SizeBytes: int64(k+1) << 24})
	}
	return n
}

func nodeConditions(at metav1.Time) (all []corev1.NodeCondition) {
	for _, c := range []struct {
		kind            corev1.NodeConditionType
		status          corev1.ConditionStatus
		reason, message string
	}{
		{corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"},
		{corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"},
		{corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID", "kubelet has sufficient PID available"},
		{corev1.NodeReady, corev1.ConditionTrue, "KubeletReady", "kubelet is posting ready status"},
	} {
		all = append(all, corev1.NodeCondition{Type: c.kind, Status: c.status, Reason: c.reason, Message: c.message, LastHeartbeatTime: at, LastTransitionTime: now})
	}
	return all
}

func serviceName(i int) string { return fmt.Sprintf("service-%05d", i) }

func serviceNamespace(i int) string { return fmt.Sprintf("shop-%02d", i%serviceNamespaces) }

// service is one as a chart makes it.
func service(i int) *corev1.Service {
	name := serviceName(i)
	labels := map[string]string{"app.kubernetes.io/name": name, "app.kubernetes.io/instance": "shop", "app.kubernetes.io/version": "1.2.3", "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "shop-1.2.3"}
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: serviceNamespace(i), Labels: labels, Annotations: map[string]string{"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": serviceNamespace(i)}},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app.kubernetes.io/name": name},
			Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}, {Name: "metrics", Port: 9090, TargetPort: intstr.FromInt32(9090)}},
		},
	}
}

// slice is the EndpointSlice of a Service, as its controller makes it. generation is another address of the first endpoint, and ready is whether that is.
func slice(i, nodes, generation int, ready bool) *discoveryv1.EndpointSlice {
	name := serviceName(i)
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: name + "-x7k2p", Namespace: serviceNamespace(i),
			Labels: map[string]string{
				"app.kubernetes.io/name": name, "app.kubernetes.io/instance": "shop", "app.kubernetes.io/managed-by": "Helm",
				discoveryv1.LabelServiceName: name, discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io",
			},
			Annotations:     map[string]string{"endpoints.kubernetes.io/last-change-trigger-time": "2026-11-30T09:00:00Z"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Service", Name: name, UID: "00000000-0000-4000-8000-000000000000", Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true)}},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](8080), Protocol: ptr.To(corev1.ProtocolTCP)}, {Name: ptr.To("metrics"), Port: ptr.To[int32](9090), Protocol: ptr.To(corev1.ProtocolTCP)}},
	}
	for k := range endpointsEach {
		at := i*endpointsEach + k
		ip, is := address(at), true
		if k == 0 && generation > 0 {
			ip, is = address(1<<20+generation), ready
		}
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{ip}, Conditions: discoveryv1.EndpointConditions{Ready: &is, Serving: &is, Terminating: ptr.To(false)},
			NodeName: ptr.To(nodeName(at % nodes)), Zone: ptr.To(fmt.Sprintf("north-%d", at%20)),
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: serviceNamespace(i), Name: fmt.Sprintf("%s-7d9c5b8f6-%05d", name, k), UID: "00000000-0000-4000-8000-000000000001"},
		})
	}
	return s
}

func podNamespace(i int) string { return fmt.Sprintf("edge-%02d", i%podNamespaces) }

// settings is a ConfigMap of a pod, and password its Secret.
func settings(i int) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("settings-%03d", i), Namespace: podNamespace(i)},
		Data:       map[string]string{"application.yaml": strings.Repeat("key: a value that is not too short\n", 40)},
	}
}

func more(i int) *corev1.ConfigMap {
	c := settings(i)
	c.Name = fmt.Sprintf("more-%03d", i)
	return c
}

func password(i int) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("password-%03d", i), Namespace: podNamespace(i)},
		Data:       map[string][]byte{"username": []byte("shop"), "password": []byte(strings.Repeat("s", 48))},
	}
}

// pod is one of a node, with a ConfigMap and a Secret of its own, every other one with two ConfigMaps.
func pod(i int, node string) *corev1.Pod {
	name := fmt.Sprintf("service-%05d-7d9c5b8f6-%05d", i, i)
	container := corev1.Container{
		Name: "main", Image: "registry.example.org/team-1/service:v1.2.3", ImagePullPolicy: corev1.PullIfNotPresent, Args: []string{"--config=/etc/settings/application.yaml", "--listen=:8080"},
		Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}, {Name: "metrics", ContainerPort: 9090}},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")},
		},
		ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromString("http")}}, PeriodSeconds: 10},
		LivenessProbe:  &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromString("http")}}, InitialDelaySeconds: 30, PeriodSeconds: 20},
		VolumeMounts:   []corev1.VolumeMount{{Name: "settings", MountPath: "/etc/settings"}, {Name: "password", MountPath: "/etc/password", ReadOnly: true}},
		SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true), RunAsNonRoot: ptr.To(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
	}
	for k := range 2 {
		container.Env = append(container.Env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%d", k), Value: fmt.Sprintf("value-%d-of-a-setting", k)})
	}
	for _, field := range []string{"metadata.name", "metadata.namespace", "status.podIP", "spec.nodeName"} {
		container.Env = append(container.Env, corev1.EnvVar{Name: strings.ToUpper(strings.ReplaceAll(field, ".", "_")), ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: field}}})
	}
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: podNamespace(i), Labels: map[string]string{"app.kubernetes.io/name": fmt.Sprintf("service-%05d", i), "app.kubernetes.io/instance": "shop", "pod-template-hash": "7d9c5b8f6"},
			Annotations:     map[string]string{"checksum/settings": strings.Repeat("ab", 32), "prometheus.io/scrape": "true", "prometheus.io/port": "9090"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: fmt.Sprintf("service-%05d-7d9c5b8f6", i), UID: "00000000-0000-4000-8000-000000000002", Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true)}},
		},
		Spec: corev1.PodSpec{
			NodeName: node, Containers: []corev1.Container{container},
			Volumes: []corev1.Volume{
				{Name: "settings", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: settings(i).Name}}}},
				{Name: "password", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: password(i).Name}}},
			},
			Tolerations: []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: ptr.To[int64](300)}},
		},
	}
	if i%2 == 0 {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "more", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: more(i).Name}}}})
		p.Spec.Containers[0].VolumeMounts = append(p.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "more", MountPath: "/etc/more"})
	}
	return p
}

// running is what kubelet says of a pod.
func running(p *corev1.Pod, i int) *corev1.Pod {
	p = p.DeepCopy()
	for _, kind := range []corev1.PodConditionType{corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady, corev1.PodScheduled} {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now, ObservedGeneration: 1})
	}
	p.Status.Phase, p.Status.HostIP, p.Status.PodIP, p.Status.StartTime = corev1.PodRunning, "172.16.0.0", address(i), &now
	p.Status.HostIPs, p.Status.PodIPs = []corev1.HostIP{{IP: p.Status.HostIP}}, []corev1.PodIP{{IP: p.Status.PodIP}}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "main", Ready: true, Started: ptr.To(true), Image: p.Spec.Containers[0].Image, ImageID: "registry.example.org/team-1/service@sha256:" + strings.Repeat("cd", 32),
		ContainerID: "containerd://" + strings.Repeat("ef", 32), State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
	}}
	return p
}
