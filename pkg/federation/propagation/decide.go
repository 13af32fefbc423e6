package propagation

import (
	"errors"
	"fmt"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/lifecycle"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/federation/memberclient"
	"github.com/koinon-io/koinon/pkg/federation/membership"
	"github.com/koinon-io/koinon/pkg/federation/reach"
	"github.com/koinon-io/koinon/pkg/federation/render"
)

// intent says what a target is meant to be.
type intent int

const (
	// run: the target runs what the spec says.
	run intent = iota
	// keep: the mask leaves the target as it is.
	keep
	// absent: the target cannot be used: it does not exist, or not for this tenant.
	absent
	// unfederated: the namespace of the object is not federated. What is in the target stays as
	// it is, and nothing new goes there.
	unfederated
	// lost: the cell or edge unit that the object may be placed in is gone. What is there stays as it is.
	lost
	// await: the target is elsewhere now, and what is here stays until it may go.
	await
	// remove: the object is deleted in the target.
	remove
	// release: the object in the target is given up, and stays.
	release
)

// stays reports whether the object stays in the target if it is there.
func (i intent) stays() bool {
	return i == run || i == keep || i == unfederated || i == lost || i == await
}

// action is what has to be done in the member.
type action string

const (
	nothing       action = ""
	applyManifest action = "apply"
	deleteObject  action = "delete"
	markNamespace action = "mark namespace" // the one that the object is in
	markObject    action = "mark"           // an object of ours that lacks the federation's name
	releaseObject action = "release"
)

// observation is everything that a decision on one target is made from.
type observation struct {
	intent intent
	// reason is why the target is absent or unfederated, kept though no longer placed, or waits.
	reason string
	// former: the target was here, and is elsewhere now.
	former bool
	// named: the placement names the target. leftOut is why it is not placed there all the same;
	// empty if nobody asks.
	named   bool
	leftOut string
	// source and federation are the federated object and the federation, as they are named
	// in members. unmarkedIsOurs: what has our label and names no source is this object's,
	// since KubeFed knows no other place of that name.
	source, federation string
	unmarkedIsOurs     bool
	generation         int64

	// record is what was last known of the target. Its Hash is set from before the first
	// write until the object is known to be gone: without it nothing was ever written.
	record v1beta2.TargetStatus
	// inherited: somebody else may have written to targets that have no record.
	inherited bool
	// deleting: the federated object is being deleted. leavesAdopted: members keep what was adopted
	// there. abandoned: the target is not waited for if it cannot be reached.
	deleting, leavesAdopted, abandoned bool

	// member is nil if there is none of that name. unchecked says that there is one, and it is
	// not set up yet.
	member    *membership.Member
	unchecked bool
	// memberRefusal is why the tenant may not use the member.
	memberRefusal string
	// home is the namespace in the member that the object is in, or is; empty if it has
	// none. homeRefusal is why the object may not be there; claimed says that the book has
	// it for the target, unmarked that the namespace lacks our marks.
	home        string
	homeRefusal string
	claimed     bool
	unmarked    bool

	cache    memberclient.State
	cacheErr error
	live     *memberclient.Live
	// sees is how well the object can be seen, and numbers are those of its replicas, nil if it
	// has none, or is not seen.
	sees    sight
	numbers *v1beta2.WorkloadStatus

	// twin says which target that stays has the very object that this one is to lose.
	twin string

	manifest  *render.Manifest
	renderErr error

	// reruns: another manifest of an object that has ended is another run. endUnseen: it is taken for
	// ended, and nobody saw that.
	reruns, endUnseen bool
	// aborts: nothing is written that would take fields from others.
	aborts bool
	// fight is how a fight with somebody in the member stands.
	fight standing
}

// decision is what to do with one target, and what to say of it meanwhile.
type decision struct {
	action action
	status v1beta2.TargetStatus
	// forget drops the record: nothing of ours is in the target, or stays says
	// that what is there is given up.
	forget, stays bool
	// left says what is given up with its federated object, for who deleted that; empty if nothing is.
	left string
}

// decide looks at one target. It is pure. If it asks for an action, its status is what
// is true until the action has ended.
func decide(o observation) decision {
	switch o.intent {
	case run:
		return firstOf(o, runRules)
	case keep:
		return o.masked()
	case absent:
		return o.say(v1beta2.TargetNotFound, o.reason)
	case unfederated:
		return o.spared()
	case lost:
		return o.stranded()
	case await:
		return o.say(v1beta2.TargetWaitingForRemoval, o.reason)
	default:
		return o.saidWhy(firstOf(o, removeRules))
	}
}

