package table

import (
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// known are the Tables that Of has.
var known = func() map[schema.GroupVersionResource]*Table {
	k := catalog{}
	add[corev1.Pod](k, corev1.SchemeGroupVersion, "pods", podColumns...)
	add[corev1.Node](k, corev1.SchemeGroupVersion, "nodes", nodeColumns...)
	add[corev1.Service](k, corev1.SchemeGroupVersion, "services", serviceColumns...)
	add[corev1.Endpoints](k, corev1.SchemeGroupVersion, "endpoints", endpointsColumns...)
	add[corev1.Namespace](k, corev1.SchemeGroupVersion, "namespaces", namespaceColumns...)
	add[corev1.ConfigMap](k, corev1.SchemeGroupVersion, "configmaps", configMapColumns...)
	add[corev1.Secret](k, corev1.SchemeGroupVersion, "secrets", secretColumns...)
	add[corev1.ServiceAccount](k, corev1.SchemeGroupVersion, "serviceaccounts", name, age)
	add[corev1.Event](k, corev1.SchemeGroupVersion, "events", eventColumns...)
	add[corev1.PersistentVolume](k, corev1.SchemeGroupVersion, "persistentvolumes", pvColumns...)
	add[corev1.PersistentVolumeClaim](k, corev1.SchemeGroupVersion, "persistentvolumeclaims", pvcColumns...)
	add[corev1.ReplicationController](k, corev1.SchemeGroupVersion, "replicationcontrollers", rcColumns...)
	add[corev1.ResourceQuota](k, corev1.SchemeGroupVersion, "resourcequotas", resourceQuotaColumns...)
	add[corev1.PodTemplate](k, corev1.SchemeGroupVersion, "podtemplates", podTemplateColumns...)
	add[corev1.LimitRange](k, corev1.SchemeGroupVersion, "limitranges", name, createdAt)

	add[appsv1.Deployment](k, appsv1.SchemeGroupVersion, "deployments", deploymentColumns...)
	add[appsv1.DaemonSet](k, appsv1.SchemeGroupVersion, "daemonsets", daemonSetColumns...)
	add[appsv1.ReplicaSet](k, appsv1.SchemeGroupVersion, "replicasets", replicaSetColumns...)
	add[appsv1.StatefulSet](k, appsv1.SchemeGroupVersion, "statefulsets", statefulSetColumns...)
	add[appsv1.ControllerRevision](k, appsv1.SchemeGroupVersion, "controllerrevisions", controllerRevisionColumns...)
	add[batchv1.Job](k, batchv1.SchemeGroupVersion, "jobs", jobColumns...)
	add[batchv1.CronJob](k, batchv1.SchemeGroupVersion, "cronjobs", cronJobColumns...)

	add[discoveryv1.EndpointSlice](k, discoveryv1.SchemeGroupVersion, "endpointslices", endpointSliceColumns...)
	add[networkingv1.Ingress](k, networkingv1.SchemeGroupVersion, "ingresses", ingressColumns...)
	add[networkingv1.IngressClass](k, networkingv1.SchemeGroupVersion, "ingressclasses", ingressClassColumns...)
	add[networkingv1.NetworkPolicy](k, networkingv1.SchemeGroupVersion, "networkpolicies", networkPolicyColumns...)
	add[networkingv1.ServiceCIDR](k, networkingv1.SchemeGroupVersion, "servicecidrs", serviceCIDRColumns...)

	add[storagev1.StorageClass](k, storagev1.SchemeGroupVersion, "storageclasses", storageClassColumns...)
	add[storagev1.VolumeAttributesClass](k, storagev1.SchemeGroupVersion, "volumeattributesclasses", volumeAttributesClassColumns...)
	add[storagev1.VolumeAttachment](k, storagev1.SchemeGroupVersion, "volumeattachments", volumeAttachmentColumns...)
	add[storagev1.CSINode](k, storagev1.SchemeGroupVersion, "csinodes", csiNodeColumns...)
	add[storagev1.CSIDriver](k, storagev1.SchemeGroupVersion, "csidrivers", csiDriverColumns...)
	add[storagev1.CSIStorageCapacity](k, storagev1.SchemeGroupVersion, "csistoragecapacities", name, createdAt)

	add[rbacv1.Role](k, rbacv1.SchemeGroupVersion, "roles", name, createdAt)
	add[rbacv1.ClusterRole](k, rbacv1.SchemeGroupVersion, "clusterroles", name, createdAt)
	add[rbacv1.RoleBinding](k, rbacv1.SchemeGroupVersion, "rolebindings", roleBindingColumns...)
	add[rbacv1.ClusterRoleBinding](k, rbacv1.SchemeGroupVersion, "clusterrolebindings", clusterRoleBindingColumns...)

	add[coordinationv1.Lease](k, coordinationv1.SchemeGroupVersion, "leases", leaseColumns...)
	add[eventsv1.Event](k, eventsv1.SchemeGroupVersion, "events", newEventColumns...)
	add[nodev1.RuntimeClass](k, nodev1.SchemeGroupVersion, "runtimeclasses", runtimeClassColumns...)
	add[schedulingv1.PriorityClass](k, schedulingv1.SchemeGroupVersion, "priorityclasses", priorityClassColumns...)

	definitions := schema.GroupVersion{Group: "apiextensions.k8s.io", Version: "v1"}
	k[definitions.WithResource("customresourcedefinitions")] = tableOf[metav1.PartialObjectMetadata](definitions.WithKind("CustomResourceDefinition"), name, createdAt)
	return k
}()

type catalog map[schema.GroupVersionResource]*Table

// add adds the Table of a resource whose kind is called as its type T.
func add[T any, P interface {
	*T
	object
}](k catalog, version schema.GroupVersion, resource string, columns ...column) {
	k[version.WithResource(resource)] = tableOf[T, P](version.WithKind(reflect.TypeFor[T]().Name()), columns...)
}
