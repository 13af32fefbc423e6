package workload

import (
	"encoding/json"
	"fmt"
	"strings"
)

// object returns a federated Deployment as a client would send it: compact JSON in v1beta2.
// Equal arguments give equal bytes. size is that of the template.
func object(namespace, name string, size int) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"types.kubefed.io/v1beta2","kind":"FederatedDeployment",`+
		`"metadata":{"name":%q,"namespace":%q,"labels":{"app":%q,"team":"payments"}},`+
		`"spec":{"topologyType":"cell","template":%s,`+
		`"placement":{"topologies":[{"name":"rz00a"},{"name":"rz01a"},{"name":"rz02a"}]},`+
		`"overrides":[{"topologyName":"rz00a","topologyOverrides":[{"op":"replace","path":"/spec/replicas","value":3}]}]}}`,
		name, namespace, name, template(name, size))
}

// template is a Deployment of one container, with as many environment variables as make
// it that large.
func template(name string, size int) []byte {
	labels := map[string]any{"app": name, "team": "payments"}
	probe := func(path string) map[string]any {
		return map[string]any{"httpGet": map[string]any{"path": path, "port": 8080}, "periodSeconds": 10, "timeoutSeconds": 2, "failureThreshold": 3}
	}
	container := map[string]any{
		"name": "server", "image": "registry.example.com/payments/" + name + ":1.27.4", "imagePullPolicy": "IfNotPresent",
		"args":  []any{"--listen=:8080", "--log-level=info", "--tracing=0.01"},
		"ports": []any{map[string]any{"name": "http", "containerPort": 8080, "protocol": "TCP"}},
		"resources": map[string]any{"requests": map[string]any{"cpu": "250m", "memory": "256Mi"},
			"limits": map[string]any{"cpu": "1", "memory": "512Mi"}},
		"livenessProbe": probe("/live"), "readinessProbe": probe("/ready"),
		"volumeMounts":    []any{map[string]any{"name": "config", "mountPath": "/etc/payments", "readOnly": true}},
		"securityContext": map[string]any{"allowPrivilegeEscalation": false, "runAsNonRoot": true},
	}
	manifest := map[string]any{
		"metadata": map[string]any{"labels": labels, "annotations": map[string]any{"example.com/owner": "payments@example.com"}},
		"spec": map[string]any{
			"replicas": 2, "revisionHistoryLimit": 5,
			"selector": map[string]any{"matchLabels": map[string]any{"app": name}},
			"strategy": map[string]any{"type": "RollingUpdate", "rollingUpdate": map[string]any{"maxSurge": "25%", "maxUnavailable": 0}},
			"template": map[string]any{
				"metadata": map[string]any{"labels": labels},
				"spec": map[string]any{"containers": []any{container}, "terminationGracePeriodSeconds": 30, "serviceAccountName": name,
					"volumes": []any{map[string]any{"name": "config", "configMap": map[string]any{"name": name}}}},
			},
		},
	}
	return pad(manifest, container, size)
}

// pad adds environment variables of 80 bytes.
func pad(manifest, container map[string]any, size int) []byte {
	var env []any
	for {
		container["env"] = env
		data, err := json.Marshal(manifest)
		if err != nil {
			panic(err) // maps of strings and numbers
		}
		missing := (size - len(data)) / 80
		if missing <= 0 {
			return data
		}
		for range missing {
			env = append(env, map[string]any{"name": fmt.Sprintf("PAYMENTS_SETTING_%03d", len(env)),
				"value": strings.Repeat(fmt.Sprintf("v%03d", len(env)), 9)})
		}
	}
}
