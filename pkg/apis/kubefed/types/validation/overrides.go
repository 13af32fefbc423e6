package validation

import (
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/manifest"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

func (c *check) overrides() {
	seen := map[string]bool{}
	for i := range c.obj.Spec.Overrides {
		o := &c.obj.Spec.Overrides[i]
		c.overrideTarget(i, o, seen)
		c.patches(o.TopologyOverrides, func() *field.Path { return c.overridePatches(i) })
	}
}

// overrideTarget checks whom an override is for; seen holds the names of those before.
func (c *check) overrideTarget(i int, o *v1beta2.Override, seen map[string]bool) {
	switch {
	case o.TopologySelector != nil && o.TopologyName != "":
		c.add(field.Invalid(c.overrideName(i), o.TopologyName, "is set together with topologySelector: exactly one of them is allowed"))
	case o.TopologySelector != nil:
		c.selector(o.TopologySelector, c.override(i).Child("topologySelector"))
	case o.TopologyName == "" && !c.clusterShape:
		c.add(field.Required(c.overrideName(i), "exactly one of topologyName and topologySelector must be set"))
	default:
		name := o.TopologyName
		c.specName(name, c.target(name), func() *field.Path { return c.overrideName(i) })
		if name != "" && seen[name] {
			c.add(duplicate(c.overrideName(i), c.target(name), "a target has one entry, with all of its changes in "+c.patchesField(i)))
		}
		seen[name] = true
	}
}

func (c *check) patches(patches []v1beta2.OverridePatch, path func() *field.Path) {
	seen := make(map[string]bool, len(patches))
	for i := range patches {
		p := &patches[i]
		at := func() *field.Path { return path().Index(i) }
		c.patch(p, at)
		if seen[p.Path] {
			c.add(duplicate(at().Child("path"), p.Path, "a path is changed once per target"))
		}
		seen[p.Path] = true
		if p.Value != nil {
			c.add(p.Value.Faults(at().Child("value"), v1beta2.MaxDepth)...)
		}
	}
}

func (c *check) patch(p *v1beta2.OverridePatch, at func() *field.Path) {
	errs := manifest.PatchErrors(p, c.opts.TargetAPIVersion, at)
	if len(errs) == 0 && manifest.IsNamespace(c.opts.targetKind(c.obj)) {
		errs = manifest.NamespacePatchErrors(p, at)
	}
	if len(errs) == 0 && p.Value != nil {
		errs = c.compare(p, at)
	}
	c.add(errs...)
}

// compare compares a value with the schema of its place, unless it was there before.
func (c *check) compare(p *v1beta2.OverridePatch, at func() *field.Path) field.ErrorList {
	steps, ok := manifest.Steps(p.Path)
	if !ok || c.opts.CompareAt == nil || manifest.Operation(p) == manifest.OpRemove || c.old != nil && reflect.DeepEqual(c.obj.Spec.Overrides, c.old.Spec.Overrides) {
		return nil
	}
	value, err := p.Value.Tree()
	if err != nil {
		return nil // Faults tells
	}
	return c.opts.CompareAt(steps, value, at().Child("value"))
}

// bounds checks how much the spec names; what it holds is payload's to check.
func (c *check) bounds() {
	spec, old := &c.obj.Spec, c.oldSpec()
	c.bound(targets(spec.Placement), targets(old.Placement), v1beta2.MaxTargets, c.placementList(), "targets")
	c.bound(targets(spec.PlacementMask), targets(old.PlacementMask), v1beta2.MaxTargets, c.mask().Child("topologies"), "targets")
	c.bound(len(spec.Overrides), len(old.Overrides), v1beta2.MaxTargets, specPath.Child("overrides"), "overrides")
	all, most := countPatches(spec.Overrides)
	oldAll, oldMost := countPatches(old.Overrides)
	c.bound(all, oldAll, v1beta2.MaxPatches, specPath.Child("overrides"), "patches in all overrides together")
	c.bound(most, oldMost, v1beta2.MaxTargetPatches, specPath.Child("overrides"), "patches for one target, with those of all overrides by selector")
}

// bound refuses more than limit of what, unless there were as many before.
func (c *check) bound(n, old, limit int, path *field.Path, what string) {
	if n > limit && n > old {
		c.add(field.Invalid(path, fmt.Sprintf("%d %s", n, what), fmt.Sprintf("at most %d are allowed", limit)))
	}
}

func targets(p *v1beta2.Placement) int {
	if p == nil {
		return 0
	}
	return len(p.Topologies)
}

// countPatches returns how many patches there are, and how many one target may get.
func countPatches(overrides []v1beta2.Override) (all, most int) {
	named, bySelector := 0, 0
	for i := range overrides {
		n := len(overrides[i].TopologyOverrides)
		if all += n; overrides[i].TopologySelector != nil {
			bySelector += n
		} else {
			named = max(named, n)
		}
	}
	return all, named + bySelector
}
