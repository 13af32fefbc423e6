package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/pkg/apis/federation/rights"
	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/following"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/native"
	"github.com/koinon-io/koinon/pkg/federation/reach"
)

// federating is one run of "kubectl koinon federate".
type federating struct {
	*federateOptions
	hub    *hub
	native nativeObjects
	// federation is the name of ours; empty if it is not known.
	federation string
	types      []v1beta1.FederatedTypeConfig
	// members are all, and there is the one that has the objects; nil until they were asked.
	members, there []memberTypes
	// documents are those of -f, by what they are.
	documents map[objectKey]document
	// items are what is made, in order; seen are those that were looked at.
	items []*federatedItem
	seen  map[objectKey]bool
	// missing are objects that others name and that are not federated, with one that names them; unknown is why that is not known of some.
	missing, unknown map[missingReference]string
	// skip are the types of --skip.
	skip map[schema.GroupResource]bool
	// skipped are objects that were left out of --contents, by why.
	skipped map[string][]string
	// made are types that were enabled, or would be.
	made []*enabling
	// unserved are types that are not served, since nothing is made.
	unserved map[string]bool
}

// objectKey says which object is meant.
type objectKey struct {
	resource        schema.GroupResource
	namespace, name string
}

type missingReference struct {
	namespace string
	reference
}

// federatedItem is a federated object that is to be.
type federatedItem struct {
	config *v1beta1.FederatedTypeConfig
	objectKey
	spec map[string]any
	// left is what of the object is not in its template.
	left []string
	// implied: nobody named it, and what there is is left as it is.
	implied bool
	// follows is the native object that it is to follow; nil: none.
	follows *unstructured.Unstructured
}

// String is as kubectl prints it.
func (i *federatedItem) String() string {
	federated := i.config.Spec.FederatedType
	return strings.ToLower(federated.Kind) + "." + federated.Group + "/" + i.name
}

func (o *federateOptions) run(ctx context.Context) error {
	h, err := newHub(o.source, o.System)
	if err != nil {
		return err
	}
	f := &federating{
		federateOptions: o, hub: h, native: nativeObjects{h, o.From}, documents: map[objectKey]document{}, seen: map[objectKey]bool{},
		missing: map[missingReference]string{}, unknown: map[missingReference]string{}, skip: map[schema.GroupResource]bool{},
		skipped: map[string][]string{}, unserved: map[string]bool{},
	}
	if f.types, err = h.types(ctx); err != nil {
		return err
	}
	if err := f.checkFrom(ctx); err != nil {
		return err
	}
	if config, err := h.config(ctx); err == nil {
		f.federation = config.Annotations[federationv1alpha1.FederationAnnotation]
	}
	if err := f.collect(ctx); err != nil {
		return err
	}
	without, err := f.namespaces(ctx)
	if err != nil {
		return err
	}
	if o.Output == outputYAML {
		err = f.show()
	} else {
		err = f.writeAll(ctx)
	}
	f.findMissing(ctx)
	f.remark(without, err == nil && o.Output == "" && o.DryRun == dryRunNone)
	return err
}

// checkFrom refuses a member that there is not. Who may not list members is told when he asks it.
func (f *federating) checkFrom(ctx context.Context) error {
	if f.From == "" {
		return nil
	}
	clusters, err := f.hub.clusters(ctx)
	if err != nil {
		return nil
	}
	var names []string
	for i := range clusters {
		if reach.IsUnit(&clusters[i]) {
			continue // what a cell appears as is no member
		}
		if clusters[i].Name == f.From {
			return nil
		}
		names = append(names, clusters[i].Name)
	}
	return fmt.Errorf("--from is %q: there is no such cluster; there are %s", f.From, someNames(names))
}

// collect finds all that is to be made, before anything is.
func (f *federating) collect(ctx context.Context) error {
	switch {
	case len(f.Files) > 0:
		return f.collectFiles(ctx)
	case f.Contents:
		return f.collectContents(ctx)
	}
	for _, word := range f.words {
		typeWord, name, err := splitObject(word)
		if err != nil {
			return err
		}
		config, err := f.typeOf(ctx, typeWord)
		if err != nil {
			return err
		}
		key := objectKey{rights.Target(config), f.namespaceOf(config, name), name}
		object, err := f.native.get(ctx, config, f.nativeNamespace(config, key), name)
		if err != nil || object == nil {
			return f.native.absence(config, f.nativeNamespace(config, key), name, err)
		}
		if err := f.add(ctx, config, key, object); err != nil {
			return err
		}
	}
	return nil
}

