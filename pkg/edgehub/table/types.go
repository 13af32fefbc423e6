package table

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// What is read of objects whose types nothing else of the hub links: with all of k8s.io/api the hub is two MiB larger.

type endpointSlice struct {
	metav1.PartialObjectMetadata
	AddressType string `json:"addressType"`
	Ports       []struct {
		Name *string `json:"name"`
		Port *int32  `json:"port"`
	} `json:"ports"`
	Endpoints []struct {
		Addresses []string `json:"addresses"`
	} `json:"endpoints"`
}

type ingress struct {
	metav1.PartialObjectMetadata
	Spec struct {
		IngressClassName *string    `json:"ingressClassName"`
		TLS              []struct{} `json:"tls"`
		Rules            []struct {
			Host string `json:"host"`
		} `json:"rules"`
	} `json:"spec"`
	Status struct {
		LoadBalancer struct {
			Ingress []struct {
				IP       string `json:"ip"`
				Hostname string `json:"hostname"`
			} `json:"ingress"`
		} `json:"loadBalancer"`
	} `json:"status"`
}

type ingressClass struct {
	metav1.PartialObjectMetadata
	Spec struct {
		Controller string `json:"controller"`
		Parameters *struct {
			APIGroup *string `json:"apiGroup"`
			Kind     string  `json:"kind"`
			Name     string  `json:"name"`
		} `json:"parameters"`
	} `json:"spec"`
}

type networkPolicy struct {
	metav1.PartialObjectMetadata
	Spec struct {
		PodSelector metav1.LabelSelector `json:"podSelector"`
	} `json:"spec"`
}

type serviceCIDR struct {
	metav1.PartialObjectMetadata
	Spec struct {
		CIDRs []string `json:"cidrs"`
	} `json:"spec"`
}

// class is one of storage.
type class struct {
	metav1.PartialObjectMetadata
	Provisioner          string  `json:"provisioner"`
	ReclaimPolicy        *string `json:"reclaimPolicy"`
	VolumeBindingMode    *string `json:"volumeBindingMode"`
	AllowVolumeExpansion *bool   `json:"allowVolumeExpansion"`
}

type volumeAttributesClass struct {
	metav1.PartialObjectMetadata
	DriverName string `json:"driverName"`
}

type volumeAttachment struct {
	metav1.PartialObjectMetadata
	Spec struct {
		Attacher string `json:"attacher"`
		NodeName string `json:"nodeName"`
		Source   struct {
			PersistentVolumeName *string `json:"persistentVolumeName"`
		} `json:"source"`
	} `json:"spec"`
	Status struct {
		Attached bool `json:"attached"`
	} `json:"status"`
}

type csiNode struct {
	metav1.PartialObjectMetadata
	Spec struct {
		Drivers []struct{} `json:"drivers"`
	} `json:"spec"`
}

type csiDriver struct {
	metav1.PartialObjectMetadata
	Spec struct {
		AttachRequired  *bool `json:"attachRequired"`
		PodInfoOnMount  *bool `json:"podInfoOnMount"`
		StorageCapacity *bool `json:"storageCapacity"`
		TokenRequests   []struct {
			Audience string `json:"audience"`
		} `json:"tokenRequests"`
		RequiresRepublish    *bool    `json:"requiresRepublish"`
		VolumeLifecycleModes []string `json:"volumeLifecycleModes"`
	} `json:"spec"`
}

type runtimeClass struct {
	metav1.PartialObjectMetadata
	Handler string `json:"handler"`
}

type priorityClass struct {
	metav1.PartialObjectMetadata
	Value            int32   `json:"value"`
	GlobalDefault    bool    `json:"globalDefault"`
	PreemptionPolicy *string `json:"preemptionPolicy"`
}

// binding is a RoleBinding or ClusterRoleBinding.
type binding struct {
	metav1.PartialObjectMetadata
	RoleRef  subject   `json:"roleRef"`
	Subjects []subject `json:"subjects"`
}

type subject struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}
