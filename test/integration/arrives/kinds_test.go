package arrives_test

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// kind is a kind with two manifests of it. They are what differs: apiVersion and kind are added,
// and NAME stands for what the object is called.
type kind struct {
	// Version is group/version, Kind and Resource the names.
	Version, Kind, Resource string
	// Variant tells several of one kind apart.
	Variant string
	Cluster bool
	// Name is what objects are called, around NAME; default NAME itself.
	Name string
	A, B string
	// Drift is a merge patch of what somebody does by hand in the member, which is to go.
	Drift string
	// Allocated are paths of what the member allocates at once, Later of what it decides later.
	Allocated, Later []string
	// NoFinalizer: nobody may add one.
	NoFinalizer bool
	// Runs waits for what a copy of a running object would have; nil: nothing.
	Runs func(*unstructured.Unstructured) error
}

func (k kind) name() string {
	return strings.Trim(strings.ReplaceAll(k.Version, "/", "_")+"_"+k.Kind+"_"+k.Variant, "_")
}
func (k kind) cluster() bool { return k.Cluster }
func (k kind) kind() schema.GroupVersionKind {
	return schema.FromAPIVersionAndKind(k.Version, k.Kind)
}
func (k kind) resource() schema.GroupVersionResource {
	return k.kind().GroupVersion().WithResource(k.Resource)
}
func (k kind) a(t *testing.T) map[string]any { return k.manifest(t, k.A) }
func (k kind) b(t *testing.T) map[string]any { return k.manifest(t, k.B) }

func (k kind) manifest(t *testing.T, text string) map[string]any {
	t.Helper()
	out := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	out["apiVersion"], out["kind"] = k.Version, k.Kind
	return out
}

func (k kind) await(t *testing.T, o *object) {
	t.Helper()
	if k.Runs != nil {
		eventually(t, func() error { return k.Runs(o.get()) })
	}
}

// established: the scope of a definition is immutable only from then on.
func established(definition *unstructured.Unstructured) error {
	conditions, _, _ := unstructured.NestedSlice(definition.Object, "status", "conditions")
	for _, item := range conditions {
		if condition, ok := item.(map[string]any); ok && condition["type"] == "Established" && condition["status"] == "True" {
			return nil
		}
	}
	return fmt.Errorf("got conditions %v, want Established", conditions)
}

func has(fields ...string) func(*unstructured.Unstructured) error {
	return func(u *unstructured.Unstructured) error {
		if _, there, _ := unstructured.NestedFieldNoCopy(u.Object, fields...); !there {
			return fmt.Errorf("has no %s yet", strings.Join(fields, "."))
		}
		return nil
	}
}

const (
	podA = `{metadata: {labels: {app: a}}, spec: {containers: [{name: app, image: "example.org/app:1", env: [{name: X, value: "1"}, {name: X, value: "2"}], ports: [{name: web, containerPort: 80}]}, {name: helper, image: "example.org/helper:1"}]}}`
	podB = `{metadata: {labels: {app: a, more: b}}, spec: {hostAliases: [{ip: 10.1.1.1, hostnames: [one]}, {ip: 10.1.1.1, hostnames: [two]}], containers: [{name: app, image: "example.org/app:2", ports: [{name: web, containerPort: 81}, {name: dns, containerPort: 81, protocol: UDP}]}]}}`
	// podDrift is what somebody edits in a pod template.
	podDrift = `{spec: {template: {metadata: {annotations: {kubectl.kubernetes.io/restartedAt: now}}, spec: {nodeSelector: {by: hand}, dnsPolicy: Default, containers: [{name: app, image: "example.org/hand:1", command: [hand]}, {name: sidecar, image: "example.org/hand:2"}]}}}}`
	// webhook is a webhook that is never called.
	webhookA = `{webhooks: [{name: one.example.com, sideEffects: None, admissionReviewVersions: [v1], clientConfig: {url: "https://127.0.0.1:1/"}, namespaceSelector: {matchLabels: {none: such}}, rules: [{apiGroups: [none.example.com], apiVersions: [v1], resources: [things], operations: [CREATE]}]}]}`
	webhookB = `{webhooks: [{name: two.example.com, sideEffects: None, admissionReviewVersions: [v1], clientConfig: {url: "https://127.0.0.1:2/"}, namespaceSelector: {matchLabels: {none: such}}, rules: [{apiGroups: [none.example.com], apiVersions: [v1], resources: [things], operations: [UPDATE]}]}, {name: one.example.com, failurePolicy: Ignore, sideEffects: None, admissionReviewVersions: [v1], clientConfig: {url: "https://127.0.0.1:1/"}, namespaceSelector: {matchLabels: {none: such}}, rules: [{apiGroups: [none.example.com], apiVersions: [v1], resources: [things], operations: [CREATE]}]}]}`
)

