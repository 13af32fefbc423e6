package tunnel

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// ALPN is the protocol of links. It changes with what the sides of a link cannot tell each other otherwise.
const ALPN = "koinon-tunnel/1"

// ServerALPN is the protocol of links between servers: see package peers.
const ServerALPN = "koinon-tunnel-server/1"

// Name is whom an agent stands for: a cluster, or a node of one.
type Name struct {
	Cluster string `json:"cluster"`
	// Node is empty for a cluster.
	Node string `json:"node,omitempty"`
}

func (n Name) String() string {
	if n.Node == "" {
		return fmt.Sprintf("cluster %q", n.Cluster)
	}
	return fmt.Sprintf("node %q of cluster %q", n.Node, n.Cluster)
}

var subdomain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

// Validate says what is wrong with a name: its parts are DNS subdomains, as Kubernetes' names are.
func (n Name) Validate() error {
	if !isName(n.Cluster) {
		return fmt.Errorf("%q is no name of a cluster: lower case letters, digits, - and . are allowed, at most 253", n.Cluster)
	}
	if n.Node != "" && !isName(n.Node) {
		return fmt.Errorf("%q is no name of a node: lower case letters, digits, - and . are allowed, at most 253", n.Node)
	}
	return nil
}

func isName(s string) bool { return len(s) <= 253 && subdomain.MatchString(s) }

const scheme = "koinon-agent"

// URI is what the certificate of an agent has.
func (n Name) URI() *url.URL {
	path := "/clusters/" + n.Cluster
	if n.Node != "" {
		path += "/nodes/" + n.Node
	}
	return &url.URL{Scheme: scheme, Path: path, OmitHost: true}
}

// NameOf is whom a certificate says that its owner stands for.
func NameOf(certificate *x509.Certificate) (Name, error) {
	var found []Name
	for _, uri := range certificate.URIs {
		if uri.Scheme == serverScheme {
			return Name{}, fmt.Errorf("the certificate says that it is a server's (%q): such a one is no agent", uri)
		}
		if uri.Scheme != scheme {
			continue
		}
		name, err := parse(uri)
		if err != nil {
			return Name{}, err
		}
		found = append(found, name)
	}
	if len(found) != 1 {
		return Name{}, fmt.Errorf("the certificate says %d names of agents; one is needed, as a URI %s:/clusters/CLUSTER or …/nodes/NODE", len(found), scheme)
	}
	return found[0], nil
}

func parse(uri *url.URL) (Name, error) {
	var name Name
	switch parts := strings.Split(uri.EscapedPath(), "/"); {
	case len(parts) == 3 && parts[1] == "clusters":
		name = Name{Cluster: parts[2]}
	case len(parts) == 5 && parts[1] == "clusters" && parts[3] == "nodes" && parts[4] != "":
		name = Name{Cluster: parts[2], Node: parts[4]}
	default:
		return Name{}, fmt.Errorf("the certificate's URI %q names neither a cluster nor a node", uri)
	}
	if uri.String() != name.URI().String() {
		return Name{}, fmt.Errorf("the certificate's URI %q has more than a name", uri)
	}
	return name, name.Validate()
}

const serverScheme = "koinon-server"

// serverID keeps out what a path would have to escape.
var serverID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$`)

// ServerURI is what the certificate has with which a server is known to others.
func ServerURI(id string) (*url.URL, error) {
	if !serverID.MatchString(id) {
		return nil, fmt.Errorf("%q is no id of a server: letters, digits, -, . and _ are allowed, at most 253", id)
	}
	return &url.URL{Scheme: serverScheme, Path: "/" + id, OmitHost: true}, nil
}

// ServerOf is which server a certificate says that its owner is. It has that URI and no other, so that no certificate
// is that of a server and of an agent.
func ServerOf(certificate *x509.Certificate) (id string, err error) {
	refused := fmt.Errorf("the certificate is not that of a server: it needs one URI, %s:/ID", serverScheme)
	if len(certificate.URIs) != 1 || certificate.URIs[0].Scheme != serverScheme {
		return "", refused
	}
	id = strings.TrimPrefix(certificate.URIs[0].Path, "/")
	if uri, err := ServerURI(id); err != nil || uri.String() != certificate.URIs[0].String() {
		return "", refused
	}
	return id, nil
}
