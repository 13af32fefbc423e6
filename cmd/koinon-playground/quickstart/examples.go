package quickstart

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"

	"github.com/koinon-io/koinon/artifacts/examples"
)

const (
	// typesGroup is the group of the federated kinds.
	typesGroup     = "types.kubefed.io"
	deploymentKind = "FederatedDeployment"
	namespaceKind  = "FederatedNamespace"
	// applyManager is that of "kubectl apply": a user's, of the same file, goes on where the
	// quickstart began, and so does "kubectl apply --server-side".
	applyManager = "kubectl-client-side-apply"

	serveTimeout = 15 * time.Second
	landTimeout  = time.Minute
)

// runExamples makes the example objects, waits until they have landed, and shows where.
func (q *quickstart) runExamples(ctx context.Context) error {
	cfg, err := q.koinon.RESTConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("make a client of koinon: %w", err)
	}
	hostClient, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("make a client of koinon: %w", err)
	}
	a := applier{
		hostClient: hostClient,
		mapper:     restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery())),
	}
	var federated []target
	err = q.steps.Do("examples: applied", func() (note string, err error) {
		federated, note, err = a.applyAll(ctx)
		return note, err
	})
	if err != nil {
		return fmt.Errorf("%w%s", err, q.logHint())
	}
	l, err := q.newLander(hostClient)
	if err != nil {
		return err
	}
	var rows []row
	err = q.steps.Do("examples: landed", func() (note string, err error) {
		rows, err = l.await(ctx, federated)
		return fmt.Sprintf("%d objects in %d places", len(federated), len(rows)), err
	})
	if err != nil {
		printTable(q.Out, rows)
		return fmt.Errorf("%w%s", err, q.logHint())
	}
	fmt.Fprintf(q.Out, "\nUp in %.1f s.\n\n", q.steps.Total().Seconds())
	printTable(q.Out, rows)
	return nil
}

// target is a federated object among the examples.
type target struct {
	gvr             schema.GroupVersionResource
	kind            string
	namespace, name string
}

// applier makes objects.
type applier struct {
	hostClient dynamic.Interface
	mapper     meta.ResettableRESTMapper
}

// applyAll makes those example objects that are not there. It returns all federated ones,
// and a note on how many objects it made.
func (a applier) applyAll(ctx context.Context) ([]target, string, error) {
	objects, err := loadExamples(examples.Files)
	if err != nil {
		return nil, "", err
	}
	var federated []target
	made := 0
	for _, object := range objects {
		mapping, err := a.mappingFor(ctx, object.GroupVersionKind())
		if err != nil {
			return nil, "", err
		}
		isNew, err := a.apply(ctx, mapping, object)
		if err != nil {
			return nil, "", fmt.Errorf("make %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		if isNew {
			made++
		}
		if mapping.Resource.Group == typesGroup {
			federated = append(federated, target{
				gvr: mapping.Resource, kind: object.GetKind(), namespace: object.GetNamespace(), name: object.GetName(),
			})
		}
	}
	// What runs comes first in the table, and what it is in comes last.
	slices.SortStableFunc(federated, func(a, b target) int { return cmp.Compare(rank(a), rank(b)) })
	return federated, fmt.Sprintf("%d made, %d were there and stay as they are", made, len(objects)-made), nil
}

func rank(t target) int {
	switch t.kind {
	case deploymentKind:
		return 0
	case namespaceKind:
		return 2
	}
	return 1
}

// loadExamples reads all documents of all files in the order of the files' names.
func loadExamples(files fs.FS) ([]*unstructured.Unstructured, error) {
	names, err := fs.Glob(files, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list examples: %w", err)
	}
	var objects []*unstructured.Unstructured
	for _, name := range names {
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("read example: %w", err)
		}
		decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
		for {
			object := &unstructured.Unstructured{}
			if err := decoder.Decode(object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("read example %s: %w", name, err)
			}
			objects = append(objects, object)
		}
	}
	return objects, nil
}

// mappingFor finds the resource of a kind, and waits for one that is not served yet.
func (a applier) mappingFor(ctx context.Context, gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	ctx, cancel := context.WithTimeout(ctx, serveTimeout)
	defer cancel()
	var mapping *meta.RESTMapping
	var last error
	err := wait.PollUntilContextCancel(ctx, poll, true, func(context.Context) (bool, error) {
		if mapping, last = a.mapper.RESTMapping(gvk.GroupKind(), gvk.Version); last != nil {
			a.mapper.Reset()
		}
		return last == nil, nil
	})
	if err != nil {
		return nil, fmt.Errorf("koinon does not serve %s: %w", gvk, last)
	}
	return mapping, nil
}

func (a applier) apply(ctx context.Context, mapping *meta.RESTMapping, object *unstructured.Unstructured) (isNew bool, err error) {
	var client dynamic.ResourceInterface = a.hostClient.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		client = a.hostClient.Resource(mapping.Resource).Namespace(object.GetNamespace())
	}
	_, err = client.Get(ctx, object.GetName(), metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return false, err
	}
	applied, err := withLastApplied(object)
	if err != nil {
		return false, err
	}
	_, err = client.Create(ctx, applied, metav1.CreateOptions{FieldManager: applyManager})
	return true, err
}

// withLastApplied returns a copy with the annotation that "kubectl apply" makes and looks for.
func withLastApplied(object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	applied := object.DeepCopy()
	annotations := applied.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	applied.SetAnnotations(annotations) // kubectl writes an empty map, too
	data, err := applied.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encode an example: %w", err)
	}
	annotations[corev1.LastAppliedConfigAnnotation] = string(data)
	applied.SetAnnotations(annotations)
	return applied, nil
}

// decode reads an unstructured object as a typed one.
func decode(object *unstructured.Unstructured, into any) error {
	data, err := json.Marshal(object)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}