// rule is one line of a checklist. It returns nil if it does not apply.
type rule func(observation) *decision

func firstOf(o observation, rules []rule) decision {
	for _, r := range rules {
		if d := r(o); d != nil {
			return *d
		}
	}
	return decision{status: o.record}
}

// runRules is the checklist for a target that runs what the spec says.
var runRules = []rule{
	memberMissing,
	memberForeign,
	homeForbidden,
	notRenderable,
	memberNotReady,
	typeNotServed,
	notObserved,
	ranToItsEnd,
	damped,
	notThereYet,
	ownedByAnother,
	beingDeleted,
	upToDate,
	outdated,
}

// removeRules is the checklist for a target that the object leaves.
var removeRules = []rule{
	abandonedEarlier,
	neverWritten,
	leftBehind,
	abandonedNow,
	inForbiddenHome,
	unreachableHolder,
	typeNotThere,
	unseenHolder,
	notOurs,
	runsInAnother,
	waitForRemoval,
	leave,
}

func (o observation) say(state v1beta2.TargetState, message string) decision {
	said := o.record
	said.State, said.Message = o.leavingState(state), o.leavingMessage(message)
	return decision{status: said}
}

func (o observation) do(a action) decision {
	d := o.say(v1beta2.TargetPending, "")
	d.action = a
	return d
}

func (o observation) masked() decision {
	if o.isGivenUp() {
		return decision{status: o.record} // it is not to be deleted once the mask lets go of it
	}
	message := o.reason
	if message == "" && o.record.Version == "" {
		message = "the mask holds the first write back"
	}
	return o.say(v1beta2.TargetMasked, message)
}

// spared leaves what is in the target as it is: that nobody says where the namespace goes is no
// order to delete. Where nothing is, a target that the placement names says why.
func (o observation) spared() decision {
	switch {
	case o.isGivenUp():
		return decision{status: o.record} // it is not to be deleted later
	case o.record.Hash != "" || (o.live != nil && o.ours(o.live.Labels, o.live.Annotations)):
		return o.say(v1beta2.TargetNamespaceNotFederated, o.reason+"; what is there stays as it is")
	case o.named || (o.inherited && o.mayHold()):
		return o.say(v1beta2.TargetNamespaceNotFederated, o.reason)
	}
	return decision{forget: true}
}

// stranded says what is in a cell or edge unit that is gone. It is forgotten where nothing is, and with the member.
func (o observation) stranded() decision {
	switch {
	case o.isGivenUp():
		return decision{status: o.record} // it is not to be deleted later
	case o.member == nil && !o.unchecked, o.memberRefusal != "":
		return decision{forget: true, stays: true}
	case o.record.Hash == "" && o.live == nil, o.isKnown() && (o.live == nil || !o.ours(o.live.Labels, o.live.Annotations)):
		return decision{forget: true}
	}
	return o.say(v1beta2.TargetNotFound, o.reason)
}

// saidWhy has a target that the placement names, and that nothing is in, say why.
func (o observation) saidWhy(d decision) decision {
	if !d.forget || o.leftOut == "" {
		return d
	}
	return decision{status: v1beta2.TargetStatus{
		Name: o.record.Name, Cluster: o.record.Cluster, Namespace: o.record.Namespace,
		State: v1beta2.TargetNamespaceNotFederated, Message: o.leftOut,
	}}
}

const notChecked = "the member was not checked yet"

func memberMissing(o observation) *decision {
	if o.member != nil {
		return nil
	}
	if o.unchecked {
		return o.undecided(notChecked)
	}
	d := o.say(v1beta2.TargetNotFound, fmt.Sprintf("there is no member %q", o.record.Cluster))
	return &d
}

func memberForeign(o observation) *decision {
	if o.memberRefusal == "" {
		return nil
	}
	d := o.say(v1beta2.TargetNotFound, o.memberRefusal)
	return &d
}

func homeForbidden(o observation) *decision {
	if o.homeRefusal == "" {
		return nil
	}
	d := o.say(v1beta2.TargetNamespaceForbidden, o.homeRefusal)
	return &d
}

func notRenderable(o observation) *decision {
	if o.renderErr == nil {
		return nil
	}
	state := v1beta2.TargetComputeFailed
	var override *render.OverrideError
	if errors.As(o.renderErr, &override) {
		state = v1beta2.TargetOverridesFailed
	}
	d := o.say(state, o.renderErr.Error())
	return &d
}

