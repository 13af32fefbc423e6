package validation

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	corev1beta1 "github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conversion"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/following"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/lifecycle"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/mistakes"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
)

// Options says what kind of object is validated, and for whom.
type Options struct {
	// TargetKind is the kind of the template, such as Deployment. If it is empty, it is
	// the object's kind without Federated.
	TargetKind string
	// TargetAPIVersion is the apiVersion of the template, such as apps/v1. If it is empty,
	// the template's is not checked.
	TargetAPIVersion string
	// Namespaced says whether the federated kind is; others have no cells or edge units.
	Namespaced bool
	// RequestedVersion is the version that the client used. v1beta1 makes errors and
	// warnings speak of the cluster shape, anything else of the topology shape.
	RequestedVersion string
	// Propagates says of an annotation of the template whether it is sent to members. If it
	// is nil, this is not known, and nothing is said of annotations.
	Propagates func(annotation string) bool
	// OtherEngine says that stock KubeFed controllers may propagate the object, so that what
	// v1beta1 cannot say is warned about.
	OtherEngine bool
	// MasksHeld says that the endpoints of cells hold back what such a controller writes to a masked
	// cell.
	MasksHeld bool
	// CompareAt compares what an override puts at a place in the template, which steps lead to,
	// with the schema of the target kind; at is the path of the value. If it is nil, the schema
	// is not known.
	CompareAt func(steps []string, value any, at *field.Path) field.ErrorList
	// Template is the object's template as rawjson.Value.Tree returns it, for callers that
	// have it. If it is nil, the template is parsed here.
	Template map[string]any
}

func (o Options) targetKind(obj *v1beta2.FederatedObject) string {
	if o.TargetKind != "" {
		return o.TargetKind
	}
	return strings.TrimPrefix(obj.Kind, "Federated")
}

// targetGroupKind is the kind of the template with its group, which is empty, as that of the
// core group, if it is not known.
func (o Options) targetGroupKind(obj *v1beta2.FederatedObject) schema.GroupKind {
	version, _ := schema.ParseGroupVersion(o.TargetAPIVersion)
	return schema.GroupKind{Group: version.Group, Kind: o.targetKind(obj)}
}

func (o *Options) template(obj *v1beta2.FederatedObject) map[string]any {
	if o.Template == nil {
		o.Template = tree(obj.Spec.Template)
	}
	return o.Template
}

// check is one validation of one object.
type check struct {
	words
	opts Options
	// old is nil when an object is created.
	old  *v1beta2.FederatedObject
	errs field.ErrorList
}

func newCheck(obj, old *v1beta2.FederatedObject, opts Options) *check {
	return &check{words: newWords(obj, opts.RequestedVersion == v1beta1.SchemeGroupVersion.Version), opts: opts, old: old}
}

// oldSpec is what the object held before: nothing if it is new.
func (c *check) oldSpec() *v1beta2.FederatedObjectSpec {
	if c.old == nil {
		return &v1beta2.FederatedObjectSpec{}
	}
	return &c.old.Spec
}

// add tells mistakes, as many as are told, without what Secrets hold.
func (c *check) add(errs ...*field.Error) {
	c.errs = mistakes.Add(c.errs, WithoutContents(c.opts.targetKind(c.obj), errs)...)
}

// ValidateObject returns what is wrong with a defaulted object: nil if nothing is.
func ValidateObject(obj *v1beta2.FederatedObject, opts Options) field.ErrorList {
	c := newCheck(obj, nil, opts)
	c.object()
	return c.errs
}

func (c *check) object() {
	obj := c.obj
	c.annotations()
	c.topologyTypeAllowed()
	if !c.sameTemplate() {
		c.template()
	}
	c.payload()
	c.bounds()
	c.placement(obj.Spec.Placement, c.placementName, c.placementSelector(), c.placed)
	c.placement(obj.Spec.PlacementMask, c.maskName, c.mask().Child("topologySelector"), func(name string) string { return name })
	c.groupsOrSelector()
	if c.old == nil || !reflect.DeepEqual(obj.Spec.Overrides, c.old.Spec.Overrides) {
		c.overrides()
	}
	c.stashFits()
}

