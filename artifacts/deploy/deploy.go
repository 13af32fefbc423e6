// Package deploy holds the manifests that install Koinon in a host cluster, for kustomize
// and for "koinon install-manifests". They hold the values that they are made with; see
// Namespace, Image and DatastoreSecret.
package deploy

import "embed"

// What stands in the manifests where an installation may have something else.
const (
	Namespace = "kube-federation-system"
	// Image is of no release: "install-manifests --image" or kustomize's "images" say which.
	Image           = "ghcr.io/koinon-io/koinon:v0.0.0"
	DatastoreSecret = "koinon-datastore"
)

// Files are the names of the manifests in the order in which to apply them.
var Files = []string{"namespace.yaml", "rbac.yaml", NamespaceWebhook, "rbac-users.yaml", "server.yaml", "networkpolicy.yaml"}

// NamespaceWebhook is the one of them that an installation may leave out. Its server has the flag in NoNamespaceWebhookLines then.
const NamespaceWebhook = "rbac-namespace-webhook.yaml"

// NoNamespaceWebhookLines are as TunnelLines.
var NoNamespaceWebhookLines = map[string]string{"        - --service-port=443\n": "        - --namespace-webhook=false\n"}

// Tunnel is the manifest that an installation with the tunnel has besides.
const Tunnel = "tunnel.yaml"

// TunnelLines are what it has in other manifests, behind a line that is in one of them once. ADDRESS is where agents find the tunnel.
var TunnelLines = map[string]string{
	"        - --max-connection-age=5m\n": `        # Agents in members connect to each replica.
        - --components=all,tunnel
        - --tunnel-port=6445
        - --tunnel-advertise-address=ADDRESS
`,
	"        - {name: https, containerPort: 6443}\n": "        - {name: tunnel, containerPort: 6445}\n",
	"    - {protocol: TCP, port: https}\n":           "    - {protocol: TCP, port: tunnel}\n",
}

// FS has the manifests.
//
//go:embed namespace.yaml rbac.yaml rbac-namespace-webhook.yaml rbac-users.yaml server.yaml networkpolicy.yaml tunnel.yaml
var FS embed.FS
