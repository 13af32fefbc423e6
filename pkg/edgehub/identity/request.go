package identity

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/keypair"
)

const (
	// askTimeout is how long one request may take.
	askTimeout = 30 * time.Second
	// maxAnswer is how much of an answer is read.
	maxAnswer = 4 << 20
	// skewSaid is how far this machine's clock may be from the API server's without a word.
	skewSaid = 5 * time.Minute
)

const requestsPath = "/apis/certificates.k8s.io/v1/certificatesigningrequests"

// refusal is what an API server answers instead of what was asked for.
type refusal struct {
	code    int
	message string
}

func (e *refusal) Error() string {
	return fmt.Sprintf("the API server answers %d %s: %s", e.code, http.StatusText(e.code), e.message)
}

func isRefusal(err error, codes ...int) bool {
	var refused *refusal
	if !errors.As(err, &refused) {
		return false
	}
	for _, code := range codes {
		if refused.code == code {
			return true
		}
	}
	return false
}

// ask makes a request, and reads the answer into out. The connection is the one that it came over.
func (i *Identity) ask(ctx context.Context, via http.RoundTripper, method, path string, in, out any) (*tls.ConnectionState, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := via.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("the answer to %s %s did not come whole: %w", method, path, err)
	}
	i.compareClocks(response.Header)
	if response.StatusCode/100 != 2 {
		return nil, &refusal{response.StatusCode, messageOf(text)}
	}
	if err := json.Unmarshal(text, out); err != nil {
		return nil, fmt.Errorf("what answers %s %s is no API server", method, path)
	}
	return response.TLS, nil
}

// messageOf is the message of a Status, or the beginning of whatever it is.
func messageOf(text []byte) string {
	var status metav1.Status
	if json.Unmarshal(text, &status) == nil && status.Message != "" {
		return status.Message
	}
	return string(bytes.Join(bytes.Fields(text[:min(len(text), 200)]), []byte(" ")))
}

// compareClocks notes how far this machine's clock is from the API server's, and says it if that is far.
func (i *Identity) compareClocks(header http.Header) {
	there, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return
	}
	skew := i.config.Now().Sub(there).Round(time.Second)
	i.mu.Lock()
	before := i.skew
	i.skew = skew
	i.mu.Unlock()
	if skew.Abs() > skewSaid && before.Abs() <= skewSaid {
		i.config.Logger.Warn("The clock of this machine is not that of the API server", "ahead", skew.String())
	}
}

// PendingError is that a request for a certificate waits for its approval.
type PendingError struct {
	// Name is the CertificateSigningRequest's.
	Name string
	// Approved: it is to be signed yet.
	Approved bool
}

func (e *PendingError) Error() string {
	if e.Approved {
		return fmt.Sprintf("the request %s for the node's certificate is approved, and not signed yet", e.Name)
	}
	return fmt.Sprintf("the request %s for the node's certificate waits for its approval: if nobody approves it, kubectl certificate approve %s does", e.Name, e.Name)
}

var (
	// errDenied is that a request was denied, and errUseless that the certificate that it got is none of this node. Both are over, and another one would end as they did for now.
	errDenied  = errors.New("the request for the node's certificate was denied")
	errUseless = errors.New("the node's certificate that was asked for came, and is of no use")
)

func isOver(err error) bool { return errors.Is(err, errDenied) || errors.Is(err, errUseless) }

// certify asks for a certificate, or how it is with the one that was asked for. It is called again after a PendingError.
func (i *Identity) certify(ctx context.Context, via http.RoundTripper) (*held, error) {
	key, err := i.pendingKey()
	if err != nil {
		return nil, err
	}
	name, err := requestName(key)
	if err != nil {
		return nil, err
	}
	var request certificatesv1.CertificateSigningRequest
	_, err = i.ask(ctx, via, http.MethodGet, requestsPath+"/"+name, nil, &request)
	if isRefusal(err, http.StatusNotFound) {
		var asked *certificatesv1.CertificateSigningRequest
		if asked, err = newRequest(key, name, i.name()); err != nil {
			return nil, err
		}
		_, err = i.ask(ctx, via, http.MethodPost, requestsPath, asked, &request)
	}
	if err != nil {
		return nil, err
	}
	if request.Name != name {
		return nil, fmt.Errorf("the request %s for the node's certificate was answered with one that is named %q", name, request.Name)
	}
	return i.take(&request, key)
}

// pendingKey is the key to ask with. It is on disk before it is used.
func (i *Identity) pendingKey() (crypto.Signer, error) {
	if i.pending != nil {
		return i.pending, nil
	}
	key, err := keypair.NewKey()
	if err != nil {
		return nil, err
	}
	text, err := keypair.EncodeKey(key)
	if err != nil {
		return nil, err
	}
	i.write(pendingFile, text)
	i.pending = key
	return key, nil
}

// forgetPending has the next request be another one.
func (i *Identity) forgetPending() {
	i.pending = nil
	delete(i.unwritten, pendingFile)
	if err := remove(i.config.Dir, pendingFile); err != nil {
		i.config.Logger.Info("Failed to remove the key of a request that is over", "err", err)
	}
}

// requestName is that of a request with a key: who asks again after an answer got lost finds it.
func requestName(key crypto.Signer) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return "", fmt.Errorf("name a request: %w", err)
	}
	sum := sha256.Sum256(der)
	return "node-csr-" + hex.EncodeToString(sum[:20]), nil
}

// newRequest asks for a certificate of a node as kubelet does: the approver of kube-controller-manager wants it so.
func newRequest(key crypto.Signer, name, node string) (*certificatesv1.CertificateSigningRequest, error) {
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: userPrefix + node, Organization: []string{group}}}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, fmt.Errorf("make a request for a certificate: %w", err)
	}
	return &certificatesv1.CertificateSigningRequest{
		TypeMeta:   metav1.TypeMeta{APIVersion: "certificates.k8s.io/v1", Kind: "CertificateSigningRequest"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), SignerName: certificatesv1.KubeAPIServerClientKubeletSignerName,
			Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
		},
	}, nil
}

// take takes the certificate of a request, if it is there.
func (i *Identity) take(request *certificatesv1.CertificateSigningRequest, key crypto.Signer) (*held, error) {
	approved := false
	for _, condition := range request.Status.Conditions {
		switch {
		case condition.Status == corev1.ConditionFalse:
		case condition.Type == certificatesv1.CertificateApproved:
			approved = true
		case condition.Type == certificatesv1.CertificateDenied, condition.Type == certificatesv1.CertificateFailed:
			i.forgetPending()
			return nil, fmt.Errorf("%w: %s is %s: %s %s", errDenied, request.Name, condition.Type, condition.Reason, condition.Message)
		}
	}
	if len(request.Status.Certificate) == 0 {
		return nil, &PendingError{request.Name, approved}
	}
	i.forgetPending()
	got, err := issued(request.Status.Certificate, key)
	if err == nil {
		err = got.of(i.name())
	}
	if err != nil {
		return nil, fmt.Errorf("%w: that of the request %s %w", errUseless, request.Name, err)
	}
	if err := got.outside(i.config.Now()); err != nil {
		i.config.Logger.Warn("Got a certificate that is not good by the clock of this machine, which is wrong, or the API server's is", "err", err)
	}
	i.config.Logger.Info("Got a certificate for this node", "node", got.node, "until", got.tls.Leaf.NotAfter)
	return got, nil
}

func issued(text []byte, key crypto.Signer) (*held, error) {
	chain, err := keypair.ParseCertificates(text)
	if err != nil {
		return nil, err
	}
	return newHeld(chain, key)
}