// ValidateUpdate returns what is wrong with an object that replaces old. A spec that does
// not change is not checked again, so that a finalizer can always be removed, whatever
// rule is new since the object was stored. Neither is a template that stays, nor the
// overrides if all of them do: a mask can be set whatever they hold. And what is larger
// than a bound may stay so, as long as it does not grow.
func ValidateUpdate(obj, old *v1beta2.FederatedObject, opts Options) field.ErrorList {
	c := newCheck(obj, old, opts)
	if conversion.SameSpec(&obj.Spec, &old.Spec) {
		c.annotations()
		return c.errs
	}
	if was := old.Spec.TopologyType; obj.Spec.TopologyType != was {
		c.add(field.Invalid(c.topologyType(), obj.Spec.TopologyType, fmt.Sprintf("is immutable, and was %s: delete the object and create it anew", was)))
	}
	c.object()
	return c.errs
}

// ValidateStatusUpdate returns what is wrong with a status: a name that is listed twice,
// or that nothing can have, or a remote status that clients cannot read. Beside that, what
// stock controllers send in v1beta1 is taken as it is.
func ValidateStatusUpdate(obj, old *v1beta2.FederatedObject, opts Options) field.ErrorList {
	if obj.Status == nil {
		return nil
	}
	c := newCheck(obj, old, opts)
	c.remoteStatuses()
	if c.clusterShape {
		return c.errs
	}
	targets, conditions := map[string]bool{}, map[v1beta2.ConditionType]bool{}
	for i := range obj.Status.Targets {
		name := obj.Status.Targets[i].Name
		path := field.NewPath("status", "targets").Index(i).Child("name")
		c.statusName(name, path)
		if targets[name] {
			c.add(duplicate(path, name, "a target has one entry"))
		}
		targets[name] = true
	}
	for i := range obj.Status.Conditions {
		name := obj.Status.Conditions[i].Type
		if conditions[name] {
			c.add(duplicate(field.NewPath("status", "conditions").Index(i).Child("type"), string(name), "a condition has one entry"))
		}
		conditions[name] = true
	}
	return c.errs
}

// remoteStatuses checks those that are new: what is stored already is not the writer's
// fault.
func (c *check) remoteStatuses() {
	known := map[string]rawjson.Value{}
	if c.old != nil && c.old.Status != nil {
		for i := range c.old.Status.Targets {
			known[c.old.Status.Targets[i].Name] = c.old.Status.Targets[i].RemoteStatus
		}
	}
	list := field.NewPath("status", "targets")
	if c.clusterShape {
		list = field.NewPath("status", "clusters")
	}
	for i := range c.obj.Status.Targets {
		t := &c.obj.Status.Targets[i]
		if t.RemoteStatus != nil && !bytes.Equal(t.RemoteStatus, known[t.Name]) {
			c.add(t.RemoteStatus.Faults(list.Index(i).Child("remoteStatus"), 0)...)
		}
	}
}

// statusName takes the name of a target, and that of a cluster that is no target.
func (c *check) statusName(name string, path *field.Path) {
	topologyType := c.obj.Spec.TopologyType
	if topology.IsGroupTarget(topologyType, name) {
		return
	}
	foreign, ok := strings.CutPrefix(name, conversion.ForeignPrefix)
	if !ok || !topology.Scoped(topologyType) {
		c.targetName(name, name, func() *field.Path { return path })
		return
	}
	if target, isTarget := topology.Name(topologyType, c.obj.Namespace, foreign); isTarget {
		c.add(field.Invalid(path, name, fmt.Sprintf("is %s: write %s", noun(topologyType), target)))
	}
	if topology.IsGroupTarget(topologyType, foreign) {
		c.add(field.Invalid(path, name, "is no cluster: write "+foreign))
	}
}

// annotations checks those that mean something to the control plane.
func (c *check) annotations() {
	for _, rule := range annotationRules {
		value, there := c.obj.Annotations[rule.key]
		if !there || c.old != nil && c.old.Annotations[rule.key] == value {
			continue
		}
		if err := rule.check(field.NewPath("metadata", "annotations").Key(rule.key), value); err != nil {
			c.add(err)
		}
	}
	if _, there := c.obj.Annotations[v1beta1.TopologyAnnotation]; there {
		c.add(field.Forbidden(stashPath, "is reserved for the v1beta1 form of the object: set spec.topologyType, spec.placementMask and spec.overrides instead"))
	}
}

