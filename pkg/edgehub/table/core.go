package table

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

var (
	serviceSpecDoc = corev1.ServiceSpec{}.SwaggerDoc()
	systemInfoDoc  = corev1.NodeSystemInfo{}.SwaggerDoc()
	addressesDoc   = corev1.NodeStatus{}.SwaggerDoc()["addresses"]
	pvSpecDoc      = corev1.PersistentVolumeSpec{}.SwaggerDoc()
	pvStatusDoc    = corev1.PersistentVolumeStatus{}.SwaggerDoc()
	pvcSpecDoc     = corev1.PersistentVolumeClaimSpec{}.SwaggerDoc()
	pvcStatusDoc   = corev1.PersistentVolumeClaimStatus{}.SwaggerDoc()
	rcSpecDoc      = corev1.ReplicationControllerSpec{}.SwaggerDoc()
	rcStatusDoc    = corev1.ReplicationControllerStatus{}.SwaggerDoc()

	nodeColumns = slices.Concat([]column{
		name,
		text("Status", "The status of the node", nodeStatus),
		text("Roles", "The roles of the node", nodeRoles),
		age,
		text("Version", systemInfoDoc["kubeletVersion"], func(n *corev1.Node) any { return n.Status.NodeInfo.KubeletVersion }),
	}, allWide(
		text("Internal-IP", addressesDoc, func(n *corev1.Node) any { return nodeAddress(n, corev1.NodeInternalIP) }),
		text("External-IP", addressesDoc, func(n *corev1.Node) any { return nodeAddress(n, corev1.NodeExternalIP) }),
		text("OS-Image", systemInfoDoc["osImage"], func(n *corev1.Node) any { return cmp.Or(n.Status.NodeInfo.OSImage, unknown) }),
		text("Kernel-Version", systemInfoDoc["kernelVersion"], func(n *corev1.Node) any {
			kernel := cmp.Or(n.Status.NodeInfo.KernelVersion, unknown)
			if of := n.Status.NodeInfo.Architecture; of != "" {
				kernel += " (" + of + ")"
			}
			return kernel
		}),
		text("Container-Runtime", systemInfoDoc["containerRuntimeVersion"], func(n *corev1.Node) any { return cmp.Or(n.Status.NodeInfo.ContainerRuntimeVersion, unknown) }),
	))

	serviceColumns = slices.Concat([]column{
		name,
		text("Type", serviceSpecDoc["type"], func(s *corev1.Service) any { return string(s.Spec.Type) }),
		text("Cluster-IP", serviceSpecDoc["clusterIP"], func(s *corev1.Service) any {
			if len(s.Spec.ClusterIPs) == 0 {
				return none
			}
			return s.Spec.ClusterIPs[0]
		}),
		text("External-IP", serviceSpecDoc["externalIPs"], externalIP),
		text("Port(s)", serviceSpecDoc["ports"], servicePorts),
		age,
	}, allWide(
		text("Selector", serviceSpecDoc["selector"], func(s *corev1.Service) any { return labels.FormatLabels(s.Spec.Selector) }),
	))

	endpointsColumns = []column{
		name,
		text("Endpoints", corev1.Endpoints{}.SwaggerDoc()["subsets"], endpointsAddresses),
		age,
	}

	namespaceColumns = []column{
		name,
		text("Status", "The status of the namespace", func(n *corev1.Namespace) any { return string(n.Status.Phase) }),
		age,
	}

	configMapColumns = []column{
		name,
		text("Data", corev1.ConfigMap{}.SwaggerDoc()["data"], func(c *corev1.ConfigMap) any { return int64(len(c.Data) + len(c.BinaryData)) }),
		age,
	}

	secretColumns = []column{
		name,
		text("Type", corev1.Secret{}.SwaggerDoc()["type"], func(s *corev1.Secret) any { return string(s.Type) }),
		text("Data", corev1.Secret{}.SwaggerDoc()["data"], func(s *corev1.Secret) any { return int64(len(s.Data)) }),
		age,
	}

	pvColumns = slices.Concat([]column{
		name,
		text("Capacity", pvSpecDoc["capacity"], func(v *corev1.PersistentVolume) any { return v.Spec.Capacity.Storage().String() }),
		text("Access Modes", pvSpecDoc["accessModes"], func(v *corev1.PersistentVolume) any { return accessModes(v.Spec.AccessModes) }),
		text("Reclaim Policy", pvSpecDoc["persistentVolumeReclaimPolicy"], func(v *corev1.PersistentVolume) any { return string(v.Spec.PersistentVolumeReclaimPolicy) }),
		text("Status", pvStatusDoc["phase"], func(v *corev1.PersistentVolume) any { return orTerminating(v, v.Status.Phase) }),
		text("Claim", pvSpecDoc["claimRef"], func(v *corev1.PersistentVolume) any {
			if v.Spec.ClaimRef == nil {
				return ""
			}
			return v.Spec.ClaimRef.Namespace + "/" + v.Spec.ClaimRef.Name
		}),
		text("StorageClass", "StorageClass of the pv", func(v *corev1.PersistentVolume) any { return storageClass(v, v.Spec.StorageClassName) }),
		text("VolumeAttributesClass", "VolumeAttributesClass of the pv", func(v *corev1.PersistentVolume) any { return or(v.Spec.VolumeAttributesClassName, unset) }),
		text("Reason", pvStatusDoc["reason"], func(v *corev1.PersistentVolume) any { return v.Status.Reason }),
		age,
	}, allWide(
		text("VolumeMode", pvSpecDoc["volumeMode"], func(v *corev1.PersistentVolume) any { return string(or(v.Spec.VolumeMode, unset)) }),
	))

	pvcColumns = slices.Concat([]column{
		name,
		text("Status", pvcStatusDoc["phase"], func(c *corev1.PersistentVolumeClaim) any { return orTerminating(c, c.Status.Phase) }),
		text("Volume", pvcSpecDoc["volumeName"], func(c *corev1.PersistentVolumeClaim) any { return c.Spec.VolumeName }),
		text("Capacity", pvcStatusDoc["capacity"], ifBound(func(c *corev1.PersistentVolumeClaim) string { return c.Status.Capacity.Storage().String() })),
		text("Access Modes", pvcStatusDoc["accessModes"], ifBound(func(c *corev1.PersistentVolumeClaim) string { return accessModes(c.Status.AccessModes) })),
		text("StorageClass", "StorageClass of the pvc", func(c *corev1.PersistentVolumeClaim) any { return storageClass(c, or(c.Spec.StorageClassName, "")) }),
		text("VolumeAttributesClass", "VolumeAttributesClass of the pvc", func(c *corev1.PersistentVolumeClaim) any { return or(c.Spec.VolumeAttributesClassName, unset) }),
		age,
	}, allWide(
		text("VolumeMode", pvcSpecDoc["volumeMode"], func(c *corev1.PersistentVolumeClaim) any { return string(or(c.Spec.VolumeMode, unset)) }),
	))

	rcColumns = slices.Concat([]column{
		name,
		integer("Desired", rcSpecDoc["replicas"], func(c *corev1.ReplicationController) any { return int64(or(c.Spec.Replicas, 0)) }),
		integer("Current", rcStatusDoc["replicas"], func(c *corev1.ReplicationController) any { return int64(c.Status.Replicas) }),
		integer("Ready", rcStatusDoc["readyReplicas"], func(c *corev1.ReplicationController) any { return int64(c.Status.ReadyReplicas) }),
		age,
	}, allWide(containersOf(func(c *corev1.ReplicationController) *corev1.PodTemplateSpec { return c.Spec.Template })...), allWide(
		text("Selector", rcSpecDoc["selector"], func(c *corev1.ReplicationController) any { return labels.FormatLabels(c.Spec.Selector) }),
	))

	podTemplateColumns = slices.Concat([]column{name}, containersOf(func(t *corev1.PodTemplate) *corev1.PodTemplateSpec { return &t.Template }), []column{
		text("Pod Labels", "The labels for the pod template.", func(t *corev1.PodTemplate) any { return labels.FormatLabels(t.Template.Labels) }),
	})

	resourceQuotaColumns = []column{
		name,
		text("Request", "Request represents a minimum amount of cpu/memory that a container may consume.", func(q *corev1.ResourceQuota) any { return quota(q, false) }),
		text("Limit", "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node.", func(q *corev1.ResourceQuota) any { return quota(q, true) }),
		age,
	}
)

