package targets

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/warning"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/conditions"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/registry/federated"
)

// Subresource is what it is called.
const Subresource = "targets"

// New returns an empty list: that is what the subresource answers without a path.
func (*REST) New() runtime.Object { return &federationv1alpha1.TargetObjectList{} }

// Destroy does nothing: the storage is that of the objects.
func (*REST) Destroy() {}

// GroupVersionKind is federation.koinon.io/v1alpha1 TargetObjectList.
func (*REST) GroupVersionKind(schema.GroupVersion) schema.GroupVersionKind {
	return federationv1alpha1.SchemeGroupVersion.WithKind("TargetObjectList")
}

// NewGetOptions implements rest.GetterWithOptions: the path that follows is the name of a target.
func (*REST) NewGetOptions() (options runtime.Object, subpath bool, subpathKey string) {
	return &federationv1alpha1.TargetObjectOptions{}, true, "path"
}

// Get returns all targets of an object, or the one that the options name.
func (r *REST) Get(ctx context.Context, name string, options runtime.Object) (runtime.Object, error) {
	asked, ok := options.(*federationv1alpha1.TargetObjectOptions)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("the options of targets are a %T", options))
	}
	q, only, err := r.query(ctx, name, asked)
	if err != nil {
		return nil, err
	}
	if only != nil {
		return r.one(ctx, q, only)
	}
	return r.all(ctx, q), nil
}

// query finds the federated object, and the target that is asked for, nil if all are.
func (r *REST) query(ctx context.Context, name string, asked *federationv1alpha1.TargetObjectOptions) (q query, only *typesv1beta2.TargetStatus, err error) {
	if r.reader == nil {
		return q, nil, apierrors.NewServiceUnavailable("this server has no ways to members, so that it cannot show what they have")
	}
	target, ok := asked.Target()
	if !ok {
		return q, nil, apierrors.NewBadRequest(fmt.Sprintf("targets/%s: after targets/ comes the name of one target, and nothing else", target))
	}
	obj, err := r.objects.Get(ctx, name, &metav1.GetOptions{})
	if err != nil {
		return q, nil, err
	}
	o, ok := obj.(*typesv1beta2.FederatedObject)
	if !ok {
		return q, nil, apierrors.NewInternalError(fmt.Errorf("get %s %q: got a %T", r.kind.Kind, name, obj))
	}
	federation, err := r.reader.Federation(ctx)
	if err != nil {
		return q, nil, apierrors.NewServiceUnavailable(fmt.Sprintf("the name of this federation is not known, so that it cannot be told whose objects are: %v", err))
	}
	q = query{r.kind, o, federation}
	if target == "" {
		return q, nil, nil
	}
	if only = recordOf(ctx, o, target); only == nil {
		return q, nil, r.noTarget(o, target)
	}
	return q, only, nil
}

func (r *REST) noTarget(o *typesv1beta2.FederatedObject, target string) error {
	err := apierrors.NewNotFound(schema.GroupResource{Group: federated.GroupName, Resource: r.kind.Resource + "/" + Subresource}, target)
	err.ErrStatus.Message = fmt.Sprintf("%s %s has no target %q in its status", r.kind.Kind, o.Name, target)
	return err
}

// recordOf returns the record of the target that a request calls by a name, nil if there is none.
func recordOf(ctx context.Context, o *typesv1beta2.FederatedObject, target string) *typesv1beta2.TargetStatus {
	records := recordsOf(o)
	i := slices.IndexFunc(records, func(t typesv1beta2.TargetStatus) bool { return wordOf(versionOf(ctx), o, t.Name) == target })
	if i < 0 {
		return nil
	}
	return &records[i]
}

func recordsOf(o *typesv1beta2.FederatedObject) []typesv1beta2.TargetStatus {
	if o.Status == nil {
		return nil
	}
	return o.Status.Targets
}

func versionOf(ctx context.Context) string {
	if info, ok := genericapirequest.RequestInfoFrom(ctx); ok && info.APIGroup == federated.GroupName {
		return info.APIVersion
	}
	return federated.V1beta2.Version
}

// one answers a request for one target: what is not known is an error.
func (r *REST) one(ctx context.Context, q query, record *typesv1beta2.TargetStatus) (runtime.Object, error) {
	s, _ := r.reader.look(ctx, r.reader.requests, q, record, false)
	if s.answer == conditions.Unknown {
		return nil, notKnown(s)
	}
	item := itemOf(ctx, q.object, record, s)
	return &item, nil
}

func notKnown(s seen) error {
	if s.code != http.StatusGatewayTimeout {
		return apierrors.NewServiceUnavailable(s.why)
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusGatewayTimeout, Reason: metav1.StatusReasonTimeout, Message: s.why,
	}}
}