// annotationRules say what annotations may hold that somebody sets or changes.
var annotationRules = []struct {
	key   string
	check func(path *field.Path, value string) *field.Error
}{
	{corev1beta1.ForeignFieldsAnnotation, oneOf(string(corev1beta1.KeepForeignFields), string(corev1beta1.RemoveForeignFields))},
	{corev1beta1.ConflictsAnnotation, oneOf(string(corev1beta1.OverwriteConflicts), string(corev1beta1.AbortOnConflicts))},
	// Nothing but "true" has an effect, and whoever writes "True" loses what he wanted to keep.
	{corev1beta1.OrphanAnnotation, oneOf("true", "false")},
	{corev1beta1.OrphanPolicyAnnotation, oneOf(corev1beta1.OrphanAdopted)},
	{corev1beta1.AdoptAnnotation, oneOf("true", "false")},
	{corev1beta1.AbandonAnnotation, func(path *field.Path, value string) *field.Error {
		if problem := lifecycle.AbandonProblem(value); problem != "" {
			return field.Invalid(path, value, problem)
		}
		return nil
	}},
	{corev1beta1.FollowsAnnotation, func(path *field.Path, value string) *field.Error {
		if problem := following.MarkProblem(value); problem != "" {
			return field.Invalid(path, value, problem)
		}
		return nil
	}},
	{corev1beta1.DeleteOptionsAnnotation, func(path *field.Path, value string) *field.Error {
		if _, err := manifest.DeleteOptions(value); err != nil {
			return field.Invalid(path, value, err.Error())
		}
		return nil
	}},
}

func oneOf(allowed ...string) func(*field.Path, string) *field.Error {
	return func(path *field.Path, value string) *field.Error {
		if slices.Contains(allowed, value) {
			return nil
		}
		return field.NotSupported(path, value, allowed)
	}
}

func (c *check) topologyTypeAllowed() {
	topologyType := c.obj.Spec.TopologyType
	if problem := topology.Problem(topologyType); problem != "" {
		c.add(field.Invalid(c.topologyType(), topologyType, problem))
		return
	}
	if !c.opts.Namespaced && topology.Scoped(topologyType) {
		c.add(field.Invalid(c.topologyType(), topologyType, fmt.Sprintf("a cluster-scoped kind such as %s allows only cluster, or cluster:<label>", c.obj.Kind)))
	}
}

// groupsOrSelector refuses names of groups beside a selector, for which v1beta1 has one place. An
// empty list says that nothing is placed, which v1beta1 can say beside a selector.
func (c *check) groupsOrSelector() {
	topologyType, p := c.obj.Spec.TopologyType, c.obj.Spec.Placement
	if topology.Label(topologyType) != "" && p != nil && len(p.Topologies) > 0 && p.TopologySelector != nil {
		c.add(field.Forbidden(c.placementSelector(), fmt.Sprintf("topologyType is %s, so there may be topologies or a topologySelector, and not both", topologyType)))
	}
}

// placement checks a placement or a mask; at is where its i-th name is, and shown a name in the
// client's words.
func (c *check) placement(p *v1beta2.Placement, at func(i int) *field.Path, selector *field.Path, shown func(string) string) {
	if p == nil {
		return
	}
	seen := make(map[string]bool, len(p.Topologies))
	for i := range p.Topologies {
		name := p.Topologies[i].Name
		path := func() *field.Path { return at(i) }
		c.specName(name, shown(name), path)
		if seen[name] {
			c.add(duplicate(path(), shown(name), "a target is listed once"))
		}
		seen[name] = true
	}
	c.selector(p.TopologySelector, selector)
}

