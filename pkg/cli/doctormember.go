package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/koinon-io/koinon/pkg/apis/federation/accounts"
	"github.com/koinon-io/koinon/pkg/apis/federation/rights"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/memberaccess"
)

// dialPatience is how long it is tried to see a member's certificate from here, past Koinon.
const dialPatience = 2 * time.Second

// lookAtMember looks at one member.
func (d *doctor) lookAtMember(ctx context.Context, member *v1beta1.KubeFedCluster) {
	subject := "member " + member.Name
	ready := d.judgeHealth(member)
	if d.hostVersion != "" {
		d.add(memberSkew(subject, member.Status.KubernetesVersion, d.hostVersion)...)
	}
	ahead, proxy := time.Duration(0), (*rest.Config)(nil)
	if ready {
		ahead, proxy = d.lookAtClock(ctx, member)
	}
	config := d.lookAtCredential(ctx, member, ahead)
	if config != nil && config.Proxy == nil && member.Spec.Tunnel != v1beta1.TunnelAlways {
		if end, ok := servingEnd(ctx, config.Host); ok {
			d.add(ends(subject, "the certificate of its API server", end, d.now(), "kubeadm certs renew apiserver")...)
		}
	}
	if proxy != nil { // else it is said already, and nobody answers
		d.lookAtRights(ctx, member, config, proxy)
	}
}

// lookAtClock looks at the clock of a member through Koinon. It returns by how much that is ahead, 0 if it is not known, and how
// the member is reached; nil if it is not.
func (d *doctor) lookAtClock(ctx context.Context, member *v1beta1.KubeFedCluster) (ahead time.Duration, proxy *rest.Config) {
	subject := "member " + member.Name
	proxy, err := d.source.restConfig(d.source.server + target{kind: cluster, name: member.Name}.path())
	if err != nil {
		d.unknown(subject, "its clock and rights", err)
		return 0, nil
	}
	proxy.Timeout = d.source.timeout
	answer, err := ask(ctx, d.koinon.http, proxy.Host+"/version", d.now)
	if err != nil {
		d.unknown(subject, "its clock, through Koinon", err)
		return 0, proxy
	}
	d.add(answer.skew(subject, "the member")...)
	return answer.ahead(), proxy
}

// judgeHealth says what Koinon's controllers say, and reports whether the member is Ready.
func (d *doctor) judgeHealth(member *v1beta1.KubeFedCluster) (ready bool) {
	ready, problem := readiness(&member.Status)
	subject := "member " + member.Name
	show := fmt.Sprintf("%s -n %s get kubefedcluster %s -o yaml", d.kubectl(), member.Namespace, member.Name)
	switch {
	case ready:
		return true
	case len(member.Status.Conditions) == 0:
		d.add(finding{severityError, subject, "no controller has looked at it yet", show})
		return false
	case slices.ContainsFunc(member.Status.Conditions, func(c v1beta1.ClusterCondition) bool { return c.Type == v1beta1.ClusterConfigMalformed }):
		show = "kubectl koinon join " + member.Name + d.flags.givenIn(d.System)
	case member.Spec.Tunnel == v1beta1.TunnelAlways:
		show = "kubectl koinon agent status " + member.Name + d.flags.givenIn(d.System)
	}
	d.add(finding{severityError, subject, "it is not Ready: " + problem, show})
	return false
}

func memberSkew(subject, member, host string) []finding {
	if n, ok := apart(member, host); ok && n > maxMemberSkew {
		return []finding{{severityWarning, subject, fmt.Sprintf("it is Kubernetes %s, and the host is %s: fields that one of them does not know are dropped", member, host), "kubectl koinon version"}}
	}
	return nil
}