// namespaceOf is where the federated object is: a namespace is in itself.
func (f *federating) namespaceOf(config *v1beta1.FederatedTypeConfig, name string) string {
	switch {
	case reach.KindOf(&config.Spec).IsNamespace():
		return name
	case config.Spec.FederatedType.Scope != v1beta1.NamespaceScoped:
		return ""
	}
	return f.source.namespace
}

// nativeNamespace is where the object is that the federated one is made of.
func (f *federating) nativeNamespace(config *v1beta1.FederatedTypeConfig, key objectKey) string {
	if !reach.KindOf(&config.Spec).Namespaced {
		return ""
	}
	return key.namespace
}

// typeOf finds the type that a word means, and enables it if that is asked for.
func (f *federating) typeOf(ctx context.Context, word string) (*v1beta1.FederatedTypeConfig, error) {
	config, err := targetNamed(f.types, word)
	if err != nil {
		return nil, err
	}
	if config == nil {
		resource, err := f.resourceOf(ctx, word)
		if err != nil {
			return nil, err
		}
		if config = typeConfigFor(f.types, resource); config == nil && !f.EnableType {
			return nil, fmt.Errorf("%s: it is no type that is enabled: \"kubectl koinon enable %s%s\" or --enable-type enables it first", resource, resource, f.flags.givenIn(f.System))
		}
		word = resource.String()
	}
	if config != nil && (rights.Enabled(config) || !f.EnableType) {
		return config, nil
	}
	return f.enable(ctx, word)
}

// resourceOf finds the type that a word means in the member that has the objects, or else in all.
func (f *federating) resourceOf(ctx context.Context, word string) (schema.GroupResource, error) {
	if f.From != "" {
		if f.there == nil {
			f.there = []memberTypes{f.hub.typesOfMember(ctx, f.From)}
		}
		if why := f.there[0].unknown; why != "" {
			return schema.GroupResource{}, fmt.Errorf("ask %s what it serves: %s", f.native, why)
		}
		if resource, err := findType(f.there, word); err == nil {
			return resource, nil
		}
	}
	if err := f.askMembers(ctx); err != nil {
		return schema.GroupResource{}, err
	}
	return findType(f.members, word)
}

// typeOfKind finds the type of an object of a file.
func (f *federating) typeOfKind(ctx context.Context, kind schema.GroupKind) (*v1beta1.FederatedTypeConfig, error) {
	for i := range f.types {
		if target := f.types[i].Spec.TargetType; target.Kind == kind.Kind && rights.Target(&f.types[i]).Group == kind.Group {
			return f.typeOf(ctx, f.types[i].Name)
		}
	}
	word := kind.Kind
	if kind.Group != "" {
		word += "." + kind.Group
	}
	return f.typeOf(ctx, word)
}

func (f *federating) askMembers(ctx context.Context) (err error) {
	if f.members == nil {
		f.members, err = f.hub.memberTypes(ctx)
	}
	return err
}

// enable enables a type, and waits until it is served, if anything is to be made at all.
func (f *federating) enable(ctx context.Context, word string) (*v1beta1.FederatedTypeConfig, error) {
	if err := f.askMembers(ctx); err != nil {
		return nil, err
	}
	e, err := newEnabling(f.hub, f.types, f.members, word, "")
	if err != nil {
		return nil, err
	}
	e.remark(f.ErrOut)
	config := e.wanted
	if f.Output == outputYAML || f.DryRun != dryRunNone {
		f.made = append(f.made, e)
		f.unserved[config.Name] = e.have == nil
		f.forget(config)
		if f.Output == "" {
			fmt.Fprintf(f.Out, "federatedtypeconfig.%s/%s enabled (client dry run)\n", v1beta1.GroupName, config.Name)
		}
		return config, nil
	}
	written, outcome, warnings, err := e.write(ctx, f.hub, false)
	for _, warning := range warnings {
		fmt.Fprintf(f.ErrOut, "Warning: %s: %s\n", config.Name, warning)
	}
	if err != nil {
		return nil, fmt.Errorf("enable %s: %w", config.Name, err)
	}
	fmt.Fprintf(f.Out, "federatedtypeconfig.%s/%s %s\n", v1beta1.GroupName, config.Name, outcome)
	served, err := waitServed(ctx, f.hub, written, f.every, f.patience)
	if errors.Is(err, errTimeout) {
		return nil, fmt.Errorf("%s was enabled, and is not served after %s: %s", config.Name, f.patience, servedMessage(served))
	}
	if err != nil {
		return nil, err
	}
	f.forget(served)
	return served, nil
}

