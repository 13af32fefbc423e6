package table

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var (
	endpointSliceDoc = discoveryv1.EndpointSlice{}.SwaggerDoc()
	storageClassDoc  = storagev1.StorageClass{}.SwaggerDoc()
	csiDriverSpecDoc = storagev1.CSIDriverSpec{}.SwaggerDoc()
	attachmentDoc    = storagev1.VolumeAttachmentSpec{}.SwaggerDoc()
	priorityClassDoc = schedulingv1.PriorityClass{}.SwaggerDoc()

	endpointSliceColumns = []column{
		name,
		text("AddressType", endpointSliceDoc["addressType"], func(e *discoveryv1.EndpointSlice) any { return string(e.AddressType) }),
		text("Ports", endpointSliceDoc["ports"], func(e *discoveryv1.EndpointSlice) any {
			var ports []string
			for _, p := range e.Ports {
				if p.Port != nil {
					ports = append(ports, strconv.Itoa(int(*p.Port)))
				} else {
					ports = append(ports, or(p.Name, "*"))
				}
			}
			return cmp.Or(firstThree(ports), unset)
		}),
		text("Endpoints", endpointSliceDoc["endpoints"], func(e *discoveryv1.EndpointSlice) any {
			var addresses []string
			for i := range e.Endpoints {
				addresses = append(addresses, e.Endpoints[i].Addresses...)
			}
			return cmp.Or(firstThree(addresses), unset)
		}),
		age,
	}

	leaseColumns = []column{
		name,
		text("Holder", coordinationv1.LeaseSpec{}.SwaggerDoc()["holderIdentity"], func(l *coordinationv1.Lease) any { return or(l.Spec.HolderIdentity, "") }),
		age,
	}

	ingressColumns = []column{
		name,
		text("Class", "The name of the IngressClass resource that should be used for additional configuration", func(i *networkingv1.Ingress) any { return or(i.Spec.IngressClassName, none) }),
		text("Hosts", "Hosts that incoming requests are matched against before the ingress rule", hosts),
		text("Address", "Address is a list containing ingress points for the load-balancer", func(i *networkingv1.Ingress) any {
			var balancers []string
			for _, b := range i.Status.LoadBalancer.Ingress {
				balancers = append(balancers, cmp.Or(b.IP, b.Hostname))
			}
			return joinSet(balancers)
		}),
		text("Ports", "Ports of TLS configurations that open", func(i *networkingv1.Ingress) any {
			if len(i.Spec.TLS) > 0 {
				return "80, 443"
			}
			return "80"
		}),
		age,
	}

	ingressClassColumns = []column{
		nameOfDefault(networkingv1.AnnotationIsDefaultIngressClass),
		text("Controller", "Controller that is responsible for handling this class", func(c *networkingv1.IngressClass) any { return c.Spec.Controller }),
		text("Parameters", "A reference to a resource with additional parameters", func(c *networkingv1.IngressClass) any {
			parameters := c.Spec.Parameters
			switch {
			case parameters == nil:
				return none
			case parameters.APIGroup != nil:
				return parameters.Kind + "." + *parameters.APIGroup + "/" + parameters.Name
			}
			return parameters.Kind + "/" + parameters.Name
		}),
		age,
	}

	networkPolicyColumns = []column{
		name,
		text("Pod-Selector", networkingv1.NetworkPolicySpec{}.SwaggerDoc()["podSelector"], func(p *networkingv1.NetworkPolicy) any { return metav1.FormatLabelSelector(&p.Spec.PodSelector) }),
		age,
	}

	serviceCIDRColumns = []column{
		name,
		text("CIDRs", networkingv1.ServiceCIDRSpec{}.SwaggerDoc()["cidrs"], func(c *networkingv1.ServiceCIDR) any { return strings.Join(c.Spec.CIDRs, ",") }),
		age,
	}

	storageClassColumns = []column{
		nameOfDefault("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"),
		text("Provisioner", storageClassDoc["provisioner"], func(c *storagev1.StorageClass) any { return c.Provisioner }),
		text("ReclaimPolicy", storageClassDoc["reclaimPolicy"], func(c *storagev1.StorageClass) any { return string(or(c.ReclaimPolicy, "Delete")) }),
		text("VolumeBindingMode", storageClassDoc["volumeBindingMode"], func(c *storagev1.StorageClass) any {
			return string(or(c.VolumeBindingMode, storagev1.VolumeBindingImmediate))
		}),
		text("AllowVolumeExpansion", storageClassDoc["allowVolumeExpansion"], func(c *storagev1.StorageClass) any { return or(c.AllowVolumeExpansion, false) }),
		age,
	}

	volumeAttributesClassColumns = []column{
		name,
		text("DriverName", storagev1.VolumeAttributesClass{}.SwaggerDoc()["driverName"], func(c *storagev1.VolumeAttributesClass) any { return c.DriverName }),
		age,
	}

	csiNodeColumns = []column{
		name,
		integer("Drivers", "Drivers indicates the number of CSI drivers registered on the node", func(n *storagev1.CSINode) any { return int64(len(n.Spec.Drivers)) }),
		age,
	}

	csiDriverColumns = []column{
		name,
		boolean("AttachRequired", csiDriverSpecDoc["attachRequired"], func(d *storagev1.CSIDriver) any { return or(d.Spec.AttachRequired, true) }),
		boolean("PodInfoOnMount", csiDriverSpecDoc["podInfoOnMount"], func(d *storagev1.CSIDriver) any { return or(d.Spec.PodInfoOnMount, false) }),
		boolean("StorageCapacity", csiDriverSpecDoc["storageCapacity"], func(d *storagev1.CSIDriver) any { return or(d.Spec.StorageCapacity, false) }),
		text("TokenRequests", csiDriverSpecDoc["tokenRequests"], func(d *storagev1.CSIDriver) any {
			var audiences []string
			for _, r := range d.Spec.TokenRequests {
				audiences = append(audiences, r.Audience)
			}
			if d.Spec.TokenRequests == nil {
				return unset
			}
			return strings.Join(audiences, ",")
		}),
		boolean("RequiresRepublish", csiDriverSpecDoc["requiresRepublish"], func(d *storagev1.CSIDriver) any { return or(d.Spec.RequiresRepublish, false) }),
		text("Modes", csiDriverSpecDoc["volumeLifecycleModes"], func(d *storagev1.CSIDriver) any {
			var modes []string
			for _, m := range d.Spec.VolumeLifecycleModes {
				modes = append(modes, string(m))
			}
			return orNone(strings.Join(modes, ","))
		}),
		age,
	}

	volumeAttachmentColumns = []column{
		name,
		formatted("name", text("Attacher", attachmentDoc["attacher"], func(a *storagev1.VolumeAttachment) any { return a.Spec.Attacher })),
		text("PV", storagev1.VolumeAttachmentSource{}.SwaggerDoc()["persistentVolumeName"], func(a *storagev1.VolumeAttachment) any {
			return or(a.Spec.Source.PersistentVolumeName, "")
		}),
		text("Node", attachmentDoc["nodeName"], func(a *storagev1.VolumeAttachment) any { return a.Spec.NodeName }),
		boolean("Attached", storagev1.VolumeAttachmentStatus{}.SwaggerDoc()["attached"], func(a *storagev1.VolumeAttachment) any { return a.Status.Attached }),
		age,
	}

	runtimeClassColumns = []column{
		name,
		text("Handler", "", func(c *nodev1.RuntimeClass) any { return c.Handler }),
		age,
	}

	priorityClassColumns = []column{
		name,
		integer("Value", priorityClassDoc["value"], func(c *schedulingv1.PriorityClass) any { return int64(c.Value) }),
		boolean("Global-Default", priorityClassDoc["globalDefault"], func(c *schedulingv1.PriorityClass) any { return c.GlobalDefault }),
		age,
		text("PreemptionPolicy", priorityClassDoc["preemptionPolicy"], func(c *schedulingv1.PriorityClass) any { return string(or(c.PreemptionPolicy, "")) }),
	}

	roleBindingColumns = bindingColumns("roleBinding", rbacv1.RoleBinding{}.SwaggerDoc()["roleRef"],
		func(b *rbacv1.RoleBinding) (rbacv1.RoleRef, []rbacv1.Subject) { return b.RoleRef, b.Subjects })
	clusterRoleBindingColumns = bindingColumns("clusterRoleBinding", rbacv1.ClusterRoleBinding{}.SwaggerDoc()["roleRef"],
		func(b *rbacv1.ClusterRoleBinding) (rbacv1.RoleRef, []rbacv1.Subject) { return b.RoleRef, b.Subjects })
)

