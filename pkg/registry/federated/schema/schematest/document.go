package schematest

import "k8s.io/apimachinery/pkg/runtime/schema"

// Kind is the custom kind that Document describes.
var Kind = schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Widget"}

// Template is a Widget that has every field.
const Template = `{"metadata":{"labels":{"a":"b"},"ownerReferences":[{"uid":"1","name":"x"}]},"spec":{"replicas":3,"paused":true,"ratio":0.5,
	"ports":[{"name":"http","protocol":"TCP","port":80},{"name":"dns","port":"53"}],"args":["a","b"],"tags":["x","y"],
	"selector":{"matchLabels":{"a":"b"}},"tree":{"name":"root","children":[{"name":"leaf","children":[]}]},
	"limits":{"cpu":"1","memory":5},"free":{"any":[{"thing":null}]},"choice":{"left":{"a":1}}}}`

// Document is an OpenAPI v3 document as a kube-apiserver writes it for a custom resource and for
// kinds of aggregated API servers: with what they share, lists with keys, sets, a recursion,
// and values of several types.
func Document() []byte {
	return []byte(`{"openapi":"3.0.0","info":{"title":"Kubernetes","version":"v1.36.0"},"paths":{},"components":{"schemas":{
"com.example.v1.Widget":{"description":"Widget is a thing.","type":"object","required":["spec"],
 "x-kubernetes-group-version-kind":[{"group":"example.com","version":"v1","kind":"Widget"}],
 "properties":{"apiVersion":{"type":"string"},"kind":{"type":"string"},
  "metadata":{"description":"Standard.","default":{},"allOf":[{"$ref":"#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}]},
  "spec":{"$ref":"#/components/schemas/com.example.v1.WidgetSpec"},
  "status":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}},
"com.example.v1.WidgetSpec":{"type":"object","properties":{
  "replicas":{"type":"integer","format":"int32","minimum":0},"paused":{"type":"boolean","default":false},"ratio":{"type":"number"},
  "ports":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["name","protocol"],
   "items":{"type":"object","required":["name"],"properties":{"name":{"type":"string","maxLength":63,"pattern":"^[a-z]+$"},"protocol":{"type":"string","default":"TCP","enum":["TCP","UDP"]},
    "port":{"x-kubernetes-int-or-string":true,"anyOf":[{"type":"integer"},{"type":"string"}]}}}},
  "args":{"type":"array","items":{"type":"string"},"x-kubernetes-list-type":"atomic"},
  "tags":{"type":"array","items":{"type":"string"},"x-kubernetes-list-type":"set"},
  "selector":{"type":"object","x-kubernetes-map-type":"atomic","properties":{"matchLabels":{"type":"object","additionalProperties":{"type":"string"}}}},
  "tree":{"$ref":"#/components/schemas/com.example.v1.Tree"},
  "limits":{"type":"object","additionalProperties":{"$ref":"#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity"}},
  "free":{"type":"object","x-kubernetes-preserve-unknown-fields":true},
  "choice":{"type":"object","oneOf":[{"required":["left"]},{"required":["right"]}],"properties":{"left":{"type":"object","additionalProperties":true},"right":{"type":"string","nullable":true}}}}},
"com.example.v1.Tree":{"type":"object","properties":{"name":{"type":"string"},
  "children":{"type":"array","items":{"default":{},"allOf":[{"$ref":"#/components/schemas/com.example.v1.Tree"}]},"x-kubernetes-patch-strategy":"merge","x-kubernetes-patch-merge-key":"name"}}},
"io.k8s.apimachinery.pkg.api.resource.Quantity":{"oneOf":[{"type":"string"},{"type":"number"}]},
"io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta":{"type":"object","properties":{"name":{"type":"string"},"namespace":{"type":"string"},
  "labels":{"type":"object","additionalProperties":{"type":"string","default":""}},"annotations":{"type":"object","additionalProperties":{"type":"string","default":""}},
  "ownerReferences":{"type":"array","items":{"default":{},"allOf":[{"$ref":"#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference"}]},
   "x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["uid"],"x-kubernetes-patch-merge-key":"uid","x-kubernetes-patch-strategy":"merge"}}},
"io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference":{"type":"object","x-kubernetes-map-type":"atomic","required":["uid"],"properties":{"uid":{"type":"string","default":""},"name":{"type":"string","default":""}}}
}}}`)
}
