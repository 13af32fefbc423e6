package table

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var (
	endpointSliceColumns = []column{
		name,
		text("AddressType", doc("discovery/v1.EndpointSlice", "addressType"), func(e *endpointSlice) any { return e.AddressType }),
		text("Ports", doc("discovery/v1.EndpointSlice", "ports"), func(e *endpointSlice) any {
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
		text("Endpoints", doc("discovery/v1.EndpointSlice", "endpoints"), func(e *endpointSlice) any {
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
		text("Class", "The name of the IngressClass resource that should be used for additional configuration", func(i *ingress) any { return or(i.Spec.IngressClassName, none) }),
		text("Hosts", "Hosts that incoming requests are matched against before the ingress rule", hosts),
		text("Address", "Address is a list containing ingress points for the load-balancer", func(i *ingress) any {
			var balancers []string
			for _, b := range i.Status.LoadBalancer.Ingress {
				balancers = append(balancers, cmp.Or(b.IP, b.Hostname))
			}
			return joinSet(balancers)
		}),
		text("Ports", "Ports of TLS configurations that open", func(i *ingress) any {
			if len(i.Spec.TLS) > 0 {
				return "80, 443"
			}
			return "80"
		}),
		age,
	}

	ingressClassColumns = []column{
		nameOfDefault("ingressclass.kubernetes.io/is-default-class"),
		text("Controller", "Controller that is responsible for handling this class", func(c *ingressClass) any { return c.Spec.Controller }),
		text("Parameters", "A reference to a resource with additional parameters", func(c *ingressClass) any {
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
		text("Pod-Selector", doc("networking/v1.NetworkPolicySpec", "podSelector"), func(p *networkPolicy) any { return metav1.FormatLabelSelector(&p.Spec.PodSelector) }),
		age,
	}

	serviceCIDRColumns = []column{
		name,
		text("CIDRs", doc("networking/v1.ServiceCIDRSpec", "cidrs"), func(c *serviceCIDR) any { return strings.Join(c.Spec.CIDRs, ",") }),
		age,
	}

	storageClassColumns = []column{
		nameOfDefault("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"),
		text("Provisioner", doc("storage/v1.StorageClass", "provisioner"), func(c *class) any { return c.Provisioner }),
		text("ReclaimPolicy", doc("storage/v1.StorageClass", "reclaimPolicy"), func(c *class) any { return or(c.ReclaimPolicy, "Delete") }),
		text("VolumeBindingMode", doc("storage/v1.StorageClass", "volumeBindingMode"), func(c *class) any {
			return or(c.VolumeBindingMode, "Immediate")
		}),
		text("AllowVolumeExpansion", doc("storage/v1.StorageClass", "allowVolumeExpansion"), func(c *class) any { return or(c.AllowVolumeExpansion, false) }),
		age,
	}

	volumeAttributesClassColumns = []column{
		name,
		text("DriverName", doc("storage/v1.VolumeAttributesClass", "driverName"), func(c *volumeAttributesClass) any { return c.DriverName }),
		age,
	}

	csiNodeColumns = []column{
		name,
		integer("Drivers", "Drivers indicates the number of CSI drivers registered on the node", func(n *csiNode) any { return int64(len(n.Spec.Drivers)) }),
		age,
	}

	csiDriverColumns = []column{
		name,
		boolean("AttachRequired", doc("storage/v1.CSIDriverSpec", "attachRequired"), func(d *csiDriver) any { return or(d.Spec.AttachRequired, true) }),
		boolean("PodInfoOnMount", doc("storage/v1.CSIDriverSpec", "podInfoOnMount"), func(d *csiDriver) any { return or(d.Spec.PodInfoOnMount, false) }),
		boolean("StorageCapacity", doc("storage/v1.CSIDriverSpec", "storageCapacity"), func(d *csiDriver) any { return or(d.Spec.StorageCapacity, false) }),
		text("TokenRequests", doc("storage/v1.CSIDriverSpec", "tokenRequests"), func(d *csiDriver) any {
			var audiences []string
			for _, r := range d.Spec.TokenRequests {
				audiences = append(audiences, r.Audience)
			}
			if d.Spec.TokenRequests == nil {
				return unset
			}
			return strings.Join(audiences, ",")
		}),
		boolean("RequiresRepublish", doc("storage/v1.CSIDriverSpec", "requiresRepublish"), func(d *csiDriver) any { return or(d.Spec.RequiresRepublish, false) }),
		text("Modes", doc("storage/v1.CSIDriverSpec", "volumeLifecycleModes"), func(d *csiDriver) any {
			return orNone(strings.Join(d.Spec.VolumeLifecycleModes, ","))
		}),
		age,
	}

	volumeAttachmentColumns = []column{
		name,
		formatted("name", text("Attacher", doc("storage/v1.VolumeAttachmentSpec", "attacher"), func(a *volumeAttachment) any { return a.Spec.Attacher })),
		text("PV", doc("storage/v1.VolumeAttachmentSource", "persistentVolumeName"), func(a *volumeAttachment) any {
			return or(a.Spec.Source.PersistentVolumeName, "")
		}),
		text("Node", doc("storage/v1.VolumeAttachmentSpec", "nodeName"), func(a *volumeAttachment) any { return a.Spec.NodeName }),
		boolean("Attached", doc("storage/v1.VolumeAttachmentStatus", "attached"), func(a *volumeAttachment) any { return a.Status.Attached }),
		age,
	}

	runtimeClassColumns = []column{
		name,
		text("Handler", "", func(c *runtimeClass) any { return c.Handler }),
		age,
	}

	priorityClassColumns = []column{
		name,
		integer("Value", doc("scheduling/v1.PriorityClass", "value"), func(c *priorityClass) any { return int64(c.Value) }),
		boolean("Global-Default", doc("scheduling/v1.PriorityClass", "globalDefault"), func(c *priorityClass) any { return c.GlobalDefault }),
		age,
		text("PreemptionPolicy", doc("scheduling/v1.PriorityClass", "preemptionPolicy"), func(c *priorityClass) any { return or(c.PreemptionPolicy, "") }),
	}

	roleBindingColumns        = bindingColumns("roleBinding", doc("rbac/v1beta1.RoleBinding", "roleRef"))
	clusterRoleBindingColumns = bindingColumns("clusterRoleBinding", doc("rbac/v1beta1.ClusterRoleBinding", "roleRef"))
)

// bindingColumns are those of bindings of roles.
func bindingColumns(kind, roleDoc string) []column {
	subjects := func(kind string, called func(subject) string) func(*binding) any {
		return func(b *binding) any {
			var all []string
			for _, s := range b.Subjects {
				if s.Kind == kind {
					all = append(all, called(s))
				}
			}
			return strings.Join(all, ", ")
		}
	}
	byName := func(s subject) string { return s.Name }
	return slices.Concat([]column{
		name,
		text("Role", roleDoc, func(b *binding) any { return b.RoleRef.Kind + "/" + b.RoleRef.Name }),
		age,
	}, allWide(
		text("Users", "Users in the "+kind, subjects("User", byName)),
		text("Groups", "Groups in the "+kind, subjects("Group", byName)),
		text("ServiceAccounts", "ServiceAccounts in the "+kind, subjects("ServiceAccount", func(s subject) string { return s.Namespace + "/" + s.Name })),
	))
}

// hosts are the first three of an Ingress; of how many there are more, rules without a host count.
func hosts(i *ingress) any {
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