// specName checks whom a spec names: a target, or a group of a user-defined type.
func (c *check) specName(name, shown string, path func() *field.Path) {
	topologyType := c.obj.Spec.TopologyType
	label := topology.Label(topologyType)
	switch {
	case label == "":
		c.targetName(name, shown, path)
	case name == "":
		c.add(field.Required(path(), fmt.Sprintf("a value of the label %s, by which %s goes", label, topologyType)))
	case len(utilvalidation.IsValidLabelValue(name)) > 0:
		c.add(field.Invalid(path(), shown, fmt.Sprintf("topologyType is %s, so the name is a value of the label %s: letters, digits, '-', '_' and '.', at most 63 of them, such as a", topologyType, label)))
	}
}

// targetName checks a name against what targets of the object's type can be called.
func (c *check) targetName(name, shown string, path func() *field.Path) {
	topologyType := topology.Base(c.obj.Spec.TopologyType)
	switch {
	case name == "":
		c.add(field.Required(path(), fmt.Sprintf("the name of %s", noun(topologyType))))
	case !topology.Known(topologyType):
		// The type is wrong, so nothing is known of its names.
	case !topology.Scoped(topologyType):
		if len(utilvalidation.IsDNS1123Subdomain(name)) > 0 {
			c.add(field.Invalid(path(), shown, "the name of a cluster is lower case letters, digits, '-' and '.', at most 253 of them, such as m1"))
		}
	case strings.Contains(name, "."):
		c.add(field.Invalid(path(), shown, c.dotted(name)))
	case len(utilvalidation.IsDNS1123Label(name)) > 0:
		c.add(field.Invalid(path(), shown, fmt.Sprintf("the name of %s is lower case letters, digits and '-', at most 63 of them, such as rz00a", noun(topologyType))))
	}
}

// dotted says what to do about a name with a dot. Some write the name of the
// KubeFedCluster that a target appears as.
func (c *check) dotted(name string) string {
	topologyType := c.obj.Spec.TopologyType
	sentence := fmt.Sprintf("the name of %s holds no dot", noun(topologyType))
	if target, ok := topology.Name(topologyType, c.obj.Namespace, name); ok {
		sentence += ": write " + target
	}
	return sentence
}

// noun is what people call a target of the type, with its article.
func noun(topologyType string) string {
	topologyType = topology.Base(topologyType)
	if topologyType == v1beta2.TopologyEdgeUnit {
		return "an edge unit"
	}
	return "a " + topologyType
}

func (c *check) selector(s *metav1.LabelSelector, path *field.Path) {
	if s == nil {
		return
	}
	c.add(metav1validation.ValidateLabelSelector(s, metav1validation.LabelSelectorValidationOptions{}, path)...)
	for _, key := range topology.ReservedSelectorKeys(c.obj.Spec.TopologyType) {
		if _, used := s.MatchLabels[key]; used {
			c.add(field.Forbidden(path.Child("matchLabels").Key(key), "is set by the server: select by other labels"))
		}
		for i := range s.MatchExpressions {
			if s.MatchExpressions[i].Key == key {
				c.add(field.Invalid(path.Child("matchExpressions").Index(i).Child("key"), key, "is set by the server: select by other labels"))
			}
		}
	}
}

func (c *check) stashFits() {
	stash, err := conversion.Stash(c.obj)
	if err == nil && len(stash) <= v1beta2.MaxStashBytes {
		return
	}
	if err == nil && c.old != nil {
		if old, err := conversion.Stash(c.old); err == nil && len(stash) <= len(old) {
			return
		}
	}
	path := specPath
	if c.clusterShape {
		path = stashPath
	}
	if err != nil {
		c.add(field.InternalError(path, err))
		return
	}
	c.add(field.Invalid(path, fmt.Sprintf("%d bytes", len(stash)),
		fmt.Sprintf("placementMask and overrides with a topologySelector may be %d bytes together, since v1beta1 carries them in an annotation", v1beta2.MaxStashBytes)))
}

func duplicate(path *field.Path, value, detail string) *field.Error {
	err := field.Duplicate(path, value)
	err.Detail = detail
	return err
}

// placedByName reports whether the placement lists names, and whether it has this one.
func placedByName(p *v1beta2.Placement, name string) (byName, placed bool) {
	if p == nil || p.Topologies == nil {
		return false, false
	}
	return true, slices.ContainsFunc(p.Topologies, func(r v1beta2.TopologyReference) bool { return r.Name == name })
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
