package app

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"

	"github.com/koinon-io/koinon/cmd/koinon/app/datastorecmd"
	"github.com/koinon-io/koinon/pkg/drain"
	"github.com/koinon-io/koinon/pkg/host"
	"github.com/koinon-io/koinon/pkg/hostreg"
	"github.com/koinon-io/koinon/pkg/servingcert"
	"github.com/koinon-io/koinon/pkg/storage"
)

// The parts of a control plane, for --components.
const (
	componentAPIServer   = "apiserver"
	componentControllers = "controllers"
	// componentHostControllers are the controllers without propagation.
	componentHostControllers = "hostcontrollers"
	componentWebhook         = "webhook"
	componentTunnel          = "tunnel"
	// componentAutonomy is for the host, which has nodes at the edge.
	componentAutonomy = "autonomy"
)

// allOnByDefault stands for the parts of a federation. The webhook is none of them: it is for
// clusters that have our kinds as CRDs, and answers whoever reaches the port. Nor is the tunnel, which opens a port of its own, nor
// autonomy, which writes pods of the host.
const allOnByDefault = "all"

var (
	onByDefault = []string{componentAPIServer, componentControllers}
	components  = []string{componentAPIServer, componentControllers, componentHostControllers, componentWebhook, componentTunnel, componentAutonomy}
)

// minServingLifetime leaves time for more than one attempt at a renewal.
const minServingLifetime = 10 * time.Second

const defaultDataDir = "koinon-data"

// ServerOptions are the options of "koinon server".
type ServerOptions struct {
	// DataDir holds keys, the encryption key and the SQLite database.
	DataDir string
	// Components are the parts that run in this process.
	Components []string
	// Namespace is the system namespace of the federation.
	Namespace string

	// BindAddress and SecurePort are where the API is served; port 0 means a free one.
	BindAddress net.IP
	SecurePort  int
	// AdminCertificateLifetime is how long the certificate in admin.kubeconfig is good.
	AdminCertificateLifetime time.Duration
	// ExtraHosts are further names and addresses in the serving certificate.
	ExtraHosts []string

	// Datastore and what begins with it are passed to storage.Open.
	Datastore                   string
	DatastoreTLS                storage.TLS
	DatastorePasswordFile       string
	DatastoreMaxOpenConnections int
	DatastoreMaxIdleConnections int
	// EncryptionConfig replaces the key that is made in the data directory.
	EncryptionConfig string

	// HostKubeconfig or InCluster say where the aggregator is that this server is behind;
	// neither means standalone.
	HostKubeconfig string
	InCluster      bool
	// ServiceName and ServicePort are what the host's APIServices name. Port 0 is 443 in the
	// host, and SecurePort outside of it.
	ServiceName string
	ServicePort int32
	// FollowNativeObjects has federated objects follow those of the host that are labelled. Standalone they do.
	FollowNativeObjects bool
	// NamespaceWebhook has the host ask before it takes a namespace from its tenant.
	NamespaceWebhook bool
	// CellEndpointURL and CellEndpointCAFile are what the KubeFedClusters of cells say of the server
	// that has their endpoints. Empty: what is known of the API that controllers use.
	CellEndpointURL    string
	CellEndpointCAFile string
	// ProfileNamespace has the ClusterProfiles of members. Empty: Namespace.
	ProfileNamespace string
	// TunnelBindAddress and TunnelPort are where agents connect; port 0 means a free one.
	TunnelBindAddress net.IP
	TunnelPort        int
	// TunnelAdvertiseAddresses are HOST or HOST:PORT by which agents find it.
	TunnelAdvertiseAddresses []string
	// TunnelAgents has agents be told of it; else they are reached through other servers.
	TunnelAgents bool
	// TunnelPeerAddress is HOST:PORT by which other servers find it; empty is what it listens on.
	TunnelPeerAddress string
	// TunnelFrontends are by which programs that know nothing of the tunnel connect through it.
	TunnelFrontends TunnelFrontends
	// ServingCertificateLifetime is how long the certificate lives that a host trusts.
	ServingCertificateLifetime time.Duration
	// MaxConnectionAge is after how long the host's connections are made anew.
	MaxConnectionAge time.Duration
	// ConnectionDrainTimeout is how long the host may keep idle connections to a server that is
	// told to end.
	ConnectionDrainTimeout time.Duration

	Generic   *genericoptions.ServerRunOptions
	Audit     *genericoptions.AuditOptions
	Traces    *genericoptions.TracingOptions
	Features  *genericoptions.FeatureOptions
	Admission *host.Admission
	Logs      *logs.Options
}

