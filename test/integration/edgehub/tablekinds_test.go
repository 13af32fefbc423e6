package edgehub_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// part is one of an object.
type part = map[string]any

// dice throws what objects have.
type dice struct{ *rand.Rand }

// chance is one in n.
func (d *dice) chance(n int) bool { return d.IntN(n) == 0 }

func of[T any](d *dice, values ...T) T { return values[d.IntN(len(values))] }

// up to n, 0 included.
func (d *dice) upTo(n int64) int64 { return d.Int64N(n + 1) }

// then is a time up to four years ago; of those long ago as many as of those just now.
func (d *dice) then() string { return d.thenOr(time.RFC3339) }

func (d *dice) thenOr(layout string) string {
	return time.Now().Add(-time.Duration(d.Int64N(1<<(1+d.IntN(26))) * int64(time.Second))).UTC().Format(layout)
}

// some of what a part has, each or not.
func (d *dice) some(all part) part {
	some := part{}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if d.chance(2) {
			some[key] = all[key]
		}
	}
	return some
}

// many makes up to n.
func many(d *dice, n int, one func(i int) any) []any {
	all := []any{}
	for i := range d.IntN(n + 1) {
		all = append(all, one(i))
	}
	return all
}

// tableKind is a kind of which there are random objects.
type tableKind struct {
	schema.GroupVersionResource
	kind            string
	namespace       string // "default" if it has one
	global, deleted bool   // it has no namespace; some are deleted, and stay
	body            func(d *dice, i int) part
	// status makes that of an object that was made; nil if there is none.
	status func(d *dice, o part) part
}

func tableKindOf(group, version, resource, kind string) tableKind {
	return tableKind{GroupVersionResource: schema.GroupVersionResource{Group: group, Version: version, Resource: resource}, kind: kind}
}