// bindingColumns are those of bindings of roles.
func bindingColumns[T any](kind, roleDoc string, of func(*T) (rbacv1.RoleRef, []rbacv1.Subject)) []column {
	subjects := func(kind string, called func(rbacv1.Subject) string) func(*T) any {
		return func(b *T) any {
			var all []string
			_, subjects := of(b)
			for _, s := range subjects {
				if s.Kind == kind {
					all = append(all, called(s))
				}
			}
			return strings.Join(all, ", ")
		}
	}
	byName := func(s rbacv1.Subject) string { return s.Name }
	// kube-apiserver describes it as v1beta1 did.
	roleDoc = strings.TrimSuffix(roleDoc, " This field is immutable.")
	return slices.Concat([]column{
		name,
		text("Role", roleDoc, func(b *T) any {
			role, _ := of(b)
			return role.Kind + "/" + role.Name
		}),
		age,
	}, allWide(
		text("Users", "Users in the "+kind, subjects(rbacv1.UserKind, byName)),
		text("Groups", "Groups in the "+kind, subjects(rbacv1.GroupKind, byName)),
		text("ServiceAccounts", "ServiceAccounts in the "+kind, subjects(rbacv1.ServiceAccountKind, func(s rbacv1.Subject) string { return s.Namespace + "/" + s.Name })),
	))
}

// hosts are the first three of an Ingress; of how many there are more, rules without a host count.
func hosts(i *networkingv1.Ingress) any {
	var hosts []string
	for _, rule := range i.Spec.Rules {
		if len(hosts) == 3 {
			return fmt.Sprintf("%s + %d more...", strings.Join(hosts, ","), len(i.Spec.Rules)-3)
		}
		if rule.Host != "" {
			hosts = append(hosts, rule.Host)
		}
	}
	return cmp.Or(strings.Join(hosts, ","), "*")
}