// NewServerOptions returns the defaults.
func NewServerOptions() *ServerOptions {
	generic := genericoptions.NewServerRunOptions()
	// A server that is told to end answers what it has begun, sends everybody else away
	// with "retry", and then closes. Without these it would wait a minute for watches.
	generic.ShutdownSendRetryAfter = true
	generic.ShutdownWatchTerminationGracePeriod = 2 * time.Second
	return &ServerOptions{
		DataDir:    defaultDataDir,
		Components: []string{allOnByDefault},
		Namespace:  "kube-federation-system",
		SecurePort: 6443,
		TunnelPort: 6445,

		TunnelAgents: true,
		ServiceName:  "koinon",

		NamespaceWebhook: true,

		MaxConnectionAge:           5 * time.Minute,
		ConnectionDrainTimeout:     drain.ClientIdleTimeout + 10*time.Second,
		AdminCertificateLifetime:   defaultAdminLifetime,
		ServingCertificateLifetime: servingcert.DefaultLifetime,

		DatastoreMaxOpenConnections: 8,
		DatastoreMaxIdleConnections: 4,

		Generic:   generic,
		Audit:     genericoptions.NewAuditOptions(),
		Traces:    genericoptions.NewTracingOptions(),
		Features:  genericoptions.NewFeatureOptions(),
		Admission: host.NewAdmission(),
		Logs:      logs.NewOptions(),
	}
}

// genericFlags are those of the library's many flags that matter to this server.
var genericFlags = []string{
	"advertise-address", "external-hostname", "feature-gates", "max-requests-inflight", "max-mutating-requests-inflight",
	"request-timeout", "min-request-timeout", "goaway-chance", "shutdown-delay-duration", "shutdown-send-retry-after",
	"shutdown-watch-termination-grace-period", "cors-allowed-origins", "strict-transport-security-directives",
}

// admissionFlags are those of admission control that have a use without workloads.
var admissionFlags = []string{"enable-admission-plugins", "disable-admission-plugins", "admission-control-config-file"}

// Flags returns the flags in the groups in which help shows them.
func (o *ServerOptions) Flags() cliflag.NamedFlagSets {
	var sets cliflag.NamedFlagSets
	o.addServerFlags(sets.FlagSet("server"))
	o.addStoreFlags(sets.FlagSet("store"))
	o.addHostFlags(sets.FlagSet("aggregated mode"))
	o.addTunnelFlags(sets.FlagSet("tunnel"))
	pick(sets.FlagSet("API server"), o.Generic.AddUniversalFlags, genericFlags)
	pick(sets.FlagSet("admission"), o.Admission.AddFlags, admissionFlags)
	o.Audit.AddFlags(sets.FlagSet("auditing"))
	o.Traces.AddFlags(sets.FlagSet("tracing"))
	o.Features.AddFlags(sets.FlagSet("debugging"))
	logsapi.AddFlags(o.Logs, sets.FlagSet("logging"))
	return sets
}

// ownWords describe flags of the library of which it says what is not so here: it speaks of
// the members of a cluster, which are nodes, and lists feature gates of its examples. What is
// quoted backwards is the type that help shows.
var ownWords = map[string]string{
	"advertise-address": "The IP address at which clients, or the host, reach this server. The default is --bind-address, or 127.0.0.1 where that stands for all addresses.",
	"external-hostname": "The DNS name at which clients, or the host, reach this server. It is in the serving certificate. The default is --advertise-address.",
	"feature-gates":     "Features of the libraries of Kubernetes to switch on or off, as `NAME=true|false,...`. The names are those of Kubernetes' own API server; nothing here needs one.",
}

// pick copies the flags with the given names from what add would add.
func pick(into *pflag.FlagSet, add func(*pflag.FlagSet), names []string) {
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	add(all)
	for _, name := range names {
		if flag := all.Lookup(name); flag != nil {
			if words, ok := ownWords[name]; ok {
				flag.Usage = words
			}
			into.AddFlag(flag)
		}
	}
}