// The kinds, with what of them is shown.
var tableKinds = []tableKind{
	tableKindOf("", "v1", "pods", "Pod").goes().with(podOf, podStatusOf),
	tableKindOf("", "v1", "nodes", "Node").everywhere().with(func(d *dice, _ int) part {
		return part{
			"metadata": part{"labels": d.some(part{"node-role.kubernetes.io/edge": "", "node-role.kubernetes.io/worker": "x", "kubernetes.io/role": of(d, "", "old", "edge"), "unit": "a"})},
			"spec":     d.some(part{"unschedulable": true}),
		}
	}, func(d *dice, _ part) part {
		return d.some(part{
			"conditions": many(d, 3, func(i int) any {
				return part{"type": []string{"DiskPressure", "Ready", "Other"}[i], "status": of(d, "True", "False", "Unknown")}
			}),
			"addresses": many(d, 5, func(i int) any {
				return part{"type": of(d, "InternalIP", "ExternalIP", "Hostname"), "address": fmt.Sprintf("10.0.0.%d", i)}
			}),
			"nodeInfo": merged(part{"machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "", "osImage": "", "containerRuntimeVersion": "", "kubeletVersion": "", "kubeProxyVersion": "", "operatingSystem": "", "architecture": ""},
				d.some(part{"kubeletVersion": "v1.36.3", "osImage": "Debian", "kernelVersion": "6.1", "architecture": "arm64", "containerRuntimeVersion": "containerd://2"})),
		})
	}),
	tableKindOf("", "v1", "services", "Service").with(serviceOf, func(d *dice, o part) part {
		if o["spec"].(part)["type"] != "LoadBalancer" {
			return nil
		}
		return part{"loadBalancer": part{"ingress": many(d, 4, func(int) any {
			return of(d, part{"ip": of(d, "192.0.2.9", "192.0.2.10")}, part{"hostname": of(d, "lb.example.org", "a.example.org")})
		})}}
	}),
	tableKindOf("", "v1", "endpoints", "Endpoints").with(func(d *dice, _ int) part {
		return part{"subsets": many(d, 2, func(int) any {
			addresses := func(int) any { return part{"ip": of(d, "10.0.0.1", "10.0.0.2", "fd00::1")} }
			return merged(part{"addresses": append(many(d, 3, addresses), addresses(0))}, d.some(part{
				"ports":             many(d, 2, func(i int) any { return part{"name": fmt.Sprintf("p%d", i), "port": 80 + d.upTo(9)} }),
				"notReadyAddresses": many(d, 2, addresses),
			}))
		})}
	}, nil),
	tableKindOf("", "v1", "namespaces", "Namespace").everywhere().goes().with(nothing, nil),
	tableKindOf("", "v1", "configmaps", "ConfigMap").with(func(d *dice, _ int) part {
		return d.some(part{"data": d.some(part{"a": "1", "b": "2"}), "binaryData": d.some(part{"c": "AA==", "d": ""})})
	}, nil),
	tableKindOf("", "v1", "secrets", "Secret").with(func(d *dice, _ int) part {
		return merged(part{"type": of(d, "Opaque", "example.org/type")}, d.some(part{"data": d.some(part{"a": "AA==", "b": ""})}))
	}, nil),
	tableKindOf("", "v1", "serviceaccounts", "ServiceAccount").with(nothing, nil),
	tableKindOf("", "v1", "limitranges", "LimitRange").with(nothing, nil),
	tableKindOf("", "v1", "podtemplates", "PodTemplate").with(func(d *dice, _ int) part { return part{"template": templateOf(d)} }, nil),
	tableKindOf("", "v1", "events", "Event").with(eventOf, nil),
	tableKindOf("", "v1", "persistentvolumes", "PersistentVolume").everywhere().goes().with(func(d *dice, _ int) part {
		return part{
			"metadata": d.some(part{"annotations": part{"volume.beta.kubernetes.io/storage-class": "old"}}),
			"spec": merged(part{"capacity": part{"storage": of(d, "1Gi", "1024Mi", "1500m", "1e9")}, "accessModes": accessModesOf(d), "csi": part{"driver": "d.example.org", "volumeHandle": "h"}}, d.some(part{
				"persistentVolumeReclaimPolicy": of(d, "Retain", "Delete"), "storageClassName": "slow", "volumeMode": of(d, "Block", "Filesystem"),
				"claimRef": part{"namespace": "default", "name": "c"}, "volumeAttributesClassName": "gold",
			})),
		}
	}, func(d *dice, _ part) part {
		return d.some(part{"phase": of(d, "Available", "Bound", "Released"), "reason": "why"})
	}),
	tableKindOf("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim").goes().with(func(d *dice, _ int) part {
		return part{
			"metadata": d.some(part{"annotations": part{"volume.beta.kubernetes.io/storage-class": "old"}}),
			"spec": merged(part{"resources": part{"requests": part{"storage": "1Gi"}}, "accessModes": accessModesOf(d)},
				d.some(part{"volumeName": "v", "volumeMode": of(d, "Block", "Filesystem"), "volumeAttributesClassName": "gold"})),
		}
	}, func(d *dice, _ part) part {
		return d.some(part{"phase": of(d, "Bound", "Lost"), "accessModes": accessModesOf(d), "capacity": part{"storage": of(d, "2Gi", "2048Mi")}})
	}),
	tableKindOf("", "v1", "replicationcontrollers", "ReplicationController").with(func(d *dice, _ int) part {
		return part{"spec": merged(part{"selector": part{"l": "v"}, "template": templateOf(d)}, d.some(part{"replicas": d.upTo(9)}))}
	}, replicasOf),
	tableKindOf("", "v1", "resourcequotas", "ResourceQuota").apart().with(nothing, func(d *dice, _ part) part {
		return part{
			"hard": d.some(part{"pods": "10", "limits.cpu": "4000m", "requests.cpu": "1500m", "limits.memory": "1024Mi", "requests.storage": "0.5"}),
			"used": d.some(part{"pods": "3", "limits.cpu": "500m", "requests.cpu": "0", "limits.memory": "1e6"}),
		}
	}),

	tableKindOf("apps", "v1", "deployments", "Deployment").with(workloadOf, replicasOf),
	tableKindOf("apps", "v1", "replicasets", "ReplicaSet").with(workloadOf, func(d *dice, o part) part {
		status := replicasOf(d, o)
		delete(status, "updatedReplicas")
		return status
	}),
	tableKindOf("apps", "v1", "statefulsets", "StatefulSet").with(func(d *dice, i int) part {
		o := workloadOf(d, i)
		o["spec"].(part)["serviceName"] = "s"
		return o
	}, replicasOf),
	tableKindOf("apps", "v1", "daemonsets", "DaemonSet").with(func(d *dice, i int) part {
		o := workloadOf(d, i)
		delete(o["spec"].(part), "replicas")
		return o
	}, func(d *dice, _ part) part {
		return part{"desiredNumberScheduled": d.upTo(9), "currentNumberScheduled": d.upTo(9), "numberMisscheduled": d.upTo(9), "numberReady": d.upTo(9), "updatedNumberScheduled": d.upTo(9), "numberAvailable": d.upTo(9)}
	}),
	tableKindOf("apps", "v1", "controllerrevisions", "ControllerRevision").with(func(d *dice, _ int) part {
		owner := part{"apiVersion": of(d, "apps/v1", "v1"), "kind": "Owner", "name": "o", "uid": "u", "controller": d.chance(2)}
		return part{"metadata": d.some(part{"ownerReferences": []any{owner}}), "revision": d.upTo(9), "data": part{}}
	}, nil),
	tableKindOf("batch", "v1", "jobs", "Job").goes().with(func(d *dice, _ int) part {
		return part{"spec": merged(part{"template": onceOf(d), "suspend": d.chance(4)}, d.some(part{"parallelism": d.upTo(4), "completions": 3 + d.upTo(4)}))}
	}, jobStatusOf),
	tableKindOf("batch", "v1", "cronjobs", "CronJob").with(func(d *dice, _ int) part {
		return part{"spec": merged(part{"schedule": of(d, "@daily", "*/5 * * * *"), "jobTemplate": part{"spec": part{"template": onceOf(d)}}}, d.some(part{"timeZone": "Etc/UTC", "suspend": d.chance(2)}))}
	}, func(d *dice, _ part) part {
		return d.some(part{"lastScheduleTime": d.then(), "active": many(d, 3, func(i int) any { return part{"name": fmt.Sprint("j", i)} })})
	}),

	tableKindOf("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice").with(func(d *dice, _ int) part {
		return part{"addressType": "IPv4", "ports": many(d, 5, func(i int) any {
			return merged(part{"name": fmt.Sprint("p", i)}, d.some(part{"port": 80 + d.upTo(9)}))
		}),
			"endpoints": many(d, 4, func(i int) any { return part{"addresses": []any{fmt.Sprint("10.0.0.", i+1)}} })}
	}, nil),
	tableKindOf("networking.k8s.io", "v1", "ingresses", "Ingress").with(func(d *dice, _ int) part {
		return part{"spec": merged(part{"defaultBackend": part{"service": part{"name": "s", "port": part{"number": int64(80)}}}}, d.some(part{
			"ingressClassName": "c", "tls": many(d, 1, func(int) any { return part{} }),
			"rules": many(d, 6, func(i int) any { return d.some(part{"host": fmt.Sprintf("h%d.example.org", i)}) }),
		}))}
	}, func(d *dice, _ part) part {
		return part{"loadBalancer": part{"ingress": many(d, 4, func(int) any {
			return of(d, part{"ip": of(d, "192.0.2.9", "192.0.2.10")}, part{"hostname": of(d, "lb.example.org", "a.example.org")})
		})}}
	}),
	tableKindOf("networking.k8s.io", "v1", "ingressclasses", "IngressClass").everywhere().with(func(d *dice, _ int) part {
		parameters := merged(part{"kind": "K", "name": "n", "scope": "Cluster"}, d.some(part{"apiGroup": "example.org"}))
		return part{"metadata": isDefault(d, "ingressclass.kubernetes.io/is-default-class"), "spec": merged(part{"controller": "example.org/c"}, d.some(part{"parameters": parameters}))}
	}, nil),
	tableKindOf("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy").with(func(d *dice, _ int) part {
		return part{"spec": part{"podSelector": d.some(part{"matchLabels": part{"l": "v"}, "matchExpressions": []any{part{"key": "m", "operator": of(d, "Exists", "DoesNotExist")}, part{"key": "n", "operator": "In", "values": []any{"b", "a"}}}})}}
	}, nil),
	tableKindOf("storage.k8s.io", "v1", "storageclasses", "StorageClass").everywhere().with(func(d *dice, _ int) part {
		return merged(part{"metadata": isDefault(d, of(d, "storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")), "provisioner": "example.org/p"},
			d.some(part{"reclaimPolicy": of(d, "Retain", "Delete"), "volumeBindingMode": of(d, "Immediate", "WaitForFirstConsumer"), "allowVolumeExpansion": d.chance(2)}))
	}, nil),
	tableKindOf("storage.k8s.io", "v1", "volumeattributesclasses", "VolumeAttributesClass").everywhere().with(func(d *dice, _ int) part {
		return part{"driverName": of(d, "a.example.org", "b.example.org"), "parameters": part{"a": "b"}}
	}, nil),
	tableKindOf("storage.k8s.io", "v1", "volumeattachments", "VolumeAttachment").everywhere().with(func(d *dice, _ int) part {
		return part{"spec": part{"attacher": "a.example.org", "nodeName": of(d, "n1", "n2"), "source": part{"persistentVolumeName": of(d, "v1", "v2")}}}
	}, func(d *dice, _ part) part { return part{"attached": d.chance(2)} }),
	tableKindOf("storage.k8s.io", "v1", "csinodes", "CSINode").everywhere().with(func(d *dice, _ int) part {
		return part{"spec": part{"drivers": many(d, 3, func(i int) any { return part{"name": fmt.Sprintf("d%d.example.org", i), "nodeID": "n"} })}}
	}, nil),
	tableKindOf("storage.k8s.io", "v1", "csidrivers", "CSIDriver").everywhere().with(func(d *dice, _ int) part {
		return part{"spec": d.some(part{
			"attachRequired": d.chance(2), "podInfoOnMount": d.chance(2), "storageCapacity": d.chance(2), "requiresRepublish": d.chance(2),
			"tokenRequests":        many(d, 2, func(i int) any { return part{"audience": fmt.Sprint("a", i)} }),
			"volumeLifecycleModes": of(d, []any{"Persistent", "Ephemeral"}, []any{"Ephemeral"}, []any{}),
		})}
	}, nil),
	tableKindOf("storage.k8s.io", "v1", "csistoragecapacities", "CSIStorageCapacity").with(func(*dice, int) part { return part{"storageClassName": "c"} }, nil),

	tableKindOf("coordination.k8s.io", "v1", "leases", "Lease").with(func(d *dice, _ int) part {
		return part{"spec": d.some(part{"holderIdentity": "h", "renewTime": d.thenOr(microTime)})}
	}, nil),
	tableKindOf("events.k8s.io", "v1", "events", "Event").with(newEventOf, nil),
	tableKindOf("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass").everywhere().with(func(d *dice, _ int) part { return part{"handler": of(d, "kata", "runc")} }, nil),
	tableKindOf("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass").everywhere().with(func(d *dice, i int) part {
		return part{"value": d.upTo(2000) - 1000, "globalDefault": i == 0, "preemptionPolicy": of(d, "Never", "PreemptLowerPriority")}
	}, nil),
	tableKindOf("rbac.authorization.k8s.io", "v1", "roles", "Role").with(nothing, nil),
	tableKindOf("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole").everywhere().with(nothing, nil),
	tableKindOf("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding").with(bindingOf, nil),
	tableKindOf("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding").everywhere().with(bindingOf, nil),
}

func (k tableKind) everywhere() tableKind { k.global = true; return k }

// apart has it where it is in nobody's way.
func (k tableKind) apart() tableKind { k.namespace = "kube-public"; return k }

func (k tableKind) goes() tableKind { k.deleted = true; return k }

func (k tableKind) with(body func(*dice, int) part, status func(*dice, part) part) tableKind {
	k.body, k.status = body, status
	return k
}

const microTime = "2006-01-02T15:04:05.000000Z07:00"

func nothing(*dice, int) part { return part{} }

func isDefault(d *dice, annotation string) part {
	return d.some(part{"annotations": part{annotation: of(d, "true", "false")}})
}

func accessModesOf(d *dice) []any {
	return of(d, []any{"ReadWriteOncePod"}, []any{"ReadWriteMany", "ReadOnlyMany"}, []any{"ReadWriteOnce"}, []any{"ReadOnlyMany", "ReadWriteOnce", "ReadWriteMany"})
}

func containersOf(d *dice, prefix string, most int) []any {
	all := []any{}
	for i := range 1 + d.IntN(most) {
		all = append(all, part{"name": fmt.Sprint(prefix, i), "image": of(d, "i:1", "j")})
	}
	return all
}

func templateOf(d *dice) part {
	return part{"metadata": part{"labels": merged(part{"l": "v"}, d.some(part{"m": "w"}))}, "spec": merged(part{"containers": containersOf(d, "c", 3)}, d.some(part{"nodeSelector": part{"disk": "ssd", "arch": "arm"}}))}
}

// onceOf is a template of what runs once.
func onceOf(d *dice) part {
	template := templateOf(d)
	template["spec"].(part)["restartPolicy"] = "Never"
	return template
}

func workloadOf(d *dice, _ int) part {
	selector := merged(part{"matchLabels": part{"l": "v"}}, d.some(part{"matchExpressions": []any{part{"key": "l", "operator": of(d, "Exists", "In"), "values": []any{"v", "u"}}}}))
	if all, ok := selector["matchExpressions"].([]any); ok && all[0].(part)["operator"] == "Exists" {
		delete(all[0].(part), "values")
	}
	return part{"spec": merged(part{"selector": selector, "template": templateOf(d)}, d.some(part{"replicas": d.upTo(9)}))}
}

func replicasOf(d *dice, _ part) part {
	replicas := d.upTo(9)
	ready := d.upTo(replicas)
	return part{"replicas": replicas, "updatedReplicas": d.upTo(replicas), "readyReplicas": ready, "availableReplicas": d.upTo(ready)}
}

func serviceOf(d *dice, _ int) part {
	kind := of(d, "ClusterIP", "ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
	spec := part{"type": kind, "ports": many(d, 3, func(i int) any {
		return part{"name": fmt.Sprint("p", i), "port": int64(80 + i), "protocol": of(d, "TCP", "UDP", "SCTP")}
	})}
	switch {
	case kind == "ExternalName":
		spec["externalName"] = "example.org"
	case kind == "ClusterIP" && d.chance(3):
		spec["clusterIP"] = "None"
	case len(spec["ports"].([]any)) == 0:
		spec["ports"] = []any{part{"port": int64(80)}}
	}
	return part{"spec": merged(spec, d.some(part{"selector": part{"b": "2", "a": "1"}, "externalIPs": []any{"192.0.2.1", "192.0.2.2"}}))}
}

func bindingOf(d *dice, _ int) part {
	return part{"roleRef": part{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": of(d, "view", "edit")}, "subjects": many(d, 5, func(i int) any {
		name := fmt.Sprint("s", i)
		return of(d, part{"kind": "ServiceAccount", "namespace": "default", "name": name}, part{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}, part{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name})
	})}
}

func eventOf(d *dice, _ int) part {
	event := merged(part{"involvedObject": merged(part{"namespace": "default", "kind": "Pod"}, d.some(part{"name": "p", "fieldPath": "spec.containers{a}"}))}, d.some(part{
		"type": of(d, "Normal", "Warning"), "reason": "Why", "message": of(d, "text", " text\n"), "source": d.some(part{"component": "kubelet", "host": "n1"}),
		"firstTimestamp": d.then(), "lastTimestamp": d.then(), "count": d.upTo(9),
	}))
	if d.chance(2) {
		event = merged(event, newly(d), part{"reportingComponent": "example.org/c"})
	}
	return event
}

func newEventOf(d *dice, _ int) part {
	return merged(newly(d), part{"reportingController": "example.org/c", "regarding": merged(part{"namespace": "default", "kind": "Pod"}, d.some(part{"name": "p"}))}, d.some(part{"note": " n "}))
}

// newly is what events of the new kind have to have, in both groups.
func newly(d *dice) part {
	series := part{"count": 2 + d.upTo(9), "lastObservedTime": d.thenOr(microTime)}
	return merged(part{"eventTime": d.thenOr(microTime), "reportingInstance": "i", "action": "a", "reason": "Why", "type": "Normal"}, d.some(part{"series": series}))
}

func jobStatusOf(d *dice, o part) part {
	spec := o["spec"].(part)
	suspend, _ := spec["suspend"].(bool)
	condition := func(kind string) any { return part{"type": kind, "status": "True", "lastTransitionTime": d.then()} }
	started := time.Now().Add(-time.Duration(d.Int64N(1<<20)) * time.Second)
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	switch kind := d.IntN(5); {
	case suspend:
		return part{"conditions": []any{condition("Suspended")}}
	case kind == 0:
		return nil
	case kind == 1:
		completions, ok := spec["completions"].(int64)
		if !ok {
			completions = 1
		}
		return part{"startTime": at(started), "completionTime": at(started.Add(time.Duration(d.Int64N(1<<16)) * time.Second)), "succeeded": completions, "conditions": []any{condition("SuccessCriteriaMet"), condition("Complete")}}
	case kind == 2:
		return part{"startTime": at(started), "failed": 1 + d.upTo(3), "conditions": []any{condition("FailureTarget"), condition("Failed")}}
	case kind == 3:
		return part{"startTime": at(started), "failed": int64(1), "conditions": []any{condition("FailureTarget")}}
	}
	return part{"startTime": at(started), "succeeded": d.upTo(1)}
}

func podOf(d *dice, _ int) part {
	containers := containersOf(d, "c", 3)
	var inits []any
	if d.chance(2) {
		inits = containersOf(d, "i", 3)
		for _, c := range inits {
			if d.chance(3) {
				c.(part)["restartPolicy"] = "Always"
			}
		}
	}
	return part{"spec": merged(part{"containers": containers, "initContainers": inits}, d.some(part{
		"nodeName": "n1", "readinessGates": many(d, 3, func(i int) any { return part{"conditionType": fmt.Sprint("example.org/g", i)} }),
	}))}
}

func podStatusOf(d *dice, o part) part {
	spec := o["spec"].(part)
	statuses := func(of string) []any {
		all, _ := spec[of].([]any)
		var statuses []any
		for _, c := range all {
			if d.chance(8) {
				break
			}
			statuses = append(statuses, containerStatusOf(d, c.(part)["name"].(string)))
		}
		return statuses
	}
	var conditions []any
	for _, kind := range []string{"PodScheduled", "Initialized", "Ready", "example.org/g0", "example.org/g1"} {
		if d.chance(2) {
			conditions = append(conditions, merged(part{"type": kind, "status": of(d, "True", "False", "Unknown")}, d.some(part{"reason": of(d, "SchedulingGated", "Other")})))
		}
	}
	status := part{"phase": of(d, "Pending", "Running", "Running", "Succeeded", "Failed"), "conditions": conditions, "initContainerStatuses": statuses("initContainers"), "containerStatuses": statuses("containers")}
	if d.chance(6) {
		status["reason"] = of(d, "NodeLost", "Evicted")
	}
	if spec["nodeName"] == nil && d.chance(2) {
		status["nominatedNodeName"] = "n2"
	}
	return merged(status, d.some(part{"podIPs": []any{part{"ip": "10.1.0.1"}, part{"ip": "fd00::2"}}, "podIP": "10.1.0.1"}))
}

func containerStatusOf(d *dice, name string) part {
	ended := func() part {
		code := of(d, int64(0), 0, 1, 137)
		terminated := merged(part{"exitCode": code, "finishedAt": d.then()}, d.some(part{"signal": int64(9)}))
		if d.chance(2) {
			terminated["reason"] = of(d, "Completed", "Error", "OOMKilled")
		}
		return part{"terminated": terminated}
	}
	status := part{"name": name, "image": "i", "imageID": "", "ready": d.chance(2), "restartCount": of(d, int64(0), 0, 1, 12), "state": of(d,
		ended(), part{"terminated": part{"exitCode": int64(0), "reason": "Completed", "finishedAt": d.then()}}, part{"running": part{"startedAt": d.then()}}, part{"running": part{"startedAt": d.then()}},
		part{"waiting": part{"reason": of(d, "CrashLoopBackOff", "PodInitializing", "ContainerCreating", "")}}, part{})}
	return merged(status, d.some(part{"lastState": ended(), "started": d.chance(2)}))
}
