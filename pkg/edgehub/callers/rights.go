package callers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/koinon-io/koinon/pkg/edgehub/notes"
)

const (
	// allowedFor and deniedFor are how long what the API server said counts; kubelet does the same.
	allowedFor, deniedFor = 5 * time.Minute, 30 * time.Second
	// maxDecisions are kept.
	maxDecisions = 16384
	// maxDecisionsOf are kept of one user: who asks for ever other things has his own forgotten, and nobody else's.
	maxDecisionsOf = 2048
)

// Decision is what the API server said.
type Decision struct {
	Allowed bool `json:"allowed"`
	// Reason is why not.
	Reason string `json:"reason,omitempty"`
	// User is whose it is.
	User string `json:"user,omitempty"`
	// Reads is who may read what, if that is what he may.
	Reads string `json:"reads,omitempty"`
}

// Rights knows what somebody may.
type Rights struct {
	client Doer
	away   func() bool
	now    func() time.Time
	made   *notes.Shelf[Decision]
	asking chan struct{}

	mu sync.Mutex
	// What follows is guarded by mu.

	checked map[string]time.Time // when a decision was made last
	waiting map[string]*turns    // of users about whom is asked now
}

// turns has as many as are asked about one user now, and how many are or wait.
type turns struct {
	asking chan struct{}
	all    int
}

// maxAskingOf is how many decisions are asked for at once about one user: who asks for ever other things has nobody else wait.
const maxAskingOf = 2

// NewRights returns what a book knows of rights. away reports whether the API server is known to be away.
func NewRights(book *notes.Book, client Doer, away func() bool) (*Rights, error) {
	made, err := notes.NewShelf[Decision](book, "decisions", maxDecisions)
	made.Bound(func(_ string, d Decision) string { return d.User }, maxDecisionsOf)
	return &Rights{client: client, away: away, now: time.Now, made: made, asking: make(chan struct{}, maxAsking), checked: map[string]time.Time{}, waiting: map[string]*turns{}}, err
}

// Allows returns whether somebody may do something. The error is ErrAway.
func (r *Rights) Allows(ctx context.Context, spec *authorizationv1.SubjectAccessReviewSpec) (Decision, error) {
	name := decisionName(spec)
	if d, ok := r.made.Get(name); ok && r.isFresh(name, &d) {
		return d, nil
	}
	if r.away() {
		return r.remembered(spec, ErrAway)
	}
	d, err := r.review(ctx, spec)
	if errors.Is(err, ErrAway) {
		return r.remembered(spec, err)
	}
	return d, err
}

// remembered is what was said last of just this, or of more than this.
func (r *Rights) remembered(spec *authorizationv1.SubjectAccessReviewSpec, why error) (Decision, error) {
	if d, ok := r.Remembered(spec); ok {
		return d, nil
	}
	return Decision{}, fmt.Errorf("whether %s may do this: %w", spec.User, why)
}

// Remembered returns what the API server said last of just this, or that somebody may do more than this, as all of a resource has the one of a name; false if it never did.
func (r *Rights) Remembered(spec *authorizationv1.SubjectAccessReviewSpec) (Decision, bool) {
	d, ok := r.made.Get(decisionName(spec))
	if ok {
		return d, true
	}
	for _, wider := range wider(spec) {
		if d, ok := r.made.Get(decisionName(wider)); ok && d.Allowed {
			return d, true
		}
	}
	return Decision{}, false
}

// wider are those who have what is asked for, and more.
func wider(spec *authorizationv1.SubjectAccessReviewSpec) (all []*authorizationv1.SubjectAccessReviewSpec) {
	if spec.ResourceAttributes == nil {
		return nil
	}
	w := *spec.ResourceAttributes
	widen := func() {
		for _, verb := range implying(&w, spec.ResourceAttributes.Verb) {
			of, attributes := *spec, w
			attributes.Verb = verb
			of.ResourceAttributes = &attributes
			all = append(all, &of)
		}
	}
	widen()
	if w.FieldSelector != nil || w.LabelSelector != nil {
		w.FieldSelector, w.LabelSelector = nil, nil
		widen()
	}
	if w.Name != "" {
		w.Name = ""
		widen()
	}
	if w.Namespace != "" {
		w.Namespace = ""
		widen()
	}
	return all
}

// implying are the verbs of which whoever may do one of them is shown no more by another: a watch begins with all that a list has, and a list has what a get returns. A program that was shown
// all by a streaming list was never asked about for a list, which it may fall back to.
func implying(a *authorizationv1.ResourceAttributes, verb string) []string {
	switch {
	case a.Subresource != "":
	case verb == "get":
		return []string{"get", "list", "watch"}
	case verb == "list":
		return []string{"list", "watch"}
	}
	return []string{verb}
}