func (o *ServerOptions) addServerFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.DataDir, "data-dir", o.DataDir, "The directory for keys, the encryption key and the SQLite database. One server at a time may use it.")
	fs.IPVar(&o.BindAddress, "bind-address", o.BindAddress, "The address on which to serve the API. The default is 127.0.0.1, since nobody asked for a port that the network can reach; in aggregated mode, where the host must reach it, 0.0.0.0.")
	fs.IntVar(&o.SecurePort, "secure-port", o.SecurePort, "The port on which to serve the API. 0 takes a free one.")
	fs.DurationVar(&o.AdminCertificateLifetime, "admin-certificate-lifetime", o.AdminCertificateLifetime, "How long the certificate in DATA_DIR/"+kubeconfigName+" is good. The server writes the file again at its start and when two thirds of that have passed; \"koinon kubeconfig\" does it at any time.")
	fs.StringSliceVar(&o.ExtraHosts, "tls-san", o.ExtraHosts, "Further DNS names or IP addresses in the serving certificate.")
	fs.StringSliceVar(&o.Components, "components", o.Components, "The parts to run in this process, some of "+strings.Join(components, ", ")+"; all stands for "+strings.Join(onByDefault, " and ")+". The webhook must be named, for example as all,webhook: it is for a cluster that has federated kinds as CRDs, and it answers whoever reaches the port, since API servers call webhooks without credentials. With --in-cluster or --host-kubeconfig, and without the apiserver, the authority of its certificate is kept in a Secret of that cluster, and in the CRDs and webhook configurations that name --service-name. "+componentHostControllers+" are the controllers without propagation: cells and their clusters, defaults, garbage collection and deletion of namespaces; with them a stock KubeFed controller-manager can be the engine. All servers over one store are given the same of the two. The "+componentTunnel+" must be named, too, for example as all,tunnel: koinon-agents connect to it, and members behind NAT are reached through them. Agents connect to all servers over one store that have it, and such servers hand connections on to each other; those that run the controllers or the apiserver need it. "+componentAutonomy+" must be named, too: it is for a host that has nodes at the edge, given with --in-cluster or --host-kubeconfig, and needs nothing else of Koinon there. Pods of nodes that say edge.koinon.io/autonomy: \"true\" stay while the node is cut off, and are as ready as their kubelet reported.")
	fs.StringVar(&o.CellEndpointURL, "cell-endpoint-url", "", "The URL at which clients of KubeFedClusters, such as a stock KubeFed controller, reach the endpoints of cells: the KubeFedCluster of a cell has it, and behind it the path of the endpoint; so have ClusterProfiles, with the path of a proxy. The default is --external-hostname with the port of this server and, behind a host, the address of the host as this server reaches it. Several servers over one store must be given the same.")
	fs.StringVar(&o.CellEndpointCAFile, "cell-endpoint-ca-file", "", "The authorities, in PEM, of the certificate that clients see at --cell-endpoint-url. The file is read again when it changes. The default is the authority of this server and, behind a host, that of the host as this server knows it.")
	fs.StringVar(&o.ProfileNamespace, "cluster-profile-namespace", "", "The namespace of the ClusterProfiles of members, if the CRD of ClusterProfiles is there; those of cells are where the cells are. The default is --kubefed-namespace. Several servers over one store must be given the same.")
	fs.StringVar(&o.Namespace, "kubefed-namespace", o.Namespace, "The namespace of clusters, type configurations and their Secrets.")
}

func (o *ServerOptions) addStoreFlags(fs *pflag.FlagSet) {
	datastorecmd.AddFlags(fs, &o.Datastore, &o.DatastorePasswordFile, &o.DatastoreTLS)
	fs.IntVar(&o.DatastoreMaxOpenConnections, "datastore-max-open-connections", o.DatastoreMaxOpenConnections, "How many connections to a MySQL database this server may have. One of them writes, the others read what is not in memory; more than a few do not make it faster.")
	fs.IntVar(&o.DatastoreMaxIdleConnections, "datastore-max-idle-connections", o.DatastoreMaxIdleConnections, "How many connections to a MySQL database this server keeps for 5 s while it does not need them.")
	fs.StringVar(&o.EncryptionConfig, "encryption-provider-config", "", "An EncryptionConfiguration for Secrets at rest. The default is a key that is made in the data directory.")
}

