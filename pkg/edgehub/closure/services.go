package closure

import (
	"context"
	"maps"
	"slices"

	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/koinon-io/koinon/pkg/edgehub/topology"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
)

// readServices has rules be what Services say, until ctx ends.
func (c *Closure) readServices(ctx context.Context, services *reader) {
	all := func(list []*view.Object) {
		c.mu.Lock()
		changed := map[string]rule{}
		for name := range c.rules {
			changed[name] = rule{gone: true} // unless it is there
		}
		c.mu.Unlock()
		for _, o := range list {
			changed[o.Name] = ruleOf(o)
		}
		c.setRules(ctx, changed)
		c.mu.Lock()
		c.known, c.listed = true, true
		c.mu.Unlock()
		c.hideUnknown(!isForbidden(services.hindered()))
	}
	some := func(events []view.Event) {
		changed := map[string]rule{}
		for _, e := range events {
			switch e.Type {
			case view.Bookmark:
			case view.Deleted:
				changed[e.Object.Name] = rule{gone: true}
			default:
				changed[e.Object.Name] = ruleOf(e.Object)
			}
		}
		c.setRules(ctx, changed)
	}
	services.read(ctx, all, some, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.known, c.listed = false, false
	})
}

// ruleOf is the rule of a Service.
func ruleOf(o *view.Object) rule {
	var service struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	if utiljson.Unmarshal(o.Body, &service) != nil {
		return rule{} // it was read once: this does not happen
	}
	var r rule
	for _, name := range []string{topology.Annotation, topology.OpenYurtAnnotation} {
		if value, ok := service.Metadata.Annotations[name]; ok {
			if r.annotations == nil {
				r.annotations = map[string]string{}
			}
			r.annotations[name] = value
		}
	}
	scopes, _ := topology.RuleOf(r.annotations)
	r.needsUnits = slices.Contains(scopes, topology.Unit)
	return r
}

// setRules gives Services their rules, once the units that these need are known.
func (c *Closure) setRules(ctx context.Context, changed map[string]rule) {
	c.mu.Lock()
	maps.DeleteFunc(changed, func(name string, r rule) bool {
		before, was := c.rules[name]
		return was != r.gone && maps.Equal(r.annotations, before.annotations)
	})
	needs := false
	for name, r := range c.rules {
		_, other := changed[name]
		needs = needs || r.needsUnits && !other
	}
	c.mu.Unlock()
	if len(changed) == 0 {
		return
	}
	for _, r := range changed {
		needs = needs || r.needsUnits
	}
	if needs {
		c.places.need(ctx)
	} else {
		defer c.places.end()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, r := range changed {
		c.setRule(name, r)
	}
	c.again()
}

// setRule gives a Service a rule. mu must be held.
func (c *Closure) setRule(service string, r rule) {
	if r.gone {
		delete(c.rules, service)
		c.affect(c.topology.DeleteService(service))
		return
	}
	c.rules[service] = r
	affected, problem := c.topology.SetService(service, r.annotations)
	if problem != nil {
		c.config.Logger.Warn("Read a Service with a rule that is wrong", "service", service, "err", problem)
	}
	c.affect(affected)
}