// forget has a type known as it is now.
func (f *federating) forget(config *v1beta1.FederatedTypeConfig) {
	f.types = append(slices.DeleteFunc(slices.Clone(f.types), func(c v1beta1.FederatedTypeConfig) bool { return c.Name == config.Name }), *config)
}

func (f *federating) collectFiles(ctx context.Context) error {
	documents, err := readDocuments(f.In, f.Files, f.Recursive)
	if err != nil {
		return err
	}
	if len(documents) == 0 {
		return errors.New("there is no object in what -f names")
	}
	type found struct {
		config *v1beta1.FederatedTypeConfig
		key    objectKey
		document
	}
	var all []found
	for _, d := range documents {
		config, key, err := f.documentKey(ctx, d)
		if err != nil {
			return fmt.Errorf("%s: %w", d.from, err)
		}
		if other, twice := f.documents[key]; twice {
			return fmt.Errorf("%s: %s %q is in %s already", d.from, key.resource, key.name, other.from)
		}
		f.documents[key] = d
		all = append(all, found{config, key, d})
	}
	for _, d := range all {
		if err := f.add(ctx, d.config, d.key, d.Unstructured); err != nil {
			return fmt.Errorf("%s: %w", d.from, err)
		}
	}
	return nil
}

func (f *federating) documentKey(ctx context.Context, d document) (config *v1beta1.FederatedTypeConfig, key objectKey, err error) {
	switch {
	case d.GetKind() == "" || d.GetAPIVersion() == "":
		return nil, key, errors.New("it is no object: apiVersion and kind must be set")
	case d.GetName() == "":
		return nil, key, errors.New("metadata.name: it must be set")
	case d.GroupVersionKind().Group == v1beta1.FederatedGroup:
		return nil, key, fmt.Errorf("%s %q is federated already: \"kubectl apply\" makes it", d.GetKind(), d.GetName())
	}
	if config, err = f.typeOfKind(ctx, d.GroupVersionKind().GroupKind()); err != nil {
		return nil, key, err
	}
	key = objectKey{rights.Target(config), f.namespaceOf(config, d.GetName()), d.GetName()}
	if own := d.GetNamespace(); own != "" && reach.KindOf(&config.Spec).Namespaced {
		if f.source.given && own != f.source.namespace {
			return nil, key, fmt.Errorf("metadata.namespace is %q, and --namespace %q: they must be the same", own, f.source.namespace)
		}
		key.namespace = own
	}
	return config, key, nil
}

// collectContents finds a namespace and what is in it.
func (f *federating) collectContents(ctx context.Context) error {
	typeWord, name, err := splitObject(f.words[0])
	if err != nil {
		return err
	}
	config, err := f.typeOf(ctx, typeWord)
	if err != nil {
		return err
	}
	if !reach.KindOf(&config.Spec).IsNamespace() {
		return fmt.Errorf("--contents is for a namespace, and %q is a %s", f.words[0], config.Spec.TargetType.Kind)
	}
	if err := f.findSkipped(ctx); err != nil {
		return err
	}
	f.source.namespace = name
	namespace, err := f.native.get(ctx, config, "", name)
	if err != nil || namespace == nil {
		return f.native.absence(config, "", name, err)
	}
	if f.topology == v1beta2.TopologyCluster { // that of a cell is the cell's
		f.addNamespace(config, name, namespace)
	}
	for i := range f.types {
		config := &f.types[i]
		target := rights.Target(config)
		if !rights.Enabled(config) || !reach.KindOf(&config.Spec).Namespaced || native.InEachCluster[target] || f.skip[target] {
			continue
		}
		if err := f.collectType(ctx, config, name); err != nil {
			return err
		}
	}
	return nil
}

// findSkipped finds the types of --skip: all that a word names.
func (f *federating) findSkipped(ctx context.Context) error {
	for _, word := range f.Skip {
		configs := targetsNamed(f.types, word)
		for _, config := range configs {
			f.skip[rights.Target(config)] = true
		}
		if len(configs) > 0 {
			continue
		}
		resource, err := f.resourceOf(ctx, word)
		if err != nil {
			return fmt.Errorf("--skip: %w", err)
		}
		f.skip[resource] = true // it may be enabled or not
	}
	return nil
}

