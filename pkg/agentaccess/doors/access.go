package doors

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
)

const (
	// remembered is how long an answer of the API is, and maxRemembered how many are.
	remembered    = 10 * time.Second
	maxRemembered = 4096
	// askTimeout bounds one question.
	askTimeout = 4 * time.Second
	// askAtOnce is how many questions of one user are under way. Others wait, and most find the answer then.
	askAtOnce = 4
	// retryAsk is when a client may ask again whose question the API did not answer.
	retryAsk = 2 * time.Second
)

// Right is what a user needs for an address of a name, of kubefedclusters in the system namespace: get on its subresource tunnel for the
// API server of the cluster, get on kubelets for the kubelet of a node, by the agent of the node or a kubelet that the cluster's agent knows, and create
// on connections for any other address. Each may be given for one cluster, by its name. A host with the port 10250 that is no address is taken for a node:
// without get on kubelets it is refused, whether there is one or not, and if there is none create on connections is needed as well.
func Right(name tunnel.Name, address string) (verb, subresource string) {
	switch {
	case name.Node == "" && address == tunnel.APIServer:
		return "get", "tunnel"
	case address == tunnel.Kubelet:
		return "get", "kubelets"
	}
	return "create", "connections"
}

// user is who has a certificate, as the API sees it.
type user struct {
	name   string
	groups []string
}

// key is the same for equal users, and for no others: a certificate's names may have any characters.
func (u *user) key() string { return fmt.Sprintf("%q of %q", u.name, u.groups) }

// clusterScheme is that of a URI in a certificate that says for which cluster it is, and for no other: koinon-cluster:NAME.
const clusterScheme = "koinon-cluster"

// ClusterURI is what a user's certificate has that is for one cluster.
func ClusterURI(cluster string) *url.URL { return &url.URL{Scheme: clusterScheme, Opaque: cluster} }

// policy is a frontend.Policy that asks the API. Clients of Unix sockets have no user, and may reach what is within their sockets.
type policy struct {
	parts      Parts
	answers    *utilcache.LRUExpireCache
	remembered time.Duration

	mu     sync.Mutex
	asking map[string]*turns // by user; guarded by mu
}

// turns are the places of questions of a user.
type turns struct {
	places chan struct{}
	users  int // who has it, or waits; guarded by the policy's mu
}

func newPolicy(parts Parts, remembered time.Duration) *policy {
	return &policy{parts: parts, answers: utilcache.NewLRUExpireCache(maxRemembered), remembered: remembered, asking: map[string]*turns{}}
}

var _ frontend.Policy = &policy{}

// Client implements frontend.Policy.
func (p *policy) Client(certificate *x509.Certificate) (frontend.Client, error) {
	name := certificate.Subject.CommonName
	if name == "" {
		return frontend.Client{}, errors.New("it names no user: that is its common name")
	}
	who := &user{name: name, groups: append(slices.Clone(certificate.Subject.Organization), "system:authenticated")}
	client := frontend.Client{Tenant: "user:" + name, User: who}
	for _, uri := range certificate.URIs {
		if uri.Scheme != clusterScheme {
			continue
		}
		within := tunnel.Name{Cluster: uri.Opaque}
		if err := within.Validate(); err != nil || client.Within.Cluster != "" {
			return frontend.Client{}, fmt.Errorf("its URI %q is not the one %s:CLUSTER that it may have", uri, clusterScheme)
		}
		client.Within = within
	}
	return client, nil
}

// Known implements frontend.Policy.
func (p *policy) Known(name tunnel.Name) bool {
	if member(p.parts, name.Cluster) == nil {
		return false
	}
	return name.Node == "" || p.parts.Server.Connected(name)
}

// Allow implements frontend.Policy.
func (p *policy) Allow(ctx context.Context, client frontend.Client, name tunnel.Name, address string) error {
	who, ok := client.User.(*user)
	if !ok { // the front end has fixed the cluster, by the socket
		return nil
	}
	verb, subresource := Right(name, address)
	key := strings.Join([]string{who.key(), name.Cluster, subresource}, "\x01")
	if answer, ok := p.answers.Get(key); ok {
		return refused(answer.(bool), verb, subresource)
	}
	leave, err := p.turn(ctx, who.key())
	if err != nil {
		return err
	}
	defer leave()
	if answer, ok := p.answers.Get(key); ok {
		return refused(answer.(bool), verb, subresource)
	}
	allowed, err := ask(ctx, p.parts.Reviews, who, &authorizationv1.ResourceAttributes{
		Namespace: p.parts.Namespace, Verb: verb, Group: v1beta1.SchemeGroupVersion.Group, Version: v1beta1.SchemeGroupVersion.Version,
		Resource: "kubefedclusters", Subresource: subresource, Name: name.Cluster,
	})
	if err != nil {
		return err
	}
	p.answers.Add(key, allowed, p.remembered)
	return refused(allowed, verb, subresource)
}

func refused(allowed bool, verb, subresource string) error {
	if allowed {
		return nil
	}
	return fmt.Errorf("the API does not allow %s on kubefedclusters/%s of the system namespace with its name", verb, subresource)
}

// turn waits until a question of a user may be asked.
func (p *policy) turn(ctx context.Context, key string) (leave func(), err error) {
	p.mu.Lock()
	t := p.asking[key]
	if t == nil {
		t = &turns{places: make(chan struct{}, askAtOnce)}
		p.asking[key] = t
	}
	t.users++
	p.mu.Unlock()
	forget := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(p.asking, key)
		}
	}
	select {
	case t.places <- struct{}{}:
		return func() { <-t.places; forget() }, nil
	case <-ctx.Done():
		forget()
		return nil, unanswered(ctx, ctx.Err())
	}
}

// ask asks the API.
func ask(ctx context.Context, reviews authorizationclient.SubjectAccessReviewInterface, who *user, attributes *authorizationv1.ResourceAttributes) (bool, error) {
	bounded, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	review, err := reviews.Create(bounded, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: who.name, Groups: who.groups, ResourceAttributes: attributes,
	}}, metav1.CreateOptions{})
	if err != nil {
		return false, unanswered(ctx, err)
	}
	if !review.Status.Allowed && !review.Status.Denied && review.Status.EvaluationError != "" {
		return false, unanswered(ctx, errors.New(review.Status.EvaluationError))
	}
	return review.Status.Allowed, nil
}

// unanswered is the answer to who could not be asked about. Who has left gets none.
func unanswered(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return &frontend.Error{
		Status: http.StatusServiceUnavailable, Text: "the API does not say whether this may be reached: try again", RetryAfter: retryAsk, Err: err,
	}
}
