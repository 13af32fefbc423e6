package main

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/cmd/koinon-playground/member"
)

// fillNamespaces makes namespaces, and ends the controllers once they have made what is in each: nothing else happens in the cluster but what is done here.
func (w *world) fillNamespaces(ctx context.Context) error {
	var names []string
	for i := range podNamespaces {
		names = append(names, podNamespace(i))
	}
	for i := range serviceNamespaces {
		names = append(names, serviceNamespace(i))
	}
	err := many(len(names), func(i int) error {
		_, err := w.admin.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: names[i]}}, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := eventually(ctx, "the namespace "+name+" has what each has", func(ctx context.Context) error {
			if _, err := w.admin.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{}); err != nil {
				return err
			}
			_, err := w.admin.CoreV1().ConfigMaps(name).Get(ctx, rootCA, metav1.GetOptions{})
			return err
		}); err != nil {
			return err
		}
	}
	return w.cluster.Kill(ctx, member.ControllerManager)
}

// rootCA is the ConfigMap that each pod mounts.
const rootCA = "kube-root-ca.crt"

// fillNodes makes nodes: the first one is the edge's.
func (w *world) fillNodes(ctx context.Context, n int) error {
	return many(n, func(i int) error {
		want := node(i)
		made, err := w.admin.CoreV1().Nodes().Create(ctx, want, metav1.CreateOptions{FieldManager: "kubelet"})
		if err != nil {
			return err
		}
		made.Status = want.Status
		_, err = w.admin.CoreV1().Nodes().UpdateStatus(ctx, made, metav1.UpdateOptions{FieldManager: "kubelet"})
		return err
	})
}

// fillPods makes pods of a node that run, with what they mount.
func (w *world) fillPods(ctx context.Context, n int, node string) error {
	core := w.admin.CoreV1()
	return many(n, func(i int) error {
		p := pod(i, node)
		for _, c := range []*corev1.ConfigMap{settings(i), more(i)} {
			if _, err := core.ConfigMaps(p.Namespace).Create(ctx, c, metav1.CreateOptions{FieldManager: "helm"}); err != nil {
				return err
			}
		}
		if _, err := core.Secrets(p.Namespace).Create(ctx, password(i), metav1.CreateOptions{FieldManager: "helm"}); err != nil {
			return err
		}
		made, err := core.Pods(p.Namespace).Create(ctx, p, metav1.CreateOptions{FieldManager: "kube-controller-manager"})
		if err != nil {
			return err
		}
		_, err = core.Pods(p.Namespace).UpdateStatus(ctx, running(made, i), metav1.UpdateOptions{FieldManager: "kubelet"})
		return err
	})
}

// fillServices makes Services from one number to another, with their endpoints.
func (w *world) fillServices(ctx context.Context, from, to, nodes int) error {
	return many(to-from, func(i int) error {
		i += from
		if _, err := w.admin.CoreV1().Services(serviceNamespace(i)).Create(ctx, service(i), metav1.CreateOptions{FieldManager: "helm"}); err != nil {
			return err
		}
		_, err := w.admin.DiscoveryV1().EndpointSlices(serviceNamespace(i)).Create(ctx, slice(i, nodes, 0, true), metav1.CreateOptions{FieldManager: "kube-controller-manager"})
		return err
	})
}

// sizes are how large objects are as JSON, managed fields included, by what they are.
func (w *world) sizes(ctx context.Context) (string, error) {
	text := ""
	for _, of := range []struct{ name, path string }{
		{"node", "/api/v1/nodes/" + edge},
		{"pod", "/api/v1/namespaces/" + podNamespace(0) + "/pods/" + pod(0, edge).Name},
		{"Service", "/api/v1/namespaces/" + serviceNamespace(0) + "/services/" + serviceName(0)},
		{"EndpointSlice", "/apis/discovery.k8s.io/v1/namespaces/" + serviceNamespace(0) + "/endpointslices/" + slice(0, 1, 0, true).Name},
		{"ConfigMap", "/api/v1/namespaces/" + podNamespace(0) + "/configmaps/" + settings(0).Name},
		{"Secret", "/api/v1/namespaces/" + podNamespace(0) + "/secrets/" + password(0).Name},
	} {
		body, err := w.admin.CoreV1().RESTClient().Get().AbsPath(of.path).SetHeader("Accept", "application/json").DoRaw(ctx)
		if err != nil {
			continue // there is none in this world
		}
		if !json.Valid(body) {
			return "", fmt.Errorf("%s is no JSON", of.path)
		}
		text += fmt.Sprintf(", %s %d", of.name, len(body))
	}
	if text == "" {
		return "", fmt.Errorf("there are no objects")
	}
	return text[2:], nil
}
