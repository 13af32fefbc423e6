package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/koinon-io/koinon/pkg/apis/federation/rights"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// nativeObjects are objects as they are in one place: the host, or a member.
type nativeObjects struct {
	hub *hub
	// member is the one that is read; empty for the host.
	member string
}

// errNotServed: the place does not serve the type of an object.
var errNotServed = errors.New("the type is not served")

func (n nativeObjects) String() string {
	if n.member == "" {
		return "the host"
	}
	return fmt.Sprintf("member %q", n.member)
}

func (n nativeObjects) path(path string) string {
	if n.member == "" {
		return path
	}
	return throughMember(n.member, path)
}

// inVersion does something in the version of a type, or, where that is not served, in the others that the place serves, until
// one is. It returns errNotServed if none is.
func (n nativeObjects) inVersion(ctx context.Context, config *v1beta1.FederatedTypeConfig, do func(schema.GroupVersionResource) error) error {
	first := rights.Target(config).WithVersion(config.Spec.TargetType.Version)
	err := do(first)
	if !errors.Is(err, errNotServed) || first.Group == "" {
		return err
	}
	group, groupErr := readInto[metav1.APIGroup](ctx, n.hub, n.path("/apis/"+first.Group))
	if apierrors.IsNotFound(groupErr) {
		return err
	}
	if groupErr != nil {
		return fmt.Errorf("ask %s what it serves: %s", n, sentence(groupErr))
	}
	for _, version := range group.Versions {
		if version.Version == first.Version {
			continue
		}
		if err = do(first.GroupResource().WithVersion(version.Version)); !errors.Is(err, errNotServed) {
			return err
		}
	}
	return err
}

// notThere tells a type that is not served from an object that is not there.
func notThere(err error, name string) error {
	var status apierrors.APIStatus
	if apierrors.IsNotFound(err) && errors.As(err, &status) && (status.Status().Details == nil || status.Status().Details.Name != name) {
		return errNotServed
	}
	return err
}

// get reads one object; nil if it is not there. It returns errNotServed if its type is not.
func (n nativeObjects) get(ctx context.Context, config *v1beta1.FederatedTypeConfig, namespace, name string) (object *unstructured.Unstructured, err error) {
	err = n.inVersion(ctx, config, func(gvr schema.GroupVersionResource) error {
		answer, _, err := n.hub.do(ctx, sent{verb: http.MethodGet, path: n.path(pathOf(gvr, namespace, name))})
		if err != nil {
			return notThere(err, name)
		}
		object = &unstructured.Unstructured{}
		return json.Unmarshal(answer, &object.Object)
	})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case errors.Is(err, errNotServed), err == nil:
		return object, err
	}
	return nil, fmt.Errorf("read %s %q of %s: %s", rights.Target(config), name, n, sentence(err))
}

// list reads all objects of a type in a namespace. It returns errNotServed if the type is not.
func (n nativeObjects) list(ctx context.Context, config *v1beta1.FederatedTypeConfig, namespace string) (objects []*unstructured.Unstructured, err error) {
	err = n.inVersion(ctx, config, func(gvr schema.GroupVersionResource) error {
		query := map[string]string{"limit": fmt.Sprint(pageSize)}
		for {
			answer, _, err := n.hub.do(ctx, sent{verb: http.MethodGet, path: n.path(pathOf(gvr, namespace, "")), query: query})
			if apierrors.IsNotFound(err) {
				return errNotServed
			}
			if err != nil {
				return err
			}
			var list struct {
				metav1.ListMeta `json:"metadata"`
				Items           []map[string]any `json:"items"`
			}
			if err := json.Unmarshal(answer, &list); err != nil {
				return err
			}
			for _, item := range list.Items { // items have neither, as API servers list them
				item["apiVersion"], item["kind"] = gvr.GroupVersion().String(), config.Spec.TargetType.Kind
				objects = append(objects, &unstructured.Unstructured{Object: item})
			}
			if query["continue"] = list.Continue; list.Continue == "" {
				return nil
			}
		}
	})
	if err != nil && !errors.Is(err, errNotServed) {
		err = fmt.Errorf("list %s of %s: %s", rights.Target(config), n, sentence(err))
	}
	return objects, err
}

// absence says that an object is not where it was looked for, and where it may be. err is what get returned.
func (n nativeObjects) absence(config *v1beta1.FederatedTypeConfig, namespace, name string, err error) error {
	elsewhere := ""
	if n.member == "" {
		elsewhere = ": --from CLUSTER reads it from a member, -f from a file"
	}
	switch {
	case errors.Is(err, errNotServed):
		return fmt.Errorf("%s does not serve %s%s", n, rights.Target(config), elsewhere)
	case err != nil:
		return err
	}
	where := n.String()
	if namespace != "" {
		where = fmt.Sprintf("namespace %q of %s", namespace, where)
	}
	return fmt.Errorf("there is no %s %q in %s%s", strings.ToLower(config.Spec.TargetType.Kind), name, where, elsewhere)
}