// containersOf are the columns of what a pod template runs. A nil one runs nothing.
func containersOf[T any](template func(*T) *corev1.PodTemplateSpec) []column {
	list := func(what func(*corev1.Container) string) func(*T) any {
		return func(o *T) any {
			var all []string
			if of := template(o); of != nil {
				for i := range of.Spec.Containers {
					all = append(all, what(&of.Spec.Containers[i]))
				}
			}
			return strings.Join(all, ",")
		}
	}
	return []column{
		text("Containers", "Names of each container in the template.", list(func(c *corev1.Container) string { return c.Name })),
		text("Images", "Images referenced by each container in the template.", list(func(c *corev1.Container) string { return c.Image })),
	}
}

func nodeStatus(n *corev1.Node) any {
	status := "Unknown"
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			status = "Ready"
		} else if c.Type == corev1.NodeReady {
			status = "NotReady"
		}
	}
	if n.Spec.Unschedulable {
		status += ",SchedulingDisabled"
	}
	return status
}

func nodeRoles(n *corev1.Node) any {
	roles := map[string]struct{}{}
	for label, value := range n.Labels {
		role, found := strings.CutPrefix(label, "node-role.kubernetes.io/")
		if label == "kubernetes.io/role" {
			role, found = value, true
		}
		if found && role != "" {
			roles[role] = struct{}{}
		}
	}
	return orNone(strings.Join(slices.Sorted(maps.Keys(roles)), ","))
}

