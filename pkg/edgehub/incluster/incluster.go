// Package incluster has pods of a node find the hub where they look for their cluster's API server. Nothing is changed upstream: objects are rewritten as they are read through
// the hub.
//
// kubelet tells pods where the API server is, by the Service default/kubernetes, and whom to trust, by the ConfigMap kube-root-ca.crt and by Secrets of service accounts: it
// reads the hub's address in the one, and the hub's authority beside the cluster's in the others. It is the same with the kubeconfig that kubeadm gives kube-proxy. Whoever has the Service's cluster IP, or its
// name, comes to the hub by kube-proxy, which reads the hub's address among the Service's endpoints. What is not as expected stays as it is.
package incluster

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"

	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// Rewriter has pods find a hub.
type Rewriter struct {
	// At is where the hub serves pods.
	At netip.AddrPort
	// Authority is who vouches for it there, as PEM.
	Authority []byte
	// Servers are the URLs of the API servers that it stands for.
	Servers []string
}

// For returns how objects of a resource are read, nil for as they are. local is whether a program of the node reads them, as kubelet does, and labels by which it selects.
//
// A Service is the hub's for kubelet alone, which tells pods of it. To whoever carries traffic of Services it is what it is, else he would carry away what is for the hub: each such program selects by
// service.kubernetes.io/service-proxy-name, as the API wants it to, and kubelet by no labels.
func (w *Rewriter) For(local bool, group, resource, labels string) func([]byte) ([]byte, error) {
	switch {
	case group == "" && resource == "endpoints":
		return w.change(`"kubernetes"`, w.endpoints)
	case group == "discovery.k8s.io" && resource == "endpointslices":
		return w.change(`"kubernetes"`, w.endpointSlice)
	case !local || group != "":
		return nil
	}
	switch resource {
	case "services":
		if labels != "" {
			return nil
		}
		return w.change(`"kubernetes"`, w.service)
	case "configmaps":
		root, proxy := w.change(`"kube-root-ca.crt"`, w.rootAuthority), w.change(`"kube-proxy"`, w.kubeProxy)
		return func(body []byte) ([]byte, error) {
			body, err := root(body)
			if err != nil {
				return nil, err
			}
			return proxy(body)
		}
	case "secrets":
		return w.change(`"kubernetes.io/service-account-token"`, w.tokenSecret)
	}
	return nil
}

// object is one that is rewritten.
type object map[string]any

// change returns what rewrites objects that have some text in them, which is quick to see of the others. edit reports whether it has changed one.
func (w *Rewriter) change(has string, edit func(object) bool) func([]byte) ([]byte, error) {
	return func(body []byte) ([]byte, error) {
		if !bytes.Contains(body, []byte(has)) {
			return body, nil
		}
		var o object
		if err := utiljson.Unmarshal(body, &o); err != nil {
			return nil, err
		}
		if !edit(o) {
			return body, nil
		}
		return json.Marshal(o)
	}
}

// field returns a field of an object within it; nil if it has none.
func field[T any](o map[string]any, path ...string) (value T) {
	for _, name := range path[:len(path)-1] {
		o, _ = o[name].(map[string]any)
	}
	value, _ = o[path[len(path)-1]].(T)
	return value
}

// is reports whether an object has a name, in a namespace if that is not empty.
func (o object) is(namespace, name string) bool {
	return field[string](o, "metadata", "name") == name && (namespace == "" || field[string](o, "metadata", "namespace") == namespace)
}

// fits reports whether the hub's address is of a family, such as IPv4.
func (w *Rewriter) fits(family string) bool {
	return family == "IPv6" == w.At.Addr().Is6()
}

// service has kubelet tell pods the hub's address.
func (w *Rewriter) service(o object) bool {
	spec := field[map[string]any](o, "spec")
	if !o.is("default", "kubernetes") || spec == nil {
		return false
	}
	spec["clusterIP"], spec["clusterIPs"] = w.At.Addr().String(), []any{w.At.Addr().String()}
	w.ports(field[[]any](o, "spec", "ports"))
	return true
}

// ports has those that are named https be the hub's.
func (w *Rewriter) ports(all []any) {
	for _, each := range all {
		if port, ok := each.(map[string]any); ok && port["name"] == "https" {
			port["port"] = int64(w.At.Port())
		}
	}
}

// endpointSlice has the hub be the only endpoint.
func (w *Rewriter) endpointSlice(o object) bool {
	if field[string](o, "metadata", "namespace") != "default" || field[string](o, "metadata", "labels", "kubernetes.io/service-name") != "kubernetes" || !w.fits(field[string](o, "addressType")) {
		return false
	}
	o["endpoints"] = []any{map[string]any{"addresses": []any{w.At.Addr().String()}, "conditions": map[string]any{"ready": true}}}
	w.ports(field[[]any](o, "ports"))
	return true
}

// endpoints has the hub be the only endpoint.
func (w *Rewriter) endpoints(o object) bool {
	subsets := field[[]any](o, "subsets")
	if !o.is("default", "kubernetes") || len(subsets) == 0 {
		return false
	}
	subset, ok := subsets[0].(map[string]any)
	if !ok {
		return false
	}
	subset["addresses"] = []any{map[string]any{"ip": w.At.Addr().String()}}
	delete(subset, "notReadyAddresses")
	w.ports(field[[]any](subset, "ports"))
	o["subsets"] = subsets[:1]
	return true
}

// withAuthority is a bundle of authorities with the hub's.
func (w *Rewriter) withAuthority(bundle string) string {
	if bundle != "" && !strings.HasSuffix(bundle, "\n") {
		bundle += "\n"
	}
	return bundle + string(w.Authority)
}

// rootAuthority has pods trust the hub.
func (w *Rewriter) rootAuthority(o object) bool {
	data := field[map[string]any](o, "data")
	bundle, ok := data["ca.crt"].(string)
	if !o.is("", "kube-root-ca.crt") || !ok {
		return false
	}
	data["ca.crt"] = w.withAuthority(bundle)
	return true
}

// tokenSecret has pods trust the hub that have a token in a Secret.
func (w *Rewriter) tokenSecret(o object) bool {
	data := field[map[string]any](o, "data")
	encoded, ok := data["ca.crt"].(string)
	bundle, err := base64.StdEncoding.DecodeString(encoded)
	if o["type"] != "kubernetes.io/service-account-token" || !ok || err != nil {
		return false
	}
	data["ca.crt"] = base64.StdEncoding.EncodeToString([]byte(w.withAuthority(string(bundle))))
	return true
}

// kubeProxy has the kubeconfig of kubeadm's kube-proxy name the hub: it is for nobody else, and its token and authority are those of the pod.
func (w *Rewriter) kubeProxy(o object) bool {
	data := field[map[string]any](o, "data")
	kubeconfig, ok := data["kubeconfig.conf"].(string)
	if !o.is("kube-system", "kube-proxy") || !ok {
		return false
	}
	lines := strings.Split(kubeconfig, "\n")
	changed := false
	for i, line := range lines {
		before, server, ok := strings.Cut(line, "server:")
		if ok && strings.TrimSpace(before) == "" && slices.Contains(w.Servers, strings.TrimSuffix(strings.Trim(strings.TrimSpace(server), `"'`), "/")) {
			lines[i], changed = before+"server: https://"+w.At.String(), true
		}
	}
	data["kubeconfig.conf"] = strings.Join(lines, "\n")
	return changed
}
