package v1beta1

import "k8s.io/apimachinery/pkg/runtime/schema"

// GroupName is the API group of all federated kinds.
const GroupName = "types.kubefed.io"

// SchemeGroupVersion is the group and version of this shape.
var SchemeGroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1beta1"}
