package webhook_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/pkg/keypair"
	"github.com/koinon-io/koinon/test/testbed"
)

// repairs does to the authority in callers what people and their tools do.
func (i *installation) repairs(t *testing.T) {
	foreign, err := keypair.NewAuthority("somebody", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	callers := i.callers(t)
	for name, operation := range map[string]string{
		"it was taken away":  `{"op":"remove","path":"%s/caBundle"}`,
		"it was overwritten": `{"op":"replace","path":"%s/caBundle","value":"` + base64.StdEncoding.EncodeToString(foreign.CertificatePEM()) + `"}`,
	} {
		for _, c := range callers {
			patch := fmt.Appendf(nil, "["+operation+"]", c.path)
			if _, err := i.dynamic.Resource(c.GroupVersionResource).Patch(t.Context(), c.name, types.JSONPatchType, patch, metav1.PatchOptions{}); err != nil {
				t.Fatalf("%s, of %s: %v", name, c.name, err)
			}
		}
		i.awaitBundle(t, i.shared(t), callers...)
	}
	waitServed(t, i.dynamic)
	i.apply(t)
	for _, c := range callers {
		if got, err := i.bundle(t.Context(), c); err != nil || string(got) != string(i.shared(t)) {
			t.Errorf("an upgrade, kubectl apply -k once more, took the authority from %s: %v", c.name, err)
		}
	}
}

// laterKind takes a kind away and brings it back.
func (i *installation) laterKind(t *testing.T) {
	jobs := caller{crds, "federatedjobs.types.kubefed.io", "/spec/conversion/webhook/clientConfig"}
	client := i.dynamic.Resource(crds)
	if err := client.Delete(t.Context(), jobs.name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	poll(t, "the CRD is not gone", func(ctx context.Context) error {
		_, err := client.Get(ctx, jobs.name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("got error %v", err)
	})
	i.apply(t)
	i.awaitBundle(t, i.shared(t), jobs)
}

// renewals lets everything be renewed once while clients read and write.
func (i *installation) renewals(t *testing.T) {
	if _, err := i.dynamic.Resource(inTopology).Namespace("default").Get(t.Context(), "both", metav1.GetOptions{}); err != nil {
		t.Fatalf("there must be an object to convert: %v", err)
	}
	requests := i.keepCalling(t)
	callers := i.callers(t)
	serials := map[int]string{}
	for _, replica := range i.replicas {
		serials[replica.Port()] = i.leaf(t, replica).SerialNumber.String()
	}
	i.awaitLeaves(t, "another certificate", func(port int, leaf *x509.Certificate) bool {
		return leaf.SerialNumber.String() != serials[port]
	})

	// An authority that another replica has added, two days ago: it is trusted, and then it signs.
	next, err := keypair.NewAuthority("koinon-serving-ca@next", time.Now().Add(-48*time.Hour), 365*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	before := i.shared(t)
	i.writeAuthorities(t, func(present []byte) []byte { return slices.Concat(present, encoded(t, next)) })
	i.awaitBundle(t, slices.Concat(next.CertificatePEM(), before), callers...)
	i.awaitLeaves(t, "a certificate of the next authority", func(_ int, leaf *x509.Certificate) bool {
		return leaf.CheckSignatureFrom(next.Certificate) == nil
	})
	i.writeAuthorities(t, func([]byte) []byte { return encoded(t, next) })
	i.awaitBundle(t, next.CertificatePEM(), callers...)

	for _, replica := range i.replicas {
		i.balancer.Remove(replica.Port()) // as a Service does with a pod that is not ready
		replica.Restart(t)
		i.balancer.Add(replica.Port())
	}
	count, failures := requests()
	if count == 0 {
		t.Error("no request was made meanwhile")
	}
	t.Logf("%d requests, %d failed", count, len(failures))
	for _, err := range failures {
		t.Errorf("a request failed: %v", err)
	}
}

// encoded is an authority as in the Secret.
func encoded(t *testing.T, authority keypair.Pair) []byte {
	t.Helper()
	key, err := authority.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	return append(authority.CertificatePEM(), key...)
}

func (i *installation) writeAuthorities(t *testing.T, change func(present []byte) []byte) {
	t.Helper()
	secrets := i.kube.CoreV1().Secrets(system)
	object, err := secrets.Get(t.Context(), secret, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	object.Data["authorities.pem"] = change(object.Data["authorities.pem"])
	if _, err := secrets.Update(t.Context(), object, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// leaf is what a replica shows to new connections.
func (i *installation) leaf(t *testing.T, replica *testbed.Koinon) *x509.Certificate {
	t.Helper()
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // it is looked at, not trusted
	conn, err := dialer.DialContext(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(replica.Port())))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
}

func (i *installation) awaitLeaves(t *testing.T, what string, want func(port int, leaf *x509.Certificate) bool) {
	t.Helper()
	for _, replica := range i.replicas {
		poll(t, "a replica does not show "+what, func(context.Context) error {
			if leaf := i.leaf(t, replica); !want(replica.Port(), leaf) {
				return fmt.Errorf("it shows %s of %s", leaf.SerialNumber, leaf.Issuer)
			}
			return nil
		})
	}
}

// keepCalling has the API server call all three paths, again and again, until the function that
// it returns is called. That one returns how many requests there were, and the errors.
func (i *installation) keepCalling(t *testing.T) func() (int, []error) {
	ctx, cancel := context.WithCancel(t.Context())
	var calling sync.WaitGroup
	var mu sync.Mutex // guards the rest
	var count int
	var failures []error
	call := func(request func() error) {
		for ctx.Err() == nil {
			err := request()
			mu.Lock()
			if count++; err != nil {
				failures = append(failures, err)
			}
			mu.Unlock()
		}
	}
	calling.Go(func() { // ends with ctx
		call(func() error {
			list, err := i.dynamic.Resource(inCluster).Namespace("default").List(t.Context(), metav1.ListOptions{})
			if err == nil && !slices.ContainsFunc(list.Items, func(one unstructured.Unstructured) bool { return one.GetName() == "both" }) {
				err = errors.New("an object is missing in the list")
			}
			return err
		})
	})
	calling.Go(func() { // ends with ctx
		call(func() error {
			_, err := i.dynamic.Resource(inTopology).Namespace("default").Create(t.Context(),
				object("v1beta2", "called", `{"template":{}}`), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			return err
		})
	})
	return func() (int, []error) {
		cancel()
		calling.Wait()
		return count, failures
	}
}
