package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

func podNamespace(i int) string { return fmt.Sprintf("team-%02d", i) }

func podName(i int) string { return fmt.Sprintf("service-%05d-7d4b9c8f6d-x%04x", i/3, i) }

// foreignPod is pod number i of a member: it was made by a Deployment there, and runs. It is 4 to 6 KiB long, as pods are, of which
// managedFields are a third.
func foreignPod(i int) map[string]any {
	random := rand.New(rand.NewPCG(1, uint64(i)))
	env, envFields := []any{}, []string{}
	for n := range 4 + random.IntN(16) {
		name := fmt.Sprintf("SETTING_%02d", n)
		env = append(env, map[string]any{"name": name, "value": fmt.Sprintf("%016x", random.Uint64())})
		envFields = append(envFields, fmt.Sprintf(`"k:{\"name\":\"%s\"}":{".":{},"f:name":{},"f:value":{}}`, name))
	}
	app := fmt.Sprintf("service-%05d", i/3)
	container := map[string]any{
		"name": "main", "image": "registry.example.com/" + app + "@sha256:" + hexadecimal(random, 64), "imagePullPolicy": "IfNotPresent", "env": env,
		"resources":              map[string]any{"requests": map[string]any{"cpu": "100m", "memory": "128Mi"}, "limits": map[string]any{"memory": "256Mi"}},
		"ports":                  []any{map[string]any{"containerPort": int64(8080), "name": "http", "protocol": "TCP"}},
		"livenessProbe":          map[string]any{"httpGet": map[string]any{"path": "/healthz", "port": "http", "scheme": "HTTP"}, "periodSeconds": int64(10), "timeoutSeconds": int64(1), "failureThreshold": int64(3), "successThreshold": int64(1)},
		"volumeMounts":           []any{map[string]any{"mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "name": "kube-api-access", "readOnly": true}},
		"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
	}
	return pod(podNamespace(i%podNamespaces), podName(i), app, map[string]any{
		"containers": []any{container}, "nodeName": fmt.Sprintf("node-%04d", i%500), "restartPolicy": "Always", "dnsPolicy": "ClusterFirst",
		"serviceAccountName": "default", "schedulerName": "default-scheduler", "terminationGracePeriodSeconds": int64(30), "priority": int64(0),
		"tolerations": []any{
			map[string]any{"effect": "NoExecute", "key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": int64(300)},
			map[string]any{"effect": "NoExecute", "key": "node.kubernetes.io/unreachable", "operator": "Exists", "tolerationSeconds": int64(300)},
		},
		"volumes": []any{map[string]any{"name": "kube-api-access", "projected": map[string]any{"defaultMode": int64(420), "sources": []any{
			map[string]any{"serviceAccountToken": map[string]any{"expirationSeconds": int64(3607), "path": "token"}},
			map[string]any{"configMap": map[string]any{"name": "kube-root-ca.crt", "items": []any{map[string]any{"key": "ca.crt", "path": "ca.crt"}}}},
		}}}},
	}, map[string]any{
		"phase": "Running", "podIP": fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255), "hostIP": "192.168.0.1", "qosClass": "Burstable",
		"conditions": conditions("True"),
		"containerStatuses": []any{map[string]any{"name": "main", "ready": true, "started": true, "restartCount": int64(0), "image": container["image"],
			"imageID": container["image"], "containerID": "containerd://" + hexadecimal(random, 64), "state": map[string]any{"running": map[string]any{"startedAt": "2026-11-01T00:00:00Z"}}}},
	}, strings.Join(envFields, ","))
}

// waitingPod is one of the Deployment web that finds no node.
func waitingPod(i int) map[string]any {
	scheduled := map[string]any{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": "2026-11-01T00:00:00Z"}
	return pod(shop, fmt.Sprintf("%s-%d", web, i), web, map[string]any{"containers": []any{map[string]any{"name": "a", "image": "b"}}},
		map[string]any{"phase": "Pending", "conditions": []any{scheduled}}, "")
}

func pod(namespace, name, app string, spec, status map[string]any, envFields string) map[string]any {
	fields := func(manager, subresource, fields string) map[string]any {
		return map[string]any{"manager": manager, "operation": "Update", "apiVersion": "v1", "time": "2026-11-01T00:00:00Z", "subresource": subresource,
			"fieldsType": "FieldsV1", "fieldsV1": json.RawMessage(fields)}
	}
	return map[string]any{
		"metadata": map[string]any{
			"name": name, "namespace": namespace, "labels": map[string]any{"app": app, "pod-template-hash": "7d4b9c8f6d"},
			"ownerReferences": []any{map[string]any{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": app + "-7d4b9c8f6d", "uid": "5a1f6c1e-8f0e-4c39-9e53-0d9cbe1fd7aa", "controller": true, "blockOwnerDeletion": true}},
			"managedFields": []any{
				fields("kube-controller-manager", "", `{"f:metadata":{"f:generateName":{},"f:labels":{".":{},"f:app":{},"f:pod-template-hash":{}},"f:ownerReferences":{".":{},"k:{\"uid\":\"5a1f6c1e-8f0e-4c39-9e53-0d9cbe1fd7aa\"}":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"main\"}":{".":{},"f:env":{`+envFields+`},"f:image":{},"f:imagePullPolicy":{},"f:livenessProbe":{},"f:name":{},"f:ports":{},"f:resources":{}}},"f:dnsPolicy":{},"f:restartPolicy":{},"f:schedulerName":{},"f:terminationGracePeriodSeconds":{}}}`),
				fields("kubelet", "status", `{"f:status":{"f:conditions":{"k:{\"type\":\"ContainersReady\"}":{".":{},"f:lastTransitionTime":{},"f:status":{},"f:type":{}},"k:{\"type\":\"Ready\"}":{".":{},"f:lastTransitionTime":{},"f:status":{},"f:type":{}}},"f:containerStatuses":{},"f:hostIP":{},"f:phase":{},"f:podIP":{},"f:podIPs":{},"f:startTime":{}}}`),
			},
		},
		"spec": spec, "status": status,
	}
}

func conditions(status string) (all []any) {
	for _, kind := range []string{"Initialized", "Ready", "ContainersReady", "PodScheduled"} {
		all = append(all, map[string]any{"type": kind, "status": status, "lastTransitionTime": "2026-11-01T00:00:00Z"})
	}
	return all
}

func hexadecimal(random *rand.Rand, digits int) string {
	text := ""
	for len(text) < digits {
		text += fmt.Sprintf("%016x", random.Uint64())
	}
	return text[:digits]
}