func (f *federating) collectType(ctx context.Context, config *v1beta1.FederatedTypeConfig, namespace string) error {
	objects, err := f.native.list(ctx, config, namespace)
	if errors.Is(err, errNotServed) {
		return nil // what has no type there is not there
	}
	if err != nil {
		return err
	}
	for _, object := range objects {
		template := native.Template(config, object, f.From != "")
		if why := native.WhyNot(reach.KindOf(&config.Spec).GroupKind(), object, template); why != "" {
			f.skipped[why] = append(f.skipped[why], rights.Target(config).String()+"/"+object.GetName())
			continue
		}
		if err := f.add(ctx, config, objectKey{rights.Target(config), namespace, object.GetName()}, object); err != nil {
			return err
		}
	}
	return nil
}

// addNamespace adds the FederatedNamespace of a namespace that nobody named. Without an object it has no template.
func (f *federating) addNamespace(config *v1beta1.FederatedTypeConfig, name string, object *unstructured.Unstructured) {
	key := objectKey{rights.Target(config), name, name}
	if f.seen[key] {
		return
	}
	f.seen[key] = true
	var template map[string]any
	if object != nil {
		template = native.Template(config, object, f.From != "")
	}
	item := &federatedItem{config: config, objectKey: key, implied: true, spec: f.spec(template)}
	f.items = append([]*federatedItem{item}, f.items...)
}

// add adds an object, and before it what it names, if that is asked for.
func (f *federating) add(ctx context.Context, config *v1beta1.FederatedTypeConfig, key objectKey, object *unstructured.Unstructured) error {
	if f.seen[key] {
		return nil
	}
	f.seen[key] = true
	source := strings.TrimPrefix(key.namespace+"/"+key.name, "/")
	if err := native.ComesFrom(object, source, f.federation); err != nil {
		return fmt.Errorf("%s %q: %w", key.resource, key.name, err)
	}
	if !rights.Enabled(config) {
		fmt.Fprintf(f.ErrOut, "Warning: %s is Disabled, and nothing of it goes to members: kubectl koinon enable %s%s\n", config.Name, config.Name, f.flags.givenIn(f.System))
	}
	template := native.Template(config, object, f.From != "")
	item := &federatedItem{config: config, objectKey: key, spec: f.spec(template), left: native.LeftOut(config, object)}
	if f.Follow {
		if err := following.TypeProblem(config); err != nil {
			return fmt.Errorf("--follow: %s %q: %w", key.resource, key.name, err)
		}
		if why := native.WhyNot(reach.KindOf(&config.Spec).GroupKind(), object, template); why != "" {
			return fmt.Errorf("--follow: %s %q is %s, and such objects are not followed", key.resource, key.name, why)
		}
		item.follows = object
	}
	references := referencesOf(reach.KindOf(&config.Spec).GroupKind(), template)
	for _, r := range sortReferences(references) {
		if err := f.addReference(ctx, key, r, references[r]); err != nil {
			return err
		}
	}
	f.items = append(f.items, item)
	return nil
}

// addReference adds what an object names, or notes that it is named. What is not there, and may be missing, is passed over.
func (f *federating) addReference(ctx context.Context, by objectKey, r reference, needed bool) error {
	missing := missingReference{by.namespace, r}
	resource := schema.GroupResource{Resource: r.resource()}
	config := typeConfigFor(f.types, resource)
	if config == nil && f.WithReferences && f.EnableType && !f.skip[resource] {
		enabled, err := f.typeOf(ctx, r.resource())
		if err != nil {
			return err
		}
		config = enabled
	}
	if !f.WithReferences || config == nil || f.skip[resource] {
		if needed || f.WithReferences {
			f.missing[missing] = by.resource.String() + "/" + by.name
		}
		return nil
	}
	key := objectKey{rights.Target(config), by.namespace, r.name}
	if f.seen[key] {
		return nil
	}
	object, err := f.find(ctx, config, key)
	if err != nil {
		return err
	}
	if object == nil {
		if needed {
			f.missing[missing] = by.resource.String() + "/" + by.name
		}
		return nil
	}
	template := native.Template(config, object, f.From != "")
	if native.WhyNot(reach.KindOf(&config.Spec).GroupKind(), object, template) != "" && len(f.Files) == 0 {
		return nil // each cluster has its own, or it is federated already
	}
	return f.add(ctx, config, key, object)
}