// memberNotReady also holds while the member was not checked yet: what is recorded may
// well be true, so it stands.
func memberNotReady(o observation) *decision {
	switch o.member.Health {
	case membership.Ready:
		return nil
	case membership.Unknown:
		return o.undecided(notChecked)
	}
	d := o.say(v1beta2.TargetClusterNotReady, o.member.Problem)
	return &d
}

func typeNotServed(o observation) *decision {
	if o.cache != memberclient.NotServed {
		return nil
	}
	d := o.say(v1beta2.TargetTypeNotServed, "the member does not serve this type")
	return &d
}

func notObserved(o observation) *decision {
	if o.cache == memberclient.Synced {
		return nil
	}
	if o.cacheErr != nil {
		d := o.say(v1beta2.TargetCachedRetrievalError, "the member's objects cannot be listed: "+memberclient.Problem(o.cacheErr))
		return &d
	}
	return o.undecided("the member's objects are being listed")
}

// undecided leaves the record as it is, if it speaks of this manifest; what it says was
// true a moment ago. A first or a changed manifest is pending.
func (o observation) undecided(message string) *decision {
	if o.manifest != nil && o.record.Hash == o.manifest.Hash && (o.record.Version != "" || !o.record.State.UpToDate()) {
		return &decision{status: o.record}
	}
	d := o.say(v1beta2.TargetPending, message)
	return &d
}

// ranToItsEnd: what has ended and is gone is not run again, unless another manifest says so.
func ranToItsEnd(o observation) *decision {
	if o.live != nil || !o.record.Ended || (o.reruns && o.record.Hash != o.manifest.Hash) {
		return nil
	}
	d := o.say(v1beta2.TargetEnded, "the object ran to its end, and is gone; it is not run again")
	switch {
	case o.endUnseen:
		d.status.Message = "the object is gone, and nobody saw whether it ran to its end; it is taken to have, and not run again"
	case o.record.State == v1beta2.TargetEnded && o.record.Message != "":
		d.status.Message = o.record.Message // how it ended is known no better later
	}
	return &d
}

// damped: somebody in the member writes against what was sent, or to send it again was in vain, and
// the next write has to wait. Another manifest has not.
func damped(o observation) *decision {
	if !o.fight.held || o.record.Hash != o.manifest.Hash || o.asRecorded() {
		return nil
	}
	why := o.fight.against
	switch {
	case o.fight.on:
	case o.live == nil:
		why = notShown
	case o.record.Version == o.live.Version():
		why = marksTaken
	default: // somebody writes it all the time, and leaves what the manifest sets
		return &decision{status: o.record}
	}
	d := o.say(v1beta2.TargetContested, why)
	return &d
}

func notThereYet(o observation) *decision {
	if o.live != nil {
		return nil
	}
	d := o.do(applyManifest)
	return &d
}

// marks are those of objects that were made from this federated object.
func (o observation) marks() reach.Marks {
	return reach.Marks{Source: o.source, Federation: o.federation, UnmarkedIsOurs: o.unmarkedIsOurs}
}

// foreign says whose an object is that is there, if it is not ours; empty if it may be.
func (o observation) foreign(annotations map[string]string) string {
	return o.marks().Foreign(annotations)
}

// ours reports whether an object that is there was made from this federated object.
func (o observation) ours(labels, annotations map[string]string) bool {
	return o.marks().Ours(labels, annotations)
}

func ownedByAnother(o observation) *decision {
	owner := o.foreign(o.live.Annotations)
	if owner == "" {
		return nil
	}
	d := o.say(v1beta2.TargetAlreadyExists, owner)
	return &d
}

func beingDeleted(o observation) *decision {
	if o.live.DeletionTimestamp == nil {
		return nil
	}
	d := o.say(v1beta2.TargetWaitingForRemoval, madeAnew(o.live.Finalizers))
	return &d
}

// underRemoval says of an object that is being deleted who holds it.
func underRemoval(finalizers []string) string {
	const message = "the object there is being deleted"
	if len(finalizers) == 0 {
		return message
	}
	return message + ", and stays until these finalizers are taken off it: " + named(finalizers)
}

func madeAnew(finalizers []string) string {
	return underRemoval(finalizers) + "; it is made anew once it is gone"
}

// asRecorded reports whether the object there is as it was when it was last written.
func (o observation) asRecorded() bool {
	return o.live != nil && o.record.Hash == o.manifest.Hash && o.record.Version == o.live.Version() && o.manifest.Has(o.live.Labels, o.live.Annotations)
}