// serviceAllocated: API servers carry the policy of families over by themselves.
var serviceAllocated = []string{"spec.clusterIP", "spec.clusterIPs", "spec.healthCheckNodePort", "spec.ports.nodePort", "spec.ipFamilyPolicy"}

var jobAllocated = []string{
	"spec.selector", "spec.template.metadata.labels",
}

// kinds are those of KubeFed's chart, and all others that a create without further objects allows.
// What is immutable is the same in A and B.
var kinds = []kind{
	{Version: "v1", Kind: "Namespace", Resource: "namespaces", Cluster: true,
		A: `{metadata: {labels: {team: a}}}`, B: `{metadata: {labels: {team: b, more: c}}}`},
	{Version: "v1", Kind: "ConfigMap", Resource: "configmaps",
		A: `{data: {a: "1", b: "2"}, binaryData: {x: AAAA}}`, B: `{metadata: {labels: {x: b}}, data: {a: "2"}}`,
		Drift: `{data: {hand: made, a: "9"}}`},
	{Version: "v1", Kind: "Secret", Resource: "secrets",
		A: `{stringData: {a: "1", old: gone}, data: {a: Mg==}}`, B: `{stringData: {a: "2"}, data: {c: Mw==}}`,
		Drift: `{stringData: {hand: made}}`},
	{Version: "v1", Kind: "Secret", Resource: "secrets", Variant: "tls",
		A: `{type: kubernetes.io/tls, stringData: {tls.crt: "", tls.key: ""}}`, B: `{type: kubernetes.io/tls, data: {tls.crt: "", tls.key: "", more: AAAA}}`,
		Drift: `{data: {hand: AAAA}}`},
	{Version: "v1", Kind: "Service", Resource: "services", Allocated: serviceAllocated,
		A:     `{spec: {selector: {app: a}, ports: [{name: web, port: 80}, {name: dns, port: 53, protocol: UDP}]}}`,
		B:     `{spec: {selector: {app: b}, sessionAffinity: ClientIP, ports: [{name: web, port: 81, targetPort: web}]}}`,
		Drift: `{spec: {selector: {by: hand}, externalIPs: [192.0.2.1]}}`},
	{Version: "v1", Kind: "Service", Resource: "services", Variant: "types", Allocated: serviceAllocated,
		A:     `{spec: {type: NodePort, selector: {app: a}, ports: [{name: web, port: 80}, {name: more, port: 81}]}}`,
		B:     `{spec: {type: ClusterIP, selector: {app: a}, ports: [{name: web, port: 80}]}}`,
		Drift: `{spec: {externalIPs: [192.0.2.1]}}`},
	{Version: "v1", Kind: "Service", Resource: "services", Variant: "node-ports", Allocated: serviceAllocated,
		A:     `{spec: {type: NodePort, selector: {app: a}, ports: [{name: web, port: 80}, {name: more, port: 81}]}}`,
		B:     `{spec: {type: NodePort, selector: {app: a}, ports: [{name: more, port: 81}, {name: third, port: 82}, {name: web, port: 83}]}}`,
		Drift: `{spec: {sessionAffinity: ClientIP}}`},
	{Version: "v1", Kind: "Service", Resource: "services", Variant: "load-balancer", Allocated: serviceAllocated,
		A:     `{spec: {type: LoadBalancer, externalTrafficPolicy: Local, selector: {app: a}, ports: [{port: 80}]}}`,
		B:     `{spec: {type: ClusterIP, selector: {app: a}, ports: [{port: 80}]}}`,
		Drift: `{spec: {externalIPs: [192.0.2.1]}}`},
	{Version: "v1", Kind: "Service", Resource: "services", Variant: "external", Allocated: serviceAllocated,
		A:     `{spec: {type: ExternalName, externalName: a.example.com}}`,
		B:     `{spec: {type: ClusterIP, selector: {app: a}, ports: [{port: 80}]}}`,
		Drift: `{spec: {externalIPs: [192.0.2.1]}}`},
	{Version: "v1", Kind: "Service", Resource: "services", Variant: "headless", Allocated: serviceAllocated,
		A:     `{spec: {clusterIP: None, selector: {app: a}, ports: [{port: 80}]}}`,
		B:     `{spec: {clusterIP: None, selector: {app: b}, publishNotReadyAddresses: true, ports: [{port: 80}]}}`,
		Drift: `{spec: {selector: {by: hand}}}`},
	{Version: "v1", Kind: "ServiceAccount", Resource: "serviceaccounts",
		A: `{imagePullSecrets: [{name: a}, {name: b}]}`, B: `{automountServiceAccountToken: false, imagePullSecrets: [{name: b}]}`,
		Drift: `{imagePullSecrets: [{name: hand}]}`},
	{Version: "apps/v1", Kind: "Deployment", Resource: "deployments",
		A: `{spec: {selector: {matchLabels: {app: a}}, strategy: {rollingUpdate: {maxSurge: 3}}, template: ` + podA + `}}`,
		B: `{spec: {replicas: 2, selector: {matchLabels: {app: a}}, strategy: {type: Recreate}, template: ` + podB + `}}`, Drift: podDrift, Runs: has("status", "observedGeneration")},
	{Version: "apps/v1", Kind: "ReplicaSet", Resource: "replicasets",
		A: `{spec: {selector: {matchLabels: {app: a}}, template: ` + podA + `}}`,
		B: `{spec: {replicas: 0, selector: {matchLabels: {app: a}}, template: ` + podB + `}}`, Drift: podDrift},
	{Version: "batch/v1", Kind: "Job", Resource: "jobs", Allocated: jobAllocated, Runs: has("status", "startTime"),
		A:     `{spec: {backoffLimit: 3, template: {metadata: {labels: {app: a}}, spec: {restartPolicy: Never, containers: [{name: app, image: "example.org/app:1"}]}}}}`,
		B:     `{spec: {activeDeadlineSeconds: 600, template: {metadata: {labels: {app: a}}, spec: {restartPolicy: Never, containers: [{name: app, image: "example.org/app:1"}]}}}}`,
		Drift: `{spec: {ttlSecondsAfterFinished: 600}}`},
	{Version: "batch/v1", Kind: "Job", Resource: "jobs", Variant: "manual-selector",
		A:     `{spec: {manualSelector: true, selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {restartPolicy: Never, containers: [{name: app, image: "example.org/app:1"}]}}}}`,
		B:     `{spec: {backoffLimit: 2, manualSelector: true, selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {restartPolicy: Never, containers: [{name: app, image: "example.org/app:1"}]}}}}`,
		Drift: `{spec: {ttlSecondsAfterFinished: 600}}`},
	{Version: "networking.k8s.io/v1", Kind: "Ingress", Resource: "ingresses",
		A:     `{spec: {rules: [{host: a.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: a, port: {number: 80}}}}]}}]}}`,
		B:     `{spec: {tls: [{hosts: [b.example.com], secretName: b}], defaultBackend: {service: {name: b, port: {name: web}}}}}`,
		Drift: `{spec: {tls: [{hosts: [hand.example.com], secretName: hand}]}}`},
	{Version: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole", Resource: "clusterroles", Cluster: true,
		A: `{rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]}`, B: `{rules: [{apiGroups: [""], resources: [pods, services], verbs: [list]}, {nonResourceURLs: [/x], verbs: [get]}]}`,
		Drift: `{rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]}`},

	{Version: "v1", Kind: "Pod", Resource: "pods", Runs: has("spec", "nodeName"),
		A:     `{metadata: {labels: {x: a}}, spec: {initContainers: [{name: first, image: "example.org/first:1"}], containers: [{name: app, image: "example.org/app:1"}, {name: more, image: "example.org/more:1"}]}}`,
		B:     `{metadata: {labels: {x: b}}, spec: {initContainers: [{name: first, image: "example.org/first:2"}], containers: [{name: app, image: "example.org/app:2"}, {name: more, image: "example.org/more:1"}]}}`,
		Drift: `{metadata: {labels: {x: hand}}}`, Allocated: []string{"spec.volumes", "spec.containers.volumeMounts", "spec.initContainers.volumeMounts"}, Later: []string{"spec.nodeName"}},
	{Version: "v1", Kind: "PersistentVolumeClaim", Resource: "persistentvolumeclaims",
		A:     `{spec: {storageClassName: none, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}`,
		B:     `{metadata: {labels: {x: b}}, spec: {storageClassName: none, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}`,
		Drift: `{metadata: {labels: {x: hand}}}`},
	{Version: "v1", Kind: "PersistentVolumeClaim", Resource: "persistentvolumeclaims", Variant: "data-source",
		A:     `{spec: {storageClassName: none, dataSource: {kind: PersistentVolumeClaim, name: source}, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}`,
		B:     `{metadata: {labels: {x: b}}, spec: {storageClassName: none, dataSource: {kind: PersistentVolumeClaim, name: source}, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}`,
		Drift: `{metadata: {labels: {x: hand}}}`},
	{Version: "v1", Kind: "PersistentVolume", Resource: "persistentvolumes", Cluster: true,
		A:     `{spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], storageClassName: x, claimRef: {namespace: default, name: nobody}, hostPath: {path: /x}}}`,
		B:     `{spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteMany], persistentVolumeReclaimPolicy: Delete, mountOptions: [ro], storageClassName: x, claimRef: {namespace: default, name: nobody}, hostPath: {path: /x}}}`,
		Drift: `{spec: {mountOptions: [hand], claimRef: {uid: 11111111-1111-1111-1111-111111111111}}}`, Allocated: []string{"spec.claimRef"}},
	{Version: "v1", Kind: "Endpoints", Resource: "endpoints",
		A: `{subsets: [{addresses: [{ip: 192.0.2.1}], ports: [{port: 80}]}]}`, B: `{subsets: [{addresses: [{ip: 192.0.2.2}, {ip: 192.0.2.3}], ports: [{name: x, port: 80}]}]}`,
		Drift: `{subsets: null}`},
	{Version: "v1", Kind: "LimitRange", Resource: "limitranges",
		A: `{spec: {limits: [{type: Container, default: {cpu: 1}}]}}`, B: `{spec: {limits: [{type: Pod, max: {memory: 1Gi}}, {type: Container, max: {cpu: 2}}]}}`,
		Drift: `{spec: {limits: [{type: PersistentVolumeClaim, max: {storage: 1Gi}}]}}`},
	{Version: "v1", Kind: "ResourceQuota", Resource: "resourcequotas",
		A: `{spec: {hard: {pods: "1", requests.cpu: 1000m}}}`, B: `{spec: {hard: {pods: "2"}}}`, Drift: `{spec: {hard: {services: "1"}}}`},
	{Version: "v1", Kind: "PodTemplate", Resource: "podtemplates",
		A: `{template: ` + podA + `}`, B: `{template: ` + podB + `}`, Drift: `{template: {metadata: {annotations: {by: hand}}, spec: {dnsPolicy: Default, containers: [{name: app, image: "example.org/hand:1", command: [hand]}]}}}`},
	{Version: "v1", Kind: "ReplicationController", Resource: "replicationcontrollers",
		A: `{spec: {template: ` + podA + `}}`, B: `{spec: {replicas: 2, selector: {app: a}, template: ` + podB + `}}`, Drift: podDrift},
	{Version: "v1", Kind: "Node", Resource: "nodes", Cluster: true,
		A: `{spec: {unschedulable: true, taints: [{key: x, effect: PreferNoSchedule}]}}`, B: `{metadata: {labels: {x: b}}, spec: {unschedulable: true, taints: [{key: other, effect: PreferNoSchedule}]}}`,
		Drift: `{spec: {providerID: "test://x"}, metadata: {labels: {x: hand}}}`, Later: []string{"spec.podCIDR", "spec.podCIDRs", "spec.providerID", "spec.taints"}},
	{Version: "apps/v1", Kind: "StatefulSet", Resource: "statefulsets",
		A: `{spec: {selector: {matchLabels: {app: a}}, updateStrategy: {rollingUpdate: {partition: 1}}, volumeClaimTemplates: [{metadata: {name: d}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}], template: ` + podA + `}}`,
		B: `{spec: {replicas: 2, selector: {matchLabels: {app: a}}, updateStrategy: {type: OnDelete}, volumeClaimTemplates: [{metadata: {name: d}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}], template: ` + podB + `}}`, Drift: podDrift},
	{Version: "apps/v1", Kind: "DaemonSet", Resource: "daemonsets",
		A: `{spec: {selector: {matchLabels: {app: a}}, template: ` + podA + `}}`,
		B: `{spec: {selector: {matchLabels: {app: a}}, updateStrategy: {type: OnDelete}, template: ` + podB + `}}`, Drift: podDrift},
	{Version: "apps/v1", Kind: "ControllerRevision", Resource: "controllerrevisions",
		A: `{revision: 1, data: {a: b}}`, B: `{revision: 2, data: {a: b}}`, Drift: `{revision: 7}`},
	{Version: "batch/v1", Kind: "CronJob", Resource: "cronjobs",
		A:     `{spec: {schedule: "0 0 1 1 *", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: app, image: "example.org/app:1"}]}}}}}}`,
		B:     `{spec: {schedule: "0 0 2 1 *", suspend: true, timeZone: Etc/UTC, jobTemplate: {spec: {template: {spec: {restartPolicy: OnFailure, containers: [{name: app, image: "example.org/app:2"}]}}}}}}`,
		Drift: `{spec: {startingDeadlineSeconds: 7, jobTemplate: {spec: {backoffLimit: 9}}}}`},
	{Version: "networking.k8s.io/v1", Kind: "NetworkPolicy", Resource: "networkpolicies",
		A:     `{spec: {podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {a: b}}}], ports: [{port: 80}]}]}}`,
		B:     `{spec: {podSelector: {matchLabels: {x: b}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}}`,
		Drift: `{spec: {egress: [{}], policyTypes: [Egress]}}`},
	{Version: "networking.k8s.io/v1", Kind: "IngressClass", Resource: "ingressclasses", Cluster: true,
		A: `{spec: {controller: example.com/x, parameters: {kind: X, name: a}}}`, B: `{spec: {controller: example.com/x}}`, Drift: `{spec: {parameters: {kind: X, name: hand}}}`},
	{Version: "policy/v1", Kind: "PodDisruptionBudget", Resource: "poddisruptionbudgets",
		A: `{spec: {minAvailable: 1, selector: {matchLabels: {a: b}}}}`, B: `{spec: {maxUnavailable: 10%, selector: {matchLabels: {a: c}}}}`, Drift: `{spec: {unhealthyPodEvictionPolicy: AlwaysAllow}}`},
	{Version: "autoscaling/v2", Kind: "HorizontalPodAutoscaler", Resource: "horizontalpodautoscalers",
		A:     `{spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: x}}}`,
		B:     `{spec: {minReplicas: 2, maxReplicas: 4, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: x}, metrics: [{type: Resource, resource: {name: memory, target: {type: Utilization, averageUtilization: 60}}}], behavior: {scaleDown: {stabilizationWindowSeconds: 1}}}}`,
		Drift: `{spec: {minReplicas: 3, maxReplicas: 9}}`},
	{Version: "rbac.authorization.k8s.io/v1", Kind: "Role", Resource: "roles",
		A: `{rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]}`, B: `{rules: []}`, Drift: `{rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]}`},
	{Version: "rbac.authorization.k8s.io/v1", Kind: "RoleBinding", Resource: "rolebindings",
		A:     `{roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: x}, subjects: [{kind: User, name: a}]}`,
		B:     `{roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: x}, subjects: [{kind: Group, name: b}, {kind: ServiceAccount, namespace: x, name: c}]}`,
		Drift: `{subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: hand}]}`},
	{Version: "rbac.authorization.k8s.io/v1", Kind: "ClusterRoleBinding", Resource: "clusterrolebindings", Cluster: true,
		A:     `{roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: x}, subjects: [{kind: User, name: a}]}`,
		B:     `{roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: x}}`,
		Drift: `{subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: hand}]}`},
	{Version: "coordination.k8s.io/v1", Kind: "Lease", Resource: "leases",
		A: `{spec: {holderIdentity: a, leaseDurationSeconds: 10}}`, B: `{spec: {holderIdentity: b}}`, Drift: `{spec: {leaseTransitions: 3}}`},
	{Version: "discovery.k8s.io/v1", Kind: "EndpointSlice", Resource: "endpointslices",
		A: `{addressType: IPv4, endpoints: [{addresses: [192.0.2.1]}], ports: [{port: 80}]}`, B: `{addressType: IPv4, endpoints: [{addresses: [192.0.2.2], conditions: {ready: false}}]}`, Drift: `{endpoints: []}`},
	{Version: "scheduling.k8s.io/v1", Kind: "PriorityClass", Resource: "priorityclasses", Cluster: true,
		A: `{value: 7, description: a}`, B: `{value: 7}`, Drift: `{description: hand}`},
	{Version: "storage.k8s.io/v1", Kind: "StorageClass", Resource: "storageclasses", Cluster: true,
		A: `{provisioner: example.com/x, mountOptions: [a], parameters: {a: b}}`, B: `{provisioner: example.com/x, mountOptions: [b], parameters: {a: b}, allowVolumeExpansion: true}`, Drift: `{mountOptions: [hand]}`},
	{Version: "storage.k8s.io/v1", Kind: "CSIDriver", Resource: "csidrivers", Cluster: true,
		A: `{spec: {attachRequired: false, tokenRequests: [{audience: a}]}}`, B: `{spec: {attachRequired: false, requiresRepublish: true}}`, Drift: `{spec: {tokenRequests: [{audience: hand}]}}`},
	{Version: "storage.k8s.io/v1", Kind: "CSINode", Resource: "csinodes", Cluster: true,
		A: `{spec: {drivers: [{name: a, nodeID: a, topologyKeys: null}]}}`, B: `{spec: {drivers: []}}`, Drift: `{spec: {drivers: [{name: hand, nodeID: a, topologyKeys: null}]}}`},
	{Version: "storage.k8s.io/v1", Kind: "CSIStorageCapacity", Resource: "csistoragecapacities",
		A: `{storageClassName: x, capacity: 1Gi}`, B: `{storageClassName: x, capacity: 2Gi, maximumVolumeSize: 1Gi}`, Drift: `{capacity: 9Gi}`},
	{Version: "storage.k8s.io/v1", Kind: "VolumeAttachment", Resource: "volumeattachments", Cluster: true,
		A: `{spec: {attacher: x, nodeName: none, source: {persistentVolumeName: none}}}`, B: `{metadata: {labels: {x: b}}, spec: {attacher: x, nodeName: none, source: {persistentVolumeName: none}}}`, Drift: `{metadata: {labels: {x: hand}}}`},
	{Version: "storage.k8s.io/v1", Kind: "VolumeAttributesClass", Resource: "volumeattributesclasses", Cluster: true,
		A: `{driverName: x, parameters: {a: b}}`, B: `{metadata: {labels: {x: b}}, driverName: x, parameters: {a: b}}`, Drift: `{metadata: {labels: {x: hand}}}`},
	{Version: "node.k8s.io/v1", Kind: "RuntimeClass", Resource: "runtimeclasses", Cluster: true,
		A: `{handler: x, overhead: {podFixed: {cpu: 1m}}}`, B: `{handler: x, scheduling: {nodeSelector: {a: b}}}`, Drift: `{scheduling: {nodeSelector: {by: hand}}}`},
	{Version: "admissionregistration.k8s.io/v1", Kind: "ValidatingWebhookConfiguration", Resource: "validatingwebhookconfigurations", Cluster: true,
		A: webhookA, B: webhookB, Drift: strings.Replace(webhookA, "one.example.com", "hand.example.com", 1)},
	{Version: "admissionregistration.k8s.io/v1", Kind: "MutatingWebhookConfiguration", Resource: "mutatingwebhookconfigurations", Cluster: true,
		A: webhookA, B: webhookB, Drift: strings.Replace(webhookA, "one.example.com", "hand.example.com", 1)},
	{Version: "admissionregistration.k8s.io/v1", Kind: "ValidatingAdmissionPolicy", Resource: "validatingadmissionpolicies", Cluster: true,
		A:     `{spec: {matchConstraints: {resourceRules: [{apiGroups: [none.example.com], apiVersions: [v1], resources: [things], operations: [CREATE]}]}, validations: [{expression: "true"}]}}`,
		B:     `{spec: {failurePolicy: Ignore, matchConstraints: {resourceRules: [{apiGroups: [none.example.com], apiVersions: [v1], resources: [things], operations: [CREATE]}]}, validations: [{expression: "false", message: never}], variables: [{name: x, expression: "1"}]}}`,
		Drift: `{spec: {matchConditions: [{name: hand, expression: "true"}]}}`},
	{Version: "admissionregistration.k8s.io/v1", Kind: "ValidatingAdmissionPolicyBinding", Resource: "validatingadmissionpolicybindings", Cluster: true,
		A: `{spec: {policyName: none, validationActions: [Deny]}}`, B: `{spec: {policyName: none, validationActions: [Warn, Audit]}}`, Drift: `{spec: {matchResources: {namespaceSelector: {matchLabels: {by: hand}}}}}`},
	{Version: "flowcontrol.apiserver.k8s.io/v1", Kind: "FlowSchema", Resource: "flowschemas", Cluster: true,
		A: `{spec: {priorityLevelConfiguration: {name: global-default}, matchingPrecedence: 9000}}`, B: `{spec: {priorityLevelConfiguration: {name: global-default}, distinguisherMethod: {type: ByUser}}}`, Drift: `{spec: {matchingPrecedence: 8000}}`},
	{Version: "flowcontrol.apiserver.k8s.io/v1", Kind: "PriorityLevelConfiguration", Resource: "prioritylevelconfigurations", Cluster: true,
		A: `{spec: {type: Limited, limited: {nominalConcurrencyShares: 1, limitResponse: {type: Queue, queuing: {queues: 8, handSize: 2}}}}}`, B: `{spec: {type: Limited, limited: {nominalConcurrencyShares: 2, limitResponse: {type: Reject}}}}`, Drift: `{spec: {limited: {lendablePercent: 50}}}`},
	{Version: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition", Resource: "customresourcedefinitions", Cluster: true, Name: "things.NAME.example.com", Allocated: []string{"spec.group"}, Runs: established,
		A:     `{spec: {group: NAME.example.com, scope: Namespaced, names: {plural: things, kind: Thing}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {a: {type: string}}}}}]}}`,
		B:     `{spec: {group: NAME.example.com, scope: Namespaced, names: {plural: things, kind: Thing, shortNames: [th]}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {b: {type: string, default: x}}}}}]}}`,
		Drift: `{spec: {names: {categories: [all]}}}`},
	{Version: "apiregistration.k8s.io/v1", Kind: "APIService", Resource: "apiservices", Cluster: true, Name: "v1.NAME.example.com", Allocated: []string{"spec.group"},
		A:     `{spec: {group: NAME.example.com, version: v1, groupPriorityMinimum: 10, versionPriority: 10, insecureSkipTLSVerify: true, service: {namespace: none, name: none}}}`,
		B:     `{spec: {group: NAME.example.com, version: v1, groupPriorityMinimum: 20, versionPriority: 10, service: {namespace: none, name: none, port: 8443}}}`,
		Drift: `{spec: {versionPriority: 99}}`},
	{Version: "certificates.k8s.io/v1", Kind: "CertificateSigningRequest", Resource: "certificatesigningrequests", Cluster: true,
		A: `{spec: {signerName: example.com/x, usages: [client auth], request: ` + certificateRequest + `}}`, B: `{metadata: {labels: {x: b}}, spec: {signerName: example.com/x, usages: [client auth], request: ` + certificateRequest + `}}`,
		Drift: `{metadata: {labels: {x: hand}}}`},
	{Version: "resource.k8s.io/v1", Kind: "DeviceClass", Resource: "deviceclasses", Cluster: true,
		A: `{spec: {selectors: [{cel: {expression: "true"}}]}}`, B: `{spec: {selectors: [{cel: {expression: "false"}}]}}`, Drift: `{spec: {selectors: []}}`},
	{Version: "resource.k8s.io/v1", Kind: "ResourceClaimTemplate", Resource: "resourceclaimtemplates",
		A: `{spec: {spec: {devices: {requests: [{name: a, exactly: {deviceClassName: x}}]}}}}`, B: `{metadata: {labels: {x: b}}, spec: {spec: {devices: {requests: [{name: a, exactly: {deviceClassName: x}}]}}}}`, Drift: `{metadata: {labels: {x: hand}}}`},
	{Version: "resource.k8s.io/v1", Kind: "ResourceClaim", Resource: "resourceclaims",
		A: `{spec: {devices: {requests: [{name: a, exactly: {deviceClassName: x}}]}}}`, B: `{metadata: {labels: {x: b}}, spec: {devices: {requests: [{name: a, exactly: {deviceClassName: x}}]}}}`, Drift: `{metadata: {labels: {x: hand}}}`},
	{Version: "resource.k8s.io/v1", Kind: "ResourceSlice", Resource: "resourceslices", Cluster: true,
		A: `{spec: {driver: x.example.com, allNodes: true, pool: {name: p, generation: 1, resourceSliceCount: 1}, devices: [{name: a}]}}`, B: `{spec: {driver: x.example.com, allNodes: true, pool: {name: p, generation: 1, resourceSliceCount: 1}, devices: [{name: b}, {name: c}]}}`, Drift: `{spec: {devices: []}}`},
}