// nodeAddress is the first of a type.
func nodeAddress(n *corev1.Node, of corev1.NodeAddressType) string {
	for _, a := range n.Status.Addresses {
		if a.Type == of {
			return a.Address
		}
	}
	return none
}

func externalIP(s *corev1.Service) any {
	given := strings.Join(s.Spec.ExternalIPs, ",")
	switch s.Spec.Type {
	case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort:
		return orNone(given)
	case corev1.ServiceTypeLoadBalancer:
		var balancers []string
		for _, b := range s.Status.LoadBalancer.Ingress {
			balancers = append(balancers, cmp.Or(b.IP, b.Hostname))
		}
		if all := joinSet(balancers); all != "" && given != "" {
			return all + "," + given
		} else if all+given != "" {
			return all + given
		}
		return "<pending>"
	case corev1.ServiceTypeExternalName:
		return s.Spec.ExternalName
	}
	return unknown
}

// joinSet joins what is not empty, sorted, each once.
func joinSet(texts []string) string {
	slices.Sort(texts)
	return strings.Join(slices.DeleteFunc(slices.Compact(texts), func(s string) bool { return s == "" }), ",")
}

func servicePorts(s *corev1.Service) any {
	var ports []string
	for _, p := range s.Spec.Ports {
		port := strconv.Itoa(int(p.Port))
		if p.NodePort > 0 {
			port += ":" + strconv.Itoa(int(p.NodePort))
		}
		ports = append(ports, port+"/"+string(p.Protocol))
	}
	return orNone(strings.Join(ports, ","))
}

func endpointsAddresses(e *corev1.Endpoints) any {
	var all []string
	for _, subset := range e.Subsets {
		for _, a := range subset.Addresses {
			if len(subset.Ports) == 0 {
				all = append(all, a.IP)
			}
		}
		for _, p := range subset.Ports {
			for _, a := range subset.Addresses {
				all = append(all, net.JoinHostPort(a.IP, strconv.Itoa(int(p.Port))))
			}
		}
	}
	if len(e.Subsets) == 0 {
		return none
	}
	return firstThree(all)
}

// firstThree joins the first of many.
func firstThree(all []string) string {
	if more := len(all) - 3; more > 0 {
		return fmt.Sprintf("%s + %d more...", strings.Join(all[:3], ","), more)
	}
	return strings.Join(all, ",")
}

// accessModes are short, in an order of their own.
func accessModes(modes []corev1.PersistentVolumeAccessMode) string {
	var all []string
	for _, m := range []struct {
		mode  corev1.PersistentVolumeAccessMode
		short string
	}{{corev1.ReadWriteOnce, "RWO"}, {corev1.ReadOnlyMany, "ROX"}, {corev1.ReadWriteMany, "RWX"}, {corev1.ReadWriteOncePod, "RWOP"}} {
		if slices.Contains(modes, m.mode) {
			all = append(all, m.short)
		}
	}
	return strings.Join(all, ",")
}

// orTerminating is a phase, if an object is not being deleted.
func orTerminating[S ~string](o object, phase S) string {
	if o.GetDeletionTimestamp() != nil {
		return "Terminating"
	}
	return string(phase)
}

// storageClass is that of a volume or claim: an annotation is older than its field, and counts first.
func storageClass(o object, field string) string {
	if class, ok := o.GetAnnotations()[corev1.BetaStorageClassAnnotation]; ok {
		return class
	}
	return field
}

// ifBound is what a claim has of its volume.
func ifBound(cell func(*corev1.PersistentVolumeClaim) string) func(*corev1.PersistentVolumeClaim) any {
	return func(c *corev1.PersistentVolumeClaim) any {
		if c.Spec.VolumeName == "" {
			return ""
		}
		return cell(c)
	}
}

// quota is what is used of limits, or of everything else.
func quota(q *corev1.ResourceQuota, limits bool) string {
	var all []string
	for _, resource := range slices.Sorted(maps.Keys(q.Status.Hard)) {
		if strings.HasPrefix(string(resource), "limits.") == limits {
			used, hard := q.Status.Used[resource], q.Status.Hard[resource]
			all = append(all, fmt.Sprintf("%s: %s/%s", resource, used.String(), hard.String()))
		}
	}
	return strings.Join(all, ", ")
}