func (o *ServerOptions) addHostFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.HostKubeconfig, "host-kubeconfig", "", "A kubeconfig for the cluster whose aggregator this server is behind.")
	fs.BoolVar(&o.InCluster, "in-cluster", false, "Be behind the aggregator of the cluster that this server runs in.")
	fs.StringVar(&o.ServiceName, "service-name", o.ServiceName, "The Service in the system namespace through which the host reaches this server. An API server with --host-kubeconfig makes it, of the type ExternalName and for --external-hostname or --advertise-address, unless it is there.")
	fs.DurationVar(&o.ServingCertificateLifetime, "serving-certificate-lifetime", o.ServingCertificateLifetime, "How long the serving certificate behind a host lives. It is renewed when two thirds have passed, without a restart.")
	fs.DurationVar(&o.MaxConnectionAge, "max-connection-age", o.MaxConnectionAge, "How old a connection from the host may get. It is closed with an answer, so that nothing fails, and the next one may lead to another server. HTTP/2, and with it --goaway-chance, is not used behind a host.")
	fs.DurationVar(&o.ConnectionDrainTimeout, "connection-drain-timeout", o.ConnectionDrainTimeout, "How long a server that is told to end goes on, after --shutdown-delay-duration, while the host keeps connections open: it may have a request on its way over each. A host closes those that it does not use after 90s. 0s waits for nobody.")
	fs.BoolVar(&o.FollowNativeObjects, "follow-native-objects", false, "Have federated objects follow the objects of the host that have the label federation.koinon.io/federate. It takes the right to get, list and watch their types, which the ClusterRole koinon:follow collects; a type that may not be listed is not followed. Without a host, objects are always followed.")
	fs.BoolVar(&o.NamespaceWebhook, "namespace-webhook", o.NamespaceWebhook, "Have the host ask this server before it takes a namespace from its tenant, by the ValidatingWebhookConfiguration "+hostreg.NamespacesWebhook+", which the server keeps. It takes the rights of the ClusterRole koinon:namespace-webhook; whoever has those can have the host send every write to anywhere, Secrets included. With --namespace-webhook=false they can be left out, and such changes pass; a configuration that is there stays until somebody deletes it.")
	fs.Int32Var(&o.ServicePort, "service-port", o.ServicePort, "The port of that Service. The default is 443 with --in-cluster, and the port of this server with --host-kubeconfig.")
}

func (o *ServerOptions) addTunnelFlags(fs *pflag.FlagSet) {
	fs.IPVar(&o.TunnelBindAddress, "tunnel-bind-address", o.TunnelBindAddress, "The address on which agents connect, if --components has the tunnel. The default is --bind-address.")
	fs.IntVar(&o.TunnelPort, "tunnel-port", o.TunnelPort, "The port on which agents connect. 0 takes a free one.")
	fs.StringSliceVar(&o.TunnelAdvertiseAddresses, "tunnel-advertise-address", nil, "Where agents find the tunnel, `HOST` or HOST:PORT; may be repeated. The serving certificate names them, and \"kubectl koinon agent\" tells agents. The default is --external-hostname, and of the port --tunnel-port. Several servers over one store must be given the same, which lead to all of them.")
	fs.BoolVar(&o.TunnelAgents, "tunnel-agents", o.TunnelAgents, "Have agents connect to this server. If not, they are not told of it, and it reaches members through other servers over one store: those with this flag, or \"koinon tunnel\".")
	fs.StringVar(&o.TunnelPeerAddress, "tunnel-peer-address", "", "Where other servers over one store find the tunnel of this one, and of no other, `HOST:PORT`: a server hands connections to members on to one that the agent is connected to. The default is --tunnel-bind-address or, if that is all addresses, --advertise-address or the machine's own, with the port.")
	o.TunnelFrontends.addFlags(fs)
}

// aggregated says that the server is behind an existing host.
func (o *ServerOptions) aggregated() bool { return o.HostKubeconfig != "" || o.InCluster }

// runs says whether a component is part of this process.
func (o *ServerOptions) runs(component string) bool {
	return slices.Contains(o.Components, component) ||
		(slices.Contains(o.Components, allOnByDefault) && slices.Contains(onByDefault, component))
}

// runsHostControllers says whether the controllers of the host run in this process, with
// propagation or without.
func (o *ServerOptions) runsHostControllers() bool {
	return o.runs(componentControllers) || o.runs(componentHostControllers)
}

// Complete fills in what depends on other options. The environment is asked through getenv.
func (o *ServerOptions) Complete(getenv func(string) string) error {
	if o.Datastore == "" {
		o.Datastore = getenv(datastorecmd.Variable)
	}
	if o.BindAddress == nil {
		o.BindAddress = net.IPv4(127, 0, 0, 1)
		if o.aggregated() {
			o.BindAddress = net.IPv4zero
		}
	}
	if o.Generic.AdvertiseAddress == nil {
		o.Generic.AdvertiseAddress = o.reachableAddress()
	}
	if o.Generic.ExternalHost == "" {
		o.Generic.ExternalHost = o.Generic.AdvertiseAddress.String()
	}
	if o.TunnelBindAddress == nil {
		o.TunnelBindAddress = o.BindAddress
	}
	if o.TunnelFrontends.ProxyBindAddress == nil {
		o.TunnelFrontends.ProxyBindAddress = o.BindAddress
	}
	return o.Generic.Complete()
}