// certificateRequest is one of a key that nobody has.
const certificateRequest = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlJQ1VUQ0NBVGtDQVFBd0RERUtNQWdHQTFVRUF3d0JlRENDQVNJd0RRWUpLb1pJaHZjTkFRRUJCUUFEZ2dFUApBRENDQVFvQ2dnRUJBTGl5ejN3ckFCZUxFendDeFZZWXM1ZUx2U3J3UndqaVp5RGdINjdrZTRYa1NFL3R4YzNiCjYyWXJaeFpSMi9ocVErcHlQbFI4TU14TWIwWFJlNHVqeCs5dlhRSEg1U0I3ZjFZbGVibXNBdW9LWlFsWjQ0LzQKekxJTWxnMWNVdHJiZUVVYytVV2x6UnROR1UrQThkTlp2cm5yZ3ZTVW1TUnBvZWpabUN6Y0JxcnlwSWFVcHJCZQpuZlhxUTZNaWRBR1cyenZaWkFaZHYvOEliaFR3MlRDbzF3SDBJa0k0Rm5DQ1djVUR6VW1GZzZvcXYvNWFPbHdJCkR0bGltdXUvQ3l0QXlVN05DZTZkUnJ1aElGVlJlVWRGaW4rYituKzlsaFpDSkZ2T1dya1MyU2NYTk9FUHFBeUEKQStEbjVJOG92Mk9GSVNpUTNSSlNTamlrUTRoSEVudkUyYk1DQXdFQUFhQUFNQTBHQ1NxR1NJYjNEUUVCQ3dVQQpBNElCQVFDaFFqdDdhTjNjcHU5TXVtOGl6SFRPWjZ5d1BmMEpvOWdYbnArdG83QWxtYTFHc0kvbG4xSStKaGxhCjdBcDFhOFZwaVE1R1N4MUFIcjY2OS9OWVhia2xOMzVLdDRlMFJ2T0ZEMjBRdzZZK21vWXU2TVlsM0JDWVZzN08KSzNFbnN3OVpqU1pFV0JKVE10VEsrNWRTNzVjOEd6bUJqTXJqck9iYjA4cXpvTnRyNk92U2J0ZzQxeXRSZGVjSQpMbEVoKzlPODhnc0dqcFJRaTJNZ3hZQ2cyd1dhejhkK0V2U2YrUkJnVlpzQVkzWGJMaU5pUUpkdGFQNjA0TDZrCjREUDYyRWNqYWpLeTdGdjY1RllCaThEb2hxTzgxMkhmcmtmcjg4d0RGK1BoSFQ2U3VMT3ZqWW5oaUUrbXFjaWkKTGlVSERhSjhBYmsyb0JtOE40MWJVWjJYT0o0OAotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K"
