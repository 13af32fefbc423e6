package table

import (
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// known are the Tables that Of has.
var known = func() map[schema.GroupVersionResource]*Table {
	k := catalog{}
	add[corev1.Pod](k, "", "pods", "Pod", podColumns...)
	add[corev1.Node](k, "", "nodes", "Node", nodeColumns...)
	add[corev1.Service](k, "", "services", "Service", serviceColumns...)
	add[corev1.Endpoints](k, "", "endpoints", "Endpoints", endpointsColumns...)
	add[corev1.Namespace](k, "", "namespaces", "Namespace", namespaceColumns...)
	add[corev1.ConfigMap](k, "", "configmaps", "ConfigMap", configMapColumns...)
	add[corev1.Secret](k, "", "secrets", "Secret", secretColumns...)
	add[metav1.PartialObjectMetadata](k, "", "serviceaccounts", "ServiceAccount", name, age)
	add[corev1.Event](k, "", "events", "Event", eventColumns...)
	add[corev1.PersistentVolume](k, "", "persistentvolumes", "PersistentVolume", pvColumns...)
	add[corev1.PersistentVolumeClaim](k, "", "persistentvolumeclaims", "PersistentVolumeClaim", pvcColumns...)
	add[corev1.ReplicationController](k, "", "replicationcontrollers", "ReplicationController", rcColumns...)
	add[corev1.ResourceQuota](k, "", "resourcequotas", "ResourceQuota", resourceQuotaColumns...)
	add[corev1.PodTemplate](k, "", "podtemplates", "PodTemplate", podTemplateColumns...)
	add[metav1.PartialObjectMetadata](k, "", "limitranges", "LimitRange", name, createdAt)

	add[workload](k, "apps", "deployments", "Deployment", deploymentColumns...)
	add[workload](k, "apps", "daemonsets", "DaemonSet", daemonSetColumns...)
	add[workload](k, "apps", "replicasets", "ReplicaSet", replicaSetColumns...)
	add[workload](k, "apps", "statefulsets", "StatefulSet", statefulSetColumns...)
	add[controllerRevision](k, "apps", "controllerrevisions", "ControllerRevision", controllerRevisionColumns...)
	add[job](k, "batch", "jobs", "Job", jobColumns...)
	add[cronJob](k, "batch", "cronjobs", "CronJob", cronJobColumns...)

	add[endpointSlice](k, "discovery.k8s.io", "endpointslices", "EndpointSlice", endpointSliceColumns...)
	add[ingress](k, "networking.k8s.io", "ingresses", "Ingress", ingressColumns...)
	add[ingressClass](k, "networking.k8s.io", "ingressclasses", "IngressClass", ingressClassColumns...)
	add[networkPolicy](k, "networking.k8s.io", "networkpolicies", "NetworkPolicy", networkPolicyColumns...)
	add[serviceCIDR](k, "networking.k8s.io", "servicecidrs", "ServiceCIDR", serviceCIDRColumns...)

	add[class](k, "storage.k8s.io", "storageclasses", "StorageClass", storageClassColumns...)
	add[volumeAttributesClass](k, "storage.k8s.io", "volumeattributesclasses", "VolumeAttributesClass", volumeAttributesClassColumns...)
	add[volumeAttachment](k, "storage.k8s.io", "volumeattachments", "VolumeAttachment", volumeAttachmentColumns...)
	add[csiNode](k, "storage.k8s.io", "csinodes", "CSINode", csiNodeColumns...)
	add[csiDriver](k, "storage.k8s.io", "csidrivers", "CSIDriver", csiDriverColumns...)
	add[metav1.PartialObjectMetadata](k, "storage.k8s.io", "csistoragecapacities", "CSIStorageCapacity", name, createdAt)

	add[metav1.PartialObjectMetadata](k, "rbac.authorization.k8s.io", "roles", "Role", name, createdAt)
	add[metav1.PartialObjectMetadata](k, "rbac.authorization.k8s.io", "clusterroles", "ClusterRole", name, createdAt)
	add[binding](k, "rbac.authorization.k8s.io", "rolebindings", "RoleBinding", roleBindingColumns...)
	add[binding](k, "rbac.authorization.k8s.io", "clusterrolebindings", "ClusterRoleBinding", clusterRoleBindingColumns...)

	add[coordinationv1.Lease](k, "coordination.k8s.io", "leases", "Lease", leaseColumns...)
	add[eventsv1.Event](k, "events.k8s.io", "events", "Event", newEventColumns...)
	add[runtimeClass](k, "node.k8s.io", "runtimeclasses", "RuntimeClass", runtimeClassColumns...)
	add[priorityClass](k, "scheduling.k8s.io", "priorityclasses", "PriorityClass", priorityClassColumns...)

	add[metav1.PartialObjectMetadata](k, "apiextensions.k8s.io", "customresourcedefinitions", "CustomResourceDefinition", name, createdAt)
	return k
}()

type catalog map[schema.GroupVersionResource]*Table

// add adds the Table of a resource, of version v1, whose objects are decoded into a T.
func add[T any, P interface {
	*T
	object
}](k catalog, group, resource, kind string, columns ...column) {
	version := schema.GroupVersion{Group: group, Version: "v1"}
	k[version.WithResource(resource)] = tableOf[T, P](version.WithKind(kind), columns...)
}
