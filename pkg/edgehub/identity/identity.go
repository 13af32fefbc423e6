package identity

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/koinon-io/koinon/pkg/keypair"
)

// Config says who the node is, and what it has to prove it. Dir is required.
type Config struct {
	// Dir keeps what is to outlive the process.
	Dir string
	// NodeName is the node's; empty is that of the certificate that is there.
	NodeName string
	// TokenFile has a bootstrap token, and BootstrapKubeconfig is kubelet's kubeconfig with one, of which the token is used. Neither has to be there.
	TokenFile, BootstrapKubeconfig string
	// Adopt are files of kubelet: a certificate with its key, or a kubeconfig with one. The first that is good is taken while the hub has none.
	Adopt []string
	// CAFile has authorities of API servers, PEM. Without it those of BootstrapKubeconfig are taken, or of a kubeconfig in Adopt, the first time, and kept.
	CAFile string
	// Now is time.Now if it is nil.
	Now func() time.Time
	// Logger is slog's default if it is nil.
	Logger *slog.Logger
}

// Identity is who the hub is.
type Identity struct {
	config Config
	// woken has a value when Run is to look at once.
	woken chan struct{}

	// What follows is Run's alone.

	pending crypto.Signer // the key that a certificate is asked for with; nil if none is
	refused rest
	// taken is when a certificate replaced another last, came when next came, if it was not there before, and learned when authorities were looked for.
	taken, came, learned time.Time
	// operators are the authorities of CAFile, PEM, as they were good last.
	operators []byte
	// unwritten are files that could not be written yet.
	unwritten map[string][]byte

	mu sync.Mutex
	// What follows is guarded by mu.

	current   *held          // nil: none yet
	next      *held          // is to be current once an API server has accepted it; nil: none is
	given     []byte         // authorities that kubeconfigs gave, PEM
	published []byte         // those that the cluster has published, PEM
	roots     *x509.CertPool // those, and those of CAFile; nil: none
	problem   error
	skew      time.Duration
}

// Open reads what is there. A certificate that is damaged is said, and counts as none; one of another node is an error.
func Open(config Config) (*Identity, error) {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if err := openDir(config.Dir); err != nil {
		return nil, err
	}
	i := &Identity{config: config, woken: make(chan struct{}, 1), unwritten: map[string][]byte{}}
	if err := i.load(); err != nil {
		return nil, err
	}
	if i.current == nil {
		i.adopt()
	}
	i.loadNext()
	i.problem = i.loadTrust()
	if i.current == nil && config.NodeName == "" {
		return nil, errors.New("the name of this node is required: there is no certificate yet that says it")
	}
	if i.current == nil {
		i.problem = both(errNoCertificate, i.problem)
	}
	return i, nil
}

// errNoCertificate is that there is none.
var errNoCertificate = errors.New("this node has no certificate yet")

// load takes the certificate of the directory, and the key of a request.
func (i *Identity) load() error {
	if text, err := read(i.config.Dir, pendingFile); err == nil {
		i.pending, _ = keypair.ParseKey(text) // or there is another request
	}
	text, err := read(i.config.Dir, NodeFile)
	if text == nil && err == nil {
		return nil
	}
	var found *held
	if err == nil {
		if found, err = parseHeld(text, text); err != nil {
			err = fmt.Errorf("%s %w", i.path(NodeFile), err)
		}
	}
	if err != nil {
		i.config.Logger.Error("Found a damaged certificate of this node: another one is asked for", "err", err)
		return nil
	}
	if err := found.of(i.config.NodeName); err != nil {
		return fmt.Errorf("%s %w: it is not touched. If the node has another name now, move the file away", i.path(NodeFile), err)
	}
	i.current = found
	return nil
}

func (i *Identity) path(file string) string { return filepath.Join(i.config.Dir, file) }

// adopt takes a certificate of kubelet.
func (i *Identity) adopt() {
	for _, path := range i.config.Adopt {
		found, err := readForeign(path)
		if err == nil {
			err = found.of(i.config.NodeName)
		}
		if err == nil {
			err = i.keep(found)
		}
		if err == nil {
			i.config.Logger.Info("Adopted the certificate of kubelet", "file", path, "node", found.node, "until", found.tls.Leaf.NotAfter)
			return
		}
		i.config.Logger.Info("Left a certificate of kubelet where it is", "file", path, "err", err)
	}
}

// readForeign reads a certificate with its key, or a kubeconfig that has both.
func readForeign(path string) (*held, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if bytes.Contains(text, []byte("-----BEGIN ")) && !bytes.Contains(text, []byte("clusters:")) {
		return parseHeld(text, text)
	}
	config, err := ReadKubeconfig(path)
	if err != nil {
		return nil, err
	}
	return parseHeld(config.Certificate, config.Key)
}

// Certificate is the node's, to show to API servers. It is another one after it was renewed.
func (i *Identity) Certificate() (*tls.Certificate, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.current == nil {
		return nil, i.problem
	}
	return i.current.tls, nil
}