// lookAtCredential looks at what of the member's Secret ends, and returns what it says; nil if the
// caller may not read it, or it makes no connection. ahead is by how much the member's clock is ahead, by which tokens end.
func (d *doctor) lookAtCredential(ctx context.Context, member *v1beta1.KubeFedCluster, ahead time.Duration) *rest.Config {
	subject := "member " + member.Name
	secret, err := d.koinon.core.Secrets(member.Namespace).Get(ctx, member.Spec.SecretRef.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil // it is ConfigMalformed, which is said
	}
	mend := "kubectl koinon join " + member.Name + d.flags.givenIn(d.System)
	said := credentialsExpiring(&member.Status)
	if err != nil {
		d.unknown(subject, "when its credential ends, and what its account may do", err)
		if said != nil {
			d.add(finding{severityWarning, subject, deref(said.Message), mend})
		}
		return nil
	}
	config, err := memberaccess.Config(member, secret, d.now())
	if err != nil {
		if ready, _ := readiness(&member.Status); ready { // else it is said
			d.add(finding{severityError, subject, err.Error(), mend})
		}
		return nil
	}
	ends := memberaccess.Endings(config)
	if said != nil && deref(said.Reason) == v1beta1.ReasonTokenNotRenewed { // which says it of the token, and why
		d.add(finding{severityWarning, subject, deref(said.Message), mend})
		ends = slices.DeleteFunc(ends, func(e memberaccess.Ending) bool { return e.Kind == memberaccess.EndingToken })
	}
	for _, end := range ends {
		now := d.now()
		if end.Kind == memberaccess.EndingToken {
			now = now.Add(ahead)
		}
		d.add(endings(subject, []memberaccess.Ending{end}, now, mend)...)
	}
	return config
}

// credentialsExpiring is what Koinon's controllers say of a credential that somebody has to see to; nil if nobody has to.
func credentialsExpiring(status *v1beta1.KubeFedClusterStatus) *v1beta1.ClusterCondition {
	for i := range status.Conditions {
		if status.Conditions[i].Type == v1beta1.ClusterCredentialsExpiring {
			return &status.Conditions[i]
		}
	}
	return nil
}

// servingEnd is when the certificate of an API server ends, as far as it is reached from here. Nothing
// is sent to it, so that nothing of it is checked.
func servingEnd(ctx context.Context, host string) (end time.Time, ok bool) {
	if !strings.Contains(host, "://") {
		host = "https://" + host
	}
	parsed, err := url.Parse(host)
	if err != nil || parsed.Scheme != "https" {
		return end, false
	}
	address := parsed.Host
	if parsed.Port() == "" {
		address = net.JoinHostPort(parsed.Hostname(), "443")
	}
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, ServerName: parsed.Hostname()}}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return end, false
	}
	defer func() { _ = conn.Close() }()
	seen := conn.(*tls.Conn).ConnectionState().PeerCertificates
	if len(seen) == 0 {
		return end, false
	}
	return seen[0].NotAfter, true
}

// account is who Koinon is in a member.
type account struct {
	user   string
	groups []string
}

// accountOf tells it from a credential; the user is empty if that does not say.
func accountOf(config *rest.Config) account {
	if claims, _ := accounts.ReadAnyClaims(config.BearerToken); claims.Subject != "" {
		a := account{user: claims.Subject, groups: []string{"system:authenticated"}}
		if namespace, _ := claims.ServiceAccount(); namespace != "" {
			a.groups = append(a.groups, "system:serviceaccounts", "system:serviceaccounts:"+namespace)
		}
		return a
	}
	if own := memberaccess.Certificates(config.CertData); len(own) > 0 {
		return account{user: own[0].Subject.CommonName, groups: append([]string{"system:authenticated"}, own[0].Subject.Organization...)}
	}
	return account{}
}

// asksFor asks a member whether Koinon's account has a right.
type asksFor func(ctx context.Context, need rights.Need) (allowed bool, err error)

