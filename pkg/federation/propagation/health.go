package propagation

import (
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/health"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/apis/rawjson"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/membership"
)

// How an object is, is told from it when it comes into the cache of its member, and a summary is kept
// there. It is part of the record of its target from each look on: what was told last stands while
// caches are set up, and of a member that cannot be asked nothing but that.

// sight is how well an object can be seen now.
type sight int

const (
	// unseen: the member does not answer, or may not be asked.
	unseen sight = iota
	// unsettled: what can be seen is not known yet. It most likely is as it was.
	unsettled
	// seen: the cache shows what there is.
	seen
)

func (o observation) sight() sight {
	switch {
	case o.member == nil && o.unchecked:
		return unsettled
	case o.member == nil || o.memberRefusal != "" || o.homeRefusal != "":
		return unseen
	case o.member.Health == membership.Unknown:
		return unsettled
	case o.member.Health != membership.Ready:
		return unseen
	case o.cache == memberclient.Synced:
		return seen
	case o.cache == memberclient.NotServed || o.cacheErr != nil:
		return unseen
	}
	return unsettled
}

// observeHealth puts into the record how the object is. It comes after observeEnd.
func (o *observation) observeHealth(rule *health.Rule) {
	r := &o.record
	if o.former || o.intent == remove || o.intent == release {
		r.Health, r.HealthMessage, r.Replicas, r.Ready = "", "", 0, 0 // it is not ours any more
		return
	}
	o.sees = o.sight()
	if r.State == v1beta2.TargetAbandoned && o.sees != seen {
		r.Health, r.HealthMessage = v1beta2.HealthUnknown, "" // it is placed again, and may be there
	}
	if o.sees == unseen && r.Health != "" && !r.Ended { // what has ended stays as it ended
		r.Health, r.HealthMessage = v1beta2.HealthUnknown, "" // state says why
	}
	if o.sees != seen {
		return
	}
	if o.live == nil {
		r.Replicas, r.Ready = 0, 0
		if !r.Ended || (r.Health != v1beta2.HealthHealthy && r.Health != v1beta2.HealthDegraded) {
			r.Health, r.HealthMessage = "", ""
		} // else that is how it ended
		return
	}
	summary := o.live.Summary
	switch {
	case rule == nil:
		summary = health.There()
	case summary == nil:
		summary = &health.Summary{Health: v1beta2.HealthProgressing, Message: "what was just written there has to be seen first"}
	}
	r.Health, r.HealthMessage, r.Replicas, r.Ready = summary.Health, summary.Message, 0, 0
	if o.numbers = summary.Replicas; o.numbers != nil {
		r.Replicas, r.Ready = o.numbers.DesiredReplicas, o.numbers.ReadyReplicas
	}
}

// withHealth returns a status with the health of another one.
func withHealth(of, said v1beta2.TargetStatus) v1beta2.TargetStatus {
	said.Health, said.HealthMessage, said.Replicas, said.Ready = of.Health, of.HealthMessage, of.Replicas, of.Ready
	return said
}

// storedStatus returns the status of an object as it is stored.
func (v *view) storedStatus(target string) rawjson.Value {
	if v.stored == nil {
		v.stored = map[string]rawjson.Value{}
		if v.federated.Status != nil {
			for _, t := range v.federated.Status.Targets {
				v.stored[t.Name] = t.RemoteStatus
			}
		}
	}
	return v.stored[target]
}

// total is the numbers of all targets. unsettled says that what is stored stands, since those of
// a target are not known yet.
type total struct {
	numbers   *v1beta2.WorkloadStatus
	unsettled bool
}

// totalOf adds the numbers of what stays in its target. Of what cannot be seen it is known how many
// there are to be.
func totalOf(steps []step) (t total) {
	for _, s := range steps {
		o := &s.observed
		if o.former || o.intent == remove || o.intent == release {
			continue
		}
		more := o.numbers
		switch {
		case o.sees == unsettled && o.record.Hash != "":
			t.unsettled = true
			continue
		case o.sees == unseen && o.record.Replicas > 0:
			more = &v1beta2.WorkloadStatus{DesiredReplicas: o.record.Replicas}
		}
		if more == nil {
			continue
		}
		if t.numbers == nil {
			t.numbers = &v1beta2.WorkloadStatus{}
		}
		health.Add(t.numbers, *more)
	}
	return t
}

// over returns the numbers to store, given those that are stored.
func (t total) over(old *v1beta2.FederatedObjectStatus) *v1beta2.WorkloadStatus {
	if !t.unsettled {
		return t.numbers
	}
	if old == nil {
		return nil
	}
	return old.Workload
}

// ruleText stands for the rules of a type that objects in members are looked at by.
func ruleText(spec *v1beta1.FederatedTypeConfigSpec) string {
	text := ""
	if spec.RunToCompletion != nil {
		text = spec.RunToCompletion.Ended
	}
	if rule := spec.Health; rule != nil {
		for _, part := range []string{rule.Healthy, rule.Degraded, rule.Message} {
			text += "\x00" + part
		}
	}
	return text
}