// Next is a new certificate, to see whether API servers accept it before it is Certificate.
func (i *Identity) Next() (*tls.Certificate, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.next == nil {
		return nil, errors.New("there is no new certificate")
	}
	return i.next.tls, nil
}

// CAs are the authorities of API servers. The pool is another one if they are others.
func (i *Identity) CAs() (*x509.CertPool, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.roots == nil {
		return nil, both(errors.New("none is known, and without one anybody could be it"), i.problem)
	}
	return i.roots, nil
}

// errNoToken is that there is none.
var errNoToken = errors.New("there is no bootstrap token")

// Token is the bootstrap token, as it is in its file now.
func (i *Identity) Token() (string, error) {
	var why error
	if path := i.config.TokenFile; path != "" {
		text, err := os.ReadFile(path)
		token := strings.TrimSpace(string(text))
		switch {
		case err == nil && token != "" && !strings.ContainsAny(token, " \t\r\n"):
			return token, nil
		case err == nil:
			err = fmt.Errorf("%s has no token: one line is needed", path)
		}
		why = err
	}
	if path := i.config.BootstrapKubeconfig; path != "" {
		config, err := ReadKubeconfig(path)
		switch {
		case err == nil && config.Token != "":
			return config.Token, nil
		case err == nil:
			err = fmt.Errorf("%s has no token", path)
		}
		why = both(why, err)
	}
	if why == nil {
		return "", errNoToken
	}
	return "", fmt.Errorf("%w: %w", errNoToken, why)
}

// Status is how it is.
type Status struct {
	// Node is the name; empty if it is not known yet.
	Node string
	// NotBefore, NotAfter and RenewAt are of the certificate; zero if there is none.
	NotBefore, NotAfter, RenewAt time.Time
	// Err is what hinders, and what to do; nil if all is well.
	Err error
	// Skew is how far this machine's clock was ahead of the API server's, when that was asked for a certificate last.
	Skew time.Duration
}

// Status returns how it is now.
func (i *Identity) Status() Status {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := Status{Node: i.config.NodeName, Err: i.problem, Skew: i.skew}
	if i.current != nil {
		leaf := i.current.tls.Leaf
		s.Node, s.NotBefore, s.NotAfter, s.RenewAt = i.current.node, leaf.NotBefore, leaf.NotAfter, i.current.due()
	}
	return s
}

func (i *Identity) held() *held {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.current
}

// name is the node's.
func (i *Identity) name() string {
	if h := i.held(); h != nil {
		return h.node
	}
	return i.config.NodeName
}

// keep has a certificate used, and written.
func (i *Identity) keep(h *held) error {
	text, err := h.encode()
	if err != nil {
		return err
	}
	i.write(NodeFile, text)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.current = h
	return nil
}

// keepNext has a certificate tried, and written.
func (i *Identity) keepNext(h *held) error {
	text, err := h.encode()
	if err != nil {
		return err
	}
	i.write(nextFile, text)
	i.came = time.Now()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.next = h
	return nil
}

// forgetNext has no certificate tried any more. Its file stays if it is the only one on disk.
func (i *Identity) forgetNext() {
	i.mu.Lock()
	i.next = nil
	i.mu.Unlock()
	delete(i.unwritten, nextFile)
	if i.unwritten[NodeFile] != nil {
		return
	}
	if err := remove(i.config.Dir, nextFile); err != nil {
		i.config.Logger.Info("Failed to remove a certificate that is kept elsewhere", "err", err)
	}
}

// loadNext takes a certificate that was not tried yet. One that is not newer than the one that is used was.
func (i *Identity) loadNext() {
	text, err := read(i.config.Dir, nextFile)
	if text == nil || err != nil {
		return
	}
	next, err := parseHeld(text, text)
	if err == nil {
		err = next.of(i.name())
	}
	if err != nil || i.current != nil && !next.tls.Leaf.NotAfter.After(i.current.tls.Leaf.NotAfter) {
		i.forgetNext()
		return
	}
	i.next = next
}

// write writes a file, and does so later if it cannot.
func (i *Identity) write(file string, data []byte) {
	delete(i.unwritten, file)
	if err := write(i.config.Dir, file, data); err != nil {
		i.unwritten[file] = data
		i.config.Logger.Error("Failed to keep a file of the node's identity: it is used all the same, and will be tried again", "err", err)
	}
}

// writeAgain writes what could not be written. The error is why it still cannot.
func (i *Identity) writeAgain() error {
	for file, data := range i.unwritten {
		if err := write(i.config.Dir, file, data); err != nil {
			return fmt.Errorf("what is new of the node's identity is not on disk: %w", err)
		}
		delete(i.unwritten, file)
		i.config.Logger.Info("Kept a file of the node's identity", "file", i.path(file))
	}
	return nil
}