// find looks for an object where the others are; nil if it is not there.
func (f *federating) find(ctx context.Context, config *v1beta1.FederatedTypeConfig, key objectKey) (*unstructured.Unstructured, error) {
	if len(f.Files) > 0 {
		return f.documents[key].Unstructured, nil
	}
	object, err := f.native.get(ctx, config, key.namespace, key.name)
	if errors.Is(err, errNotServed) {
		return nil, nil
	}
	return object, err
}

// spec is that of a federated object.
func (f *federating) spec(template map[string]any) map[string]any {
	spec := map[string]any{"placement": asTree(&f.placed)}
	if f.topology != v1beta2.TopologyCluster {
		spec["topologyType"] = f.topology
	}
	if template != nil {
		spec["template"] = template
	}
	return spec
}

// asTree is a value as it is decoded from JSON.
func asTree(value any) (out any) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil // never: it is made of strings
	}
	_ = json.Unmarshal(data, &out)
	return out
}

// hostNamespaces refuses namespaces that the host has not, before anything is made. Who may not look is told by the server.
func (f *federating) hostNamespaces(ctx context.Context) error {
	if f.Output != "" {
		return nil
	}
	for _, item := range f.items {
		if item.namespace == "" {
			continue
		}
		if there, err := f.hub.namespace(ctx, item.namespace); err == nil && there == nil {
			return fmt.Errorf("the host has no namespace %q: \"kubectl create namespace %s%s\" makes it", item.namespace, item.namespace, f.flags.given())
		}
	}
	return nil
}

// object is the whole federated object.
func (i *federatedItem) object() map[string]any {
	federated := i.config.Spec.FederatedType
	metadata := map[string]any{"name": i.name}
	if mark := i.mark(); mark != "" {
		metadata["annotations"] = map[string]any{v1beta1.FollowsAnnotation: mark}
	}
	if i.namespace != "" {
		metadata["namespace"] = i.namespace
	}
	return map[string]any{
		"apiVersion": schema.GroupVersion{Group: federated.Group, Version: v1beta2.SchemeGroupVersion.Version}.String(), "kind": federated.Kind,
		"metadata": metadata, "spec": i.spec,
	}
}

// show prints what would be made.
func (f *federating) show() error {
	var all []any
	for _, e := range f.made {
		all = append(all, e.wanted)
	}
	for _, item := range f.items {
		all = append(all, item.object())
	}
	for i, object := range all {
		data, err := marshal(object)
		if err != nil {
			return err
		}
		if i > 0 {
			fmt.Fprintln(f.Out, "---")
		}
		if _, err := f.Out.Write(data); err != nil {
			return err
		}
	}
	return nil
}

// writeAll makes all that is to be made, and tells what came of each. What fails holds up nothing else.
func (f *federating) writeAll(ctx context.Context) error {
	var failed []error
	for _, item := range f.items {
		outcome, err := f.write(ctx, item)
		if err == nil && item.follows != nil {
			err = f.label(ctx, item)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", item, err))
			continue
		}
		switch {
		case outcome == unchangedOutcome:
		case f.DryRun == dryRunServer && !f.unserved[item.config.Name]:
			outcome += " (server dry run)"
		case f.DryRun != dryRunNone:
			outcome += " (client dry run)"
		}
		fmt.Fprintf(f.Out, "%s %s\n", item, outcome)
	}
	return errors.Join(failed...)
}

const unchangedOutcome = "unchanged"

// write makes one federated object, or changes it if it may.
func (f *federating) write(ctx context.Context, item *federatedItem) (outcome string, err error) {
	if f.unserved[item.config.Name] {
		return "created", nil
	}
	for attempt := 1; ; attempt++ {
		have, err := readFederated(ctx, f.hub, item.config, item.namespace, item.name)
		switch {
		case apierrors.IsNotFound(err):
			return "created", f.create(ctx, item)
		case err != nil:
			return "", asSentence(err)
		case item.implied:
			return unchangedOutcome, nil
		case have.DeletionTimestamp != nil:
			return "", errors.New("it is being deleted: wait until it is gone")
		}
		differs := item.differs(have)
		switch {
		case len(differs) == 0:
			return unchangedOutcome, nil
		case !f.Replace:
			return "", fmt.Errorf("it is there already, with another %s: --replace puts this one in its place, -o yaml shows it", strings.Join(differs, " and another "))
		}
		if err := f.refuseRemoval(ctx, item, have); err != nil {
			return "", err
		}
		if f.DryRun == dryRunClient {
			return "replaced", nil
		}
		if err = f.replace(ctx, item, have); !apierrors.IsConflict(err) || attempt >= maskAttempts {
			return "replaced", asSentence(err)
		}
	}
}