// lookAtRights asks the member, through Koinon, what the account may do. Whoever may not ask that there
// asks as the account, if he may read its credential and reaches the member.
func (d *doctor) lookAtRights(ctx context.Context, member *v1beta1.KubeFedCluster, config, proxy *rest.Config) {
	if config == nil || len(d.types) == 0 {
		return // it is said
	}
	needs := rights.Needs(rights.Rules(d.types, false))
	who := accountOf(config)
	subject := "member " + member.Name
	through, err := aboutOther(proxy, who)
	if err != nil || who.user == "" {
		through = nil
	}
	not, err := []rights.Need(nil), error(nil)
	if through != nil {
		not, err = refused(ctx, through, needs)
	}
	if through == nil || err != nil {
		firstErr := err
		var self asksFor
		if self, err = aboutSelf(config, d.source.timeout, member.Spec.Tunnel); err == nil {
			not, err = refused(ctx, self, needs)
		}
		if err != nil {
			if firstErr != nil {
				err = firstErr
			}
			d.unknown(subject, "what its account may do", err)
			return
		}
	}
	if len(not) > 0 {
		d.add(finding{severityError, subject, fmt.Sprintf("the account %s may not %s: what is placed there of these does not arrive", who.user, lacking(not)),
			"kubectl koinon join " + member.Name + d.flags.givenIn(d.System)})
	}
}

// aboutOther asks as the caller, about the account.
func aboutOther(proxy *rest.Config, who account) (asksFor, error) {
	clients, err := newMemberClients(proxy)
	if err != nil {
		return nil, err
	}
	reviews := clients.authorization.SubjectAccessReviews()
	return func(ctx context.Context, need rights.Need) (bool, error) {
		review, err := reviews.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: who.user, Groups: who.groups, ResourceAttributes: need.Resource, NonResourceAttributes: need.NonResource,
		}}, metav1.CreateOptions{})
		if err != nil {
			return false, err
		}
		return review.Status.Allowed, nil
	}, nil
}

// aboutSelf asks as the account.
func aboutSelf(config *rest.Config, timeout time.Duration, tunnel v1beta1.TunnelUse) (asksFor, error) {
	if tunnel == v1beta1.TunnelAlways {
		return nil, errors.New("it is reached through its agents only")
	}
	config = rest.CopyConfig(config)
	config.Timeout = timeout
	clients, err := newMemberClients(config)
	if err != nil {
		return nil, err
	}
	reviews := clients.authorization.SelfSubjectAccessReviews()
	return func(ctx context.Context, need rights.Need) (bool, error) {
		review, err := reviews.Create(ctx, &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: need.Resource, NonResourceAttributes: need.NonResource,
		}}, metav1.CreateOptions{})
		if err != nil {
			return false, err
		}
		return review.Status.Allowed, nil
	}, nil
}

// refused are the rights that the account has not, in their order. The first question is asked alone:
// a member that does not answer it is not asked the others.
func refused(ctx context.Context, asks asksFor, needs []rights.Need) (not []rights.Need, err error) {
	allowed, errs := make([]bool, len(needs)), make([]error, len(needs))
	if allowed[0], err = asks(ctx, needs[0]); err != nil {
		return nil, err
	}
	places := make(chan struct{}, asksAtOnce)
	var group sync.WaitGroup
	for i := 1; i < len(needs); i++ {
		group.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			allowed[i], errs[i] = asks(ctx, needs[i])
		})
	}
	group.Wait()
	for i := range needs {
		if errs[i] != nil {
			return nil, errs[i]
		}
		if !allowed[i] {
			not = append(not, needs[i])
		}
	}
	return not, nil
}

// lacking says rights as part of a sentence: the verbs of each resource together.
func lacking(needs []rights.Need) string {
	verbs := map[string][]string{}
	var order []string
	for _, need := range needs {
		what := need.What()
		if verbs[what] == nil {
			order = append(order, what)
		}
		verbs[what] = append(verbs[what], need.Verb())
	}
	var parts []string
	for _, what := range order {
		parts = append(parts, strings.Join(verbs[what], ", ")+" "+what)
	}
	return some(parts)
}