func upToDate(o observation) *decision {
	if !o.asRecorded() {
		return nil
	}
	d := o.say(v1beta2.TargetOK, "")
	if o.record.State == v1beta2.TargetOK {
		d.status.Message = o.record.Message // what the member dropped from this manifest
	}
	d.status.Generation = o.generation
	switch {
	case o.fight.on:
		d.status.State, d.status.Message = v1beta2.TargetContested, o.fight.against
	case o.fight.held: // the marks do not stay, or do not show
	case o.unmarked:
		d.action = markNamespace
	case o.live.Annotations[federationv1alpha1.FederationAnnotation] == "":
		d.action = markObject
	}
	return &d
}

func outdated(o observation) *decision {
	d := o.do(applyManifest)
	return &d
}

func neverWritten(o observation) *decision {
	if o.record.Hash != "" || o.live != nil {
		return nil
	}
	if o.inherited && o.mayHold() || o.isGivenUp() && o.isWorthAWait() {
		return nil // somebody else may have written it, or we did before it was given up
	}
	return &decision{forget: true}
}

// mayHold reports whether a target of which nothing is known may hold the object.
func (o observation) mayHold() bool {
	if o.member == nil {
		return o.unchecked
	}
	return o.memberRefusal == "" && o.homeRefusal == "" && o.cache != memberclient.Synced && o.cache != memberclient.NotServed
}

// leftBehind: a member that has left, or that belongs to another tenant now, is none of
// our business any more. One that is not set up yet is.
func leftBehind(o observation) *decision {
	switch {
	case o.member == nil && o.unchecked:
		d := o.say(v1beta2.TargetWaitingForRemoval, mayStillHold+notChecked)
		return &d
	case o.member == nil || o.memberRefusal != "":
		return &decision{forget: true, stays: true}
	}
	return nil
}

const mayStillHold = "the member may still hold the object: "

const mayNotDelete = "the object there may not be deleted: "

// inForbiddenHome: what was written to a namespace that is somebody else's now, or the
// member's own, may not be deleted there. It is not forgotten either, unless the federated
// object says that it stays, or gives it up.
func inForbiddenHome(o observation) *decision {
	switch {
	case o.homeRefusal == "":
		return nil
	case o.intent == release:
		return &decision{forget: true, stays: true}
	}
	d := o.say(v1beta2.TargetWaitingForRemoval, mayNotDelete+o.homeRefusal+lifecycle.WayOut(o.record.Name))
	return &d
}

func unreachableHolder(o observation) *decision {
	if o.member.Health == membership.Ready {
		return nil
	}
	problem := o.member.Problem
	if problem == "" {
		problem = notChecked
	}
	d := o.say(v1beta2.TargetWaitingForRemoval, mayStillHold+problem)
	return &d
}

// unseenHolder: whether the object is there is not known yet, or the member does not say.
func unseenHolder(o observation) *decision {
	if o.cache == memberclient.Synced {
		return nil
	}
	why := "its objects are being listed"
	if o.cacheErr != nil {
		why = "its objects cannot be listed: " + memberclient.Problem(o.cacheErr)
	}
	d := o.say(v1beta2.TargetWaitingForRemoval, mayStillHold+why)
	return &d
}

// typeNotThere: what a member does not serve may be stored there all the same. An executor
// finds out.
func typeNotThere(o observation) *decision {
	switch {
	case o.cache != memberclient.NotServed:
		return nil
	case o.intent == release:
		return &decision{forget: true, stays: true}
	}
	d := leave(o)
	return d
}

func notOurs(o observation) *decision {
	if o.live == nil || o.ours(o.live.Labels, o.live.Annotations) {
		return nil
	}
	return &decision{forget: true}
}

// runsInAnother: what is removed here would be gone there. A KubeFedCluster was pointed at another
// member, and what its own one holds is not known; or a cluster was joined twice.
func runsInAnother(o observation) *decision {
	if o.twin == "" {
		return nil
	}
	d := o.say(v1beta2.TargetWaitingForRemoval, o.twin)
	return &d
}

func oneCluster(t, twin viewTarget) string {
	return fmt.Sprintf("the object there is the one that target %q has, which stays: the KubeFedClusters %q and %q are of one cluster; one of them has to be corrected, or unjoined",
		twin.Name, t.Member, twin.Member)
}

func waitForRemoval(o observation) *decision {
	if o.live == nil || o.live.DeletionTimestamp == nil || o.intent == release {
		return nil
	}
	d := o.say(v1beta2.TargetWaitingForRemoval, underRemoval(o.live.Finalizers))
	return &d
}

func leave(o observation) *decision {
	a := deleteObject
	if o.intent == release {
		a = releaseObject
	}
	d := o.do(a)
	d.status.State = o.leavingState(v1beta2.TargetWaitingForRemoval)
	return &d
}