// differs says what of a federated object is not as it is to be.
func (i *federatedItem) differs(have *v1beta2.FederatedObject) (what []string) {
	topology, _ := i.spec["topologyType"].(string)
	if cmp.Or(have.Spec.TopologyType, v1beta2.TopologyCluster) != cmp.Or(topology, v1beta2.TopologyCluster) {
		what = append(what, "spec.topologyType")
	}
	before, after := asTree(have.Spec.Template), asTree(i.spec["template"])
	if !reflect.DeepEqual(before, after) && !(manifest.IsEmpty(before) && manifest.IsEmpty(after)) {
		what = append(what, "spec.template")
	}
	if !reflect.DeepEqual(asTree(have.Spec.Placement), i.spec["placement"]) {
		what = append(what, "spec.placement")
	}
	if i.follows != nil && !isMarkedFor(have, i.follows) {
		what = append(what, "annotation "+v1beta1.FollowsAnnotation)
	}
	return what
}

func (f *federating) create(ctx context.Context, item *federatedItem) error {
	if f.DryRun == dryRunClient {
		return nil
	}
	body, err := json.Marshal(item.object())
	if err != nil {
		return err
	}
	_, warnings, err := f.hub.do(ctx, sent{
		verb: http.MethodPost, path: federatedPath(item.config, v1beta2.SchemeGroupVersion.Version, item.namespace, ""),
		query: writeQuery(f.DryRun == dryRunServer), body: body,
	})
	f.warn(item, warnings)
	return asSentence(err)
}

// replace puts template and placement in place of those that are there, if nobody wrote them meanwhile.
func (f *federating) replace(ctx context.Context, item *federatedItem, have *v1beta2.FederatedObject) error {
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	// The version is not tested, but set: the server then refuses the change with a conflict.
	operations := []operation{{"replace", "/metadata/resourceVersion", have.ResourceVersion}}
	spec := maps.Clone(item.spec)
	if topology, _ := spec["topologyType"].(string); cmp.Or(topology, v1beta2.TopologyCluster) != cmp.Or(have.Spec.TopologyType, v1beta2.TopologyCluster) {
		spec["topologyType"] = cmp.Or(topology, v1beta2.TopologyCluster) // the server says what it thinks of that
	}
	if spec["template"] == nil && len(have.Spec.Template) > 0 { // a FederatedNamespace needs none
		spec["template"] = map[string]any{}
	}
	for _, key := range slices.Sorted(maps.Keys(spec)) {
		operations = append(operations, operation{"add", "/spec/" + key, spec[key]})
	}
	if item.follows != nil && !isMarkedFor(have, item.follows) {
		if len(have.Annotations) == 0 {
			operations = append(operations, operation{"add", "/metadata/annotations", map[string]any{}})
		}
		operations = append(operations, operation{"add", "/metadata/annotations/" + strings.ReplaceAll(v1beta1.FollowsAnnotation, "/", "~1"), item.mark()})
	}
	patch, err := json.Marshal(operations)
	if err != nil {
		return err
	}
	_, warnings, err := f.hub.do(ctx, sent{
		verb: http.MethodPatch, path: federatedPath(item.config, v1beta2.SchemeGroupVersion.Version, item.namespace, item.name),
		query: writeQuery(f.DryRun == dryRunServer), body: patch, content: string(types.JSONPatchType),
	})
	f.warn(item, warnings)
	return err
}

func (f *federating) warn(item *federatedItem, warnings []string) {
	for _, warning := range warnings {
		fmt.Fprintf(f.ErrOut, "Warning: %s: %s\n", item, warning)
	}
}