// reachableAddress is where clients on this machine find the server.
func (o *ServerOptions) reachableAddress() net.IP {
	if o.BindAddress.IsUnspecified() {
		return net.IPv4(127, 0, 0, 1)
	}
	return o.BindAddress
}

// Validate returns one sentence for each mistake.
func (o *ServerOptions) Validate() error {
	var errs []error
	for _, component := range o.Components {
		if component != allOnByDefault && !slices.Contains(components, component) {
			errs = append(errs, fmt.Errorf("--components has the unknown part %q: allowed are all, %s", component, strings.Join(components, ", ")))
		}
	}
	if len(o.Components) == 0 {
		errs = append(errs, errors.New("--components is empty: allowed are all, "+strings.Join(components, ", ")))
	}
	if o.SecurePort < 0 || o.SecurePort > 65535 {
		errs = append(errs, fmt.Errorf("--secure-port is %d: it must be between 0 and 65535", o.SecurePort))
	}
	if err := o.checkTunnel(); err != nil {
		errs = append(errs, err)
	}
	if o.ServicePort < 0 || o.ServicePort > 65535 {
		errs = append(errs, fmt.Errorf("--service-port is %d: it must be between 0 (the default) and 65535", o.ServicePort))
	}
	if err := checkAdminLifetime("--admin-certificate-lifetime", o.AdminCertificateLifetime); err != nil {
		errs = append(errs, err)
	}
	if o.ServingCertificateLifetime < minServingLifetime {
		errs = append(errs, fmt.Errorf("--serving-certificate-lifetime is %s: it must be %s or more", o.ServingCertificateLifetime, minServingLifetime))
	}
	if o.MaxConnectionAge < time.Second {
		errs = append(errs, fmt.Errorf("--max-connection-age is %s: it must be 1s or more", o.MaxConnectionAge))
	}
	if o.ConnectionDrainTimeout < 0 {
		errs = append(errs, fmt.Errorf("--connection-drain-timeout is %s: it must be 0s or more", o.ConnectionDrainTimeout))
	}
	if o.DatastoreMaxOpenConnections < 1 {
		errs = append(errs, fmt.Errorf("--datastore-max-open-connections is %d: it must be 1 or more", o.DatastoreMaxOpenConnections))
	}
	if o.DatastoreMaxIdleConnections < 1 {
		errs = append(errs, fmt.Errorf("--datastore-max-idle-connections is %d: it must be 1 or more", o.DatastoreMaxIdleConnections))
	}
	if err := checkEndpointURL(o.CellEndpointURL); err != nil {
		errs = append(errs, err)
	}
	if o.ProfileNamespace != "" {
		for _, message := range validation.IsDNS1123Label(o.ProfileNamespace) {
			errs = append(errs, fmt.Errorf("--cluster-profile-namespace is %q: %s", o.ProfileNamespace, message))
		}
	}
	for _, message := range validation.IsDNS1035Label(o.ServiceName) {
		errs = append(errs, fmt.Errorf("--service-name is %q: %s", o.ServiceName, message))
	}
	if o.InCluster && o.Datastore == "" && o.runs(componentAPIServer) {
		errs = append(errs, errors.New("--datastore is not given: with --in-cluster, where --data-dir is lost with the pod, it must be; sqlite:///PATH is for a single replica with a volume of its own"))
	}
	if o.HostKubeconfig != "" && o.InCluster {
		errs = append(errs, errors.New("--host-kubeconfig and --in-cluster are both given: the host is the one or the other"))
	}
	if !o.runs(componentAPIServer) && o.runsHostControllers() && !o.aggregated() {
		errs = append(errs, errors.New("--components has controllers without the apiserver: say with --host-kubeconfig or --in-cluster where the API is"))
	}
	if o.runs(componentAutonomy) && !o.aggregated() {
		errs = append(errs, errors.New("--components has autonomy: say with --host-kubeconfig or --in-cluster which cluster has the nodes"))
	}
	errs = append(errs, o.Generic.Validate()...)
	errs = append(errs, o.Audit.Validate()...)
	errs = append(errs, o.Traces.Validate()...)
	errs = append(errs, o.Features.Validate()...)
	errs = append(errs, o.Admission.Validate()...)
	return errors.Join(errs...)
}
