// Package podsecret is a state of package enroll in a Secret of the cluster that an agent runs in: a pod needs no volume
// then, and may be started on any node. One Secret is one agent's.
//
// The Secret has to exist, as a manifest makes it, without data; the pod's account has to have the verbs get and update on it, and no
// other. It is made by nobody here: a right to create Secrets cannot be bounded by a name.
//
// # Bounds
//
// A request takes 10 s at most, and an answer has 2 MiB at most, where a Secret has 1 MiB. A file is written by an update of the
// version that was read, at most five times if others write in between: other keys of the Secret stay as they are.
// Token and authority of the account are read for each request, since the kubelet replaces them. The API server is connected to directly, whatever
// proxies the environment names.
//
// A State may be used concurrently.
package podsecret

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// AccountDir is where a pod finds its account.
	AccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

	requestTimeout = 10 * time.Second
	maxAnswerBytes = 2 << 20
	maxWrites      = 5
	// maxSaid bounds what is repeated of an answer.
	maxSaid = 300
)

// State is a Secret. It implements enroll.State.
type State struct {
	name, namespace string
	account         string // a directory
	url             string
}

// New returns the Secret of a name in the pod's namespace. account is the directory with the files token, ca.crt and namespace of the
// pod's account; getenv is the environment, which says where the API server is. New reads the namespace, and asks nobody anything.
func New(name, account string, getenv func(string) string) (*State, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	host, port := getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("this is no pod of a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT do not say where the API server is")
	}
	text, err := os.ReadFile(filepath.Join(account, "namespace"))
	if err != nil {
		return nil, fmt.Errorf("the account of the pod: %w", err)
	}
	namespace := strings.TrimSpace(string(text))
	if err := checkName(namespace); err != nil {
		return nil, fmt.Errorf("the account of the pod: its namespace: %w", err)
	}
	return &State{
		name: name, namespace: namespace, account: account,
		url: "https://" + net.JoinHostPort(host, port) + "/api/v1/namespaces/" + url.PathEscape(namespace) + "/secrets/" + url.PathEscape(name),
	}, nil
}

// checkName refuses what is no name of a Secret.
func checkName(name string) error {
	ok := name != "" && len(name) <= 253 && strings.Trim(name, "-.") == name
	for _, c := range name {
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.')
	}
	if !ok {
		return fmt.Errorf("%q is no name of a Secret: lower case letters, digits, - and . are allowed, at most 253", name)
	}
	return nil
}

// String implements enroll.State.
func (s *State) String() string { return "the Secret " + s.namespace + "/" + s.name }

// Read implements enroll.State.
func (s *State) Read(file string) ([]byte, error) {
	found, err := s.get()
	if err != nil {
		return nil, err
	}
	data, ok := found.data[file]
	if !ok {
		return nil, &fs.PathError{Op: "read", Path: s.String() + ", key " + file, Err: fs.ErrNotExist}
	}
	return data, nil
}

// Write implements enroll.State.
func (s *State) Write(file string, data []byte) error {
	return s.change(func(all map[string][]byte) bool {
		old, ok := all[file]
		all[file] = data
		return !ok || !bytes.Equal(old, data)
	})
}

// Remove implements enroll.State.
func (s *State) Remove(file string) error {
	return s.change(func(all map[string][]byte) bool {
		_, ok := all[file]
		delete(all, file)
		return ok
	})
}

// errConflict is that somebody else has written in between.
var errConflict = errors.New("others write it all the time")

// change updates the Secret. What was written is what change has made of the version before, or nothing is: it returns false if
// there is nothing to write.
func (s *State) change(change func(all map[string][]byte) bool) error {
	for range maxWrites {
		found, err := s.get()
		if err != nil {
			return err
		}
		if !change(found.data) {
			return nil
		}
		if err := s.put(found); !errors.Is(err, errConflict) {
			return err
		}
	}
	return fmt.Errorf("%s: %w", s, errConflict)
}

// secret is one as it was read. What is not looked at is written as it was.
type secret struct {
	object map[string]json.RawMessage
	data   map[string][]byte
}

func (s *State) get() (*secret, error) {
	body, err := s.ask(http.MethodGet, nil)
	if err != nil {
		return nil, err
	}
	found := &secret{}
	if err := json.Unmarshal(body, &found.object); err != nil {
		return nil, fmt.Errorf("%s: the API server answers with something that is no Secret", s)
	}
	var kind string
	if json.Unmarshal(found.object["kind"], &kind) != nil || kind != "Secret" {
		return nil, fmt.Errorf("%s: the API server answers with something that is no Secret", s)
	}
	if data, ok := found.object["data"]; ok {
		if err := json.Unmarshal(data, &found.data); err != nil {
			return nil, fmt.Errorf("%s: its data cannot be read: %w", s, err)
		}
	}
	if found.data == nil {
		found.data = map[string][]byte{}
	}
	return found, nil
}

// put writes a Secret if it is still at the version that was read.
func (s *State) put(changed *secret) (err error) {
	if changed.object["data"], err = json.Marshal(changed.data); err != nil {
		return err
	}
	body, err := json.Marshal(changed.object)
	if err != nil {
		return err
	}
	_, err = s.ask(http.MethodPut, body)
	return err
}

// ask sends one request about the Secret.
func (s *State) ask(method string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, s.url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s, err)
	}
	token, err := os.ReadFile(filepath.Join(s.account, "token"))
	if err != nil {
		return nil, fmt.Errorf("the account of the pod: %v", err) // it is no fs.ErrNotExist of the state
	}
	authority, err := os.ReadFile(filepath.Join(s.account, "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("the account of the pod: %v", err) // it is no fs.ErrNotExist of the state
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("the account of the pod: %s has no certificate", filepath.Join(s.account, "ca.crt"))
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "koinon-agent")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	// A connection for each request: there is one in a minute.
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(request)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return nil, fmt.Errorf("%s: the API server of this cluster: %w", s, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswerBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: the answer of the API server did not come whole: %w", s, err)
	case len(text) > maxAnswerBytes:
		return nil, fmt.Errorf("%s: the answer of the API server has more than %d bytes", s, maxAnswerBytes)
	}
	return text, s.refused(method, answer, text)
}

// refused is what an answer means that is no success.
func (s *State) refused(method string, answer *http.Response, body []byte) error {
	verb := map[string]string{http.MethodGet: "get", http.MethodPut: "update"}[method]
	switch answer.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusNotFound:
		return fmt.Errorf("%s does not exist: it was deleted, and what was in it is lost; the manifest of the agent makes it anew, with another token", s)
	case http.StatusUnauthorized:
		return fmt.Errorf("%s: the API server does not take the token of the pod's account", s)
	case http.StatusForbidden:
		return fmt.Errorf("%s: the pod's account may not %s it: %s", s, verb, said(body))
	case http.StatusConflict:
		return errConflict
	}
	return fmt.Errorf("%s: the API server answers %s with %s: %s", s, verb, answer.Status, said(body))
}

// said is what an answer says: the message of a Status, or the beginning of anything else.
func said(body []byte) string {
	var status struct {
		Message string `json:"message"`
	}
	text := string(body)
	if json.Unmarshal(body, &status) == nil && status.Message != "" {
		text = status.Message
	}
	text = strings.Join(strings.Fields(text), " ")
	return text[:min(len(text), maxSaid)]
}