// findMissing takes out of what is missing all that is federated, by this run or already, and notes of what that is not known.
func (f *federating) findMissing(ctx context.Context) {
	for _, r := range slices.Collect(maps.Keys(f.missing)) {
		config := typeConfigFor(f.types, schema.GroupResource{Resource: r.resource()})
		if config == nil {
			continue
		}
		if f.seen[objectKey{rights.Target(config), r.namespace, r.name}] {
			delete(f.missing, r)
			continue
		}
		switch _, err := readFederated(ctx, f.hub, config, r.namespace, r.name); {
		case err == nil:
			delete(f.missing, r)
		case !apierrors.IsNotFound(err):
			f.unknown[r] = sentence(err)
		}
	}
}

// annotated are the names of the FederatedTypeConfigs of objects that have annotations which are not in their templates.
func (f *federating) annotated() (types []string) {
	for _, item := range f.items {
		if slices.ContainsFunc(item.left, func(path string) bool { return strings.HasPrefix(path, "metadata.annotations[") }) {
			types = append(types, item.config.Name)
		}
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// remark says what there is to say besides, and the commands that go on from here. done says that all was made.
func (f *federating) remark(without []stranded, done bool) {
	for _, item := range f.items {
		if len(item.left) > 0 {
			fmt.Fprintf(f.ErrOut, "%s: not in the template: %s\n", item, someNames(item.left))
		}
	}
	if types := f.annotated(); len(types) > 0 {
		fmt.Fprintf(f.ErrOut, "Annotations are in templates if spec.propagatingAnnotations of the FederatedTypeConfig names them, here that of: %s\n", someNames(types))
	}
	for _, why := range slices.Sorted(maps.Keys(f.skipped)) {
		fmt.Fprintf(f.ErrOut, "left out, %s: %s\n", why, someNames(f.skipped[why]))
	}
	next := f.nextReferences()
	for _, s := range without {
		fmt.Fprintf(f.ErrOut, "Warning: namespace %q has no FederatedNamespace: its objects go to no cluster before it has one; %s\n", s.namespace, f.advice(s))
		if s.unknown == nil {
			next = append(next, f.namespaceCommand(s))
		}
	}
	if len(f.items) > 0 && done {
		last := f.items[len(f.items)-1]
		next = append(next, "kubectl koinon explain "+strings.ToLower(last.config.Spec.FederatedType.Kind)+"/"+last.name+inNamespace(last.namespace)+f.flags.givenIn(f.System))
	}
	if len(next) > 0 {
		fmt.Fprintln(f.ErrOut, "Next:")
	}
	for _, command := range next {
		fmt.Fprintf(f.ErrOut, "  %s\n", command)
	}
}

func inNamespace(namespace string) string {
	if namespace == "" {
		return ""
	}
	return " -n " + namespace
}

// nextReferences says what is named and not federated, and returns the commands that federate it.
func (f *federating) nextReferences() (commands []string) {
	missing := slices.SortedFunc(maps.Keys(f.missing), func(a, b missingReference) int {
		return cmp.Or(strings.Compare(a.namespace, b.namespace), strings.Compare(a.String(), b.String()))
	})
	byNamespace := map[string][]string{}
	from := ""
	if f.From != "" {
		from = " --from " + f.From
	}
	for _, r := range missing {
		why, gone := " and not federated: --with-references federates it", false
		switch {
		case f.unknown[r] != "":
			why, gone = ", and it is not known whether it is federated: "+f.unknown[r], true
		case f.skip[schema.GroupResource{Resource: r.resource()}]:
			why, gone = " and not federated: --skip leaves it out", true
		case typeConfigFor(f.types, schema.GroupResource{Resource: r.resource()}) == nil:
			why, from = " and not federated; its type is not enabled", strings.TrimSuffix(from, " --enable-type")+" --enable-type"
		case f.WithReferences && len(f.Files) > 0:
			why, gone = " and not federated, nor in what -f names", true
		case f.WithReferences:
			why, gone = fmt.Sprintf(" and not federated, nor is it in %s", f.native), true
		}
		fmt.Fprintf(f.ErrOut, "Warning: %s is named by %s%s\n", r, f.missing[r], why)
		if !gone { // what is not there cannot be federated
			byNamespace[r.namespace] = append(byNamespace[r.namespace], r.String())
		}
	}
	for _, namespace := range slices.Sorted(maps.Keys(byNamespace)) {
		commands = append(commands, "kubectl koinon federate "+strings.Join(byNamespace[namespace], " ")+inNamespace(namespace)+from+f.placeFlags()+f.flags.givenIn(f.System))
	}
	return commands
}