// review asks the API server.
func (r *Rights) review(ctx context.Context, spec *authorizationv1.SubjectAccessReviewSpec) (Decision, error) {
	done, err := r.turn(ctx, spec.User)
	if err != nil {
		return Decision{}, err
	}
	defer done()
	review := &authorizationv1.SubjectAccessReview{Spec: *spec}
	review.APIVersion, review.Kind = "authorization.k8s.io/v1", "SubjectAccessReview"
	if _, err := create(ctx, r.client, "/apis/authorization.k8s.io/v1/subjectaccessreviews", review); err != nil {
		return Decision{}, err
	}
	if review.Status.EvaluationError != "" && !review.Status.Allowed && !review.Status.Denied { // it does not know
		return Decision{}, fmt.Errorf("%w: %s", ErrAway, review.Status.EvaluationError)
	}
	d := Decision{Allowed: review.Status.Allowed, Reason: review.Status.Reason}
	r.Learn(spec, d)
	return d, nil
}

// turn waits until it may be asked about a user, until done is called. The error is ErrAway.
func (r *Rights) turn(ctx context.Context, user string) (done func(), err error) {
	r.mu.Lock()
	own := r.waiting[user]
	if own == nil {
		own = &turns{asking: make(chan struct{}, maxAskingOf)}
		r.waiting[user] = own
	}
	own.all++
	r.mu.Unlock()
	leave := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if own.all--; own.all == 0 {
			delete(r.waiting, user)
		}
	}
	for _, turns := range []chan struct{}{own.asking, r.asking} { // his own first: who waits for that holds nothing of others
		select {
		case turns <- struct{}{}:
			next := leave
			leave = func() { <-turns; next() }
		case <-ctx.Done():
			leave()
			return nil, fmt.Errorf("%w: %w", ErrAway, ctx.Err())
		}
	}
	return leave, nil
}

// Learn notes what the API server has said.
func (r *Rights) Learn(spec *authorizationv1.SubjectAccessReviewSpec, d Decision) {
	if d.Allowed {
		d.Reason, d.Reads = "", readsOf(spec) // which names of bindings are in it is no matter of the node
	}
	d.User = spec.User
	name := decisionName(spec)
	before, ok := r.made.Get(name)
	if before.Allowed && !d.Allowed {
		r.doubt(readsOf(spec))
	}
	if !ok || before != d {
		r.made.Put(name, d)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.checked) >= maxDecisions {
		clear(r.checked)
	}
	r.checked[name] = r.now()
}

// doubt forgets what else somebody might read of a resource: who has lost one right to it may have lost the others, and the API server is to say so before it is away.
func (r *Rights) doubt(reads string) {
	if reads == "" {
		return
	}
	for _, e := range r.made.All() {
		if e.Value.Reads == reads {
			r.made.Delete(e.Name)
		}
	}
}

// readsOf is who would read which resource; empty if he would do something else.
func readsOf(spec *authorizationv1.SubjectAccessReviewSpec) string {
	a := spec.ResourceAttributes
	if a == nil || a.Verb != "get" && a.Verb != "list" && a.Verb != "watch" {
		return ""
	}
	return spec.User + " " + a.Resource + "." + a.Group
}

func (r *Rights) isFresh(name string, d *Decision) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.checked[name]
	since, counts := r.now().Sub(at), deniedFor
	if d.Allowed {
		counts = allowedFor
	}
	return ok && since >= 0 && since < counts
}

// decisionName is what a decision is kept as. Of who it is, what it depends on is in it, as in Key.
func decisionName(spec *authorizationv1.SubjectAccessReviewSpec) string {
	of := *spec
	of.Extra, of.UID = bearing(spec.Extra), ""
	text, _ := json.Marshal(of) // of strings: never fails
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Of returns the review of what a user may do with a resource.
func Of(user *authenticationv1.UserInfo, attributes *authorizationv1.ResourceAttributes) *authorizationv1.SubjectAccessReviewSpec {
	spec := &authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: attributes, User: user.Username, Groups: user.Groups, UID: user.UID}
	for key, values := range user.Extra {
		if spec.Extra == nil {
			spec.Extra = map[string]authorizationv1.ExtraValue{}
		}
		spec.Extra[key] = authorizationv1.ExtraValue(values)
	}
	return spec
}