// all asks every member, each once, and says in warnings which are not known.
func (r *REST) all(ctx context.Context, q query) *federationv1alpha1.TargetObjectList {
	records := recordsOf(q.object)
	answers := make([]seen, len(records))
	budget := &budget{left: r.reader.allBytes}
	within, cancel := context.WithTimeout(ctx, r.reader.patienceInAll)
	defer cancel()
	room := make(chan struct{}, atOnce)
	var asking sync.WaitGroup
	for _, indexes := range byMember(records) {
		next := make(chan int, len(indexes))
		for _, i := range indexes {
			next <- i
		}
		close(next)
		for range min(atOnceOfEach, len(indexes)) {
			asking.Go(func() { // ends with next
				for i := range next {
					room <- struct{}{} // whoever has it gives it back by the end of within
					answers[i], _ = r.reader.look(within, r.reader.requests, q, &records[i], false)
					<-room
					budget.take(&answers[i])
				}
			})
		}
	}
	asking.Wait()

	list := &federationv1alpha1.TargetObjectList{Items: make([]federationv1alpha1.TargetObject, len(records))}
	list.ResourceVersion = q.object.ResourceVersion
	for i := range records {
		list.Items[i] = itemOf(ctx, q.object, &records[i], answers[i])
		list.Items[i].TypeMeta = metav1.TypeMeta{} // the list says it
	}
	warn(ctx, list.Items, answers)
	return list
}

// byMember has the indexes of records by their members, so that no member keeps a request from asking
// the others.
func byMember(records []typesv1beta2.TargetStatus) map[string][]int {
	out := map[string][]int{}
	for i := range records {
		out[records[i].Cluster] = append(out[records[i].Cluster], i)
	}
	return out
}

// maxNamed is how many targets are named in warnings.
const maxNamed = 10

func warn(ctx context.Context, items []federationv1alpha1.TargetObject, answers []seen) {
	left := 0
	for i, s := range answers {
		if s.answer != conditions.Unknown {
			continue
		}
		if left++; left <= maxNamed {
			warning.AddWarning(ctx, "", fmt.Sprintf("target %q is not known: %s", items[i].Name, s.why))
		}
	}
	if left > maxNamed {
		warning.AddWarning(ctx, "", fmt.Sprintf("%d more targets are not known; their condition %s says why", left-maxNamed, conditions.Unreachable))
	}
}

// itemOf makes what is shown of a target.
func itemOf(ctx context.Context, o *typesv1beta2.FederatedObject, record *typesv1beta2.TargetStatus, s seen) federationv1alpha1.TargetObject {
	return federationv1alpha1.TargetObject{
		TypeMeta:        metav1.TypeMeta{APIVersion: federationv1alpha1.SchemeGroupVersion.String(), Kind: "TargetObject"},
		ObjectMeta:      metav1.ObjectMeta{Name: wordOf(versionOf(ctx), o, record.Name), Namespace: o.Namespace},
		State:           string(record.State),
		Message:         record.Message,
		Cluster:         record.Cluster,
		MemberNamespace: record.Namespace,
		Generation:      record.Generation,
		Conditions:      conditions.Of(record, conditions.Seen{Answer: s.answer, Why: s.why}),
		Object:          s.object,
		Status:          s.status,
	}
}

// budget bounds what is shown in all.
type budget struct {
	of   *budget // the larger one that it is a part of; nil for none
	mu   sync.Mutex
	left int // guarded by mu
}

// take has an answer count, or empties it if there is no room for it.
func (b *budget) take(s *seen) {
	if !b.reserve(s.bytes()) {
		*s = unknown(http.StatusServiceUnavailable, "it is left out: what all targets have in the answer is longer than it may be; ask for targets/NAME")
	}
}

// give has an answer count no longer.
func (b *budget) give(s *seen) { b.release(s.bytes()) }

func (b *budget) reserve(bytes int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if bytes > b.left || b.of != nil && !b.of.reserve(bytes) {
		return false
	}
	b.left -= bytes
	return true
}

func (b *budget) release(bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left += bytes
	if b.of != nil {
		b.of.release(bytes)
	}
}

func (s *seen) bytes() int { return len(s.object) + len(s.status) }

// counter bounds what goes on at the same time, in all and of each user.
type counter struct {
	mu    sync.Mutex
	all   share             // guarded by mu
	users map[string]*share // guarded by mu: of users with a watch, by name
}

// share is what goes on, or what may.
type share struct{ watches, followed int }

// exceeds reports whether there would be too many; fewer are never too many.
func (s share) exceeds(bound share, more, targets int) bool {
	return more > 0 && s.watches+more > bound.watches || targets > 0 && s.followed+targets > bound.followed
}

func (s *share) add(more, targets int) {
	s.watches += more
	s.followed += targets
}

// add counts watches of a user, and targets that they follow. It changes nothing and returns a
// sentence if there would be too many.
func (c *counter) add(user string, more, targets int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.users[user]
	if own == nil {
		own = &share{}
	}
	switch {
	case own.exceeds(share{watchesOfUser, followedOfUser}, more, targets):
		return fmt.Errorf("user %q has %d watches of targets, or %d targets in them, which is the most that one user may have", user, watchesOfUser, followedOfUser)
	case c.all.exceeds(share{watches, followed}, more, targets):
		return fmt.Errorf("there are %d watches of targets, or %d targets in them, which is the most that there may be", watches, followed)
	}
	own.add(more, targets)
	c.all.add(more, targets)
	c.users[user] = own
	if own.watches == 0 {
		delete(c.users, user)
	}
	return nil
}
