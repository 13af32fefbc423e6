package ipam

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"strings"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/utils"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/koinon-io/koinon/pkg/edgehub/ipam/book"
)

// Type is what the plugin is called in a network's configuration.
const Type = "koinon-ipam"

// object is JSON of which most is handed on as it came.
type object map[string]json.RawMessage

// Settings are ipam.koinon of a network's configuration.
type Settings struct {
	// Delegate is the IPAM plugin that does the rest: host-local by default.
	Delegate string `json:"delegate"`
	// StateDir is where the book is: book.DefaultDir by default. Networks may share it.
	StateDir string `json:"stateDir"`
	// Volatile allows a StateDir that a reboot empties.
	Volatile bool `json:"volatile"`
}

// config is a network's configuration.
type config struct {
	Settings
	name, version string
	all, ipam     object
	// asked: there are addresses in it that somebody wants.
	asked bool
	// attachments are those that the runtime knows, for GC.
	attachments []types.GCAttachment
}

func parseConfig(stdin []byte) (*config, error) {
	c := &config{Settings: Settings{Delegate: "host-local", StateDir: book.DefaultDir}}
	if err := json.Unmarshal(stdin, &c.all); err != nil {
		return nil, invalid("read it: %v", err)
	}
	if c.all["ipam"] == nil {
		return nil, invalid("ipam is missing")
	}
	if err := json.Unmarshal(c.all["ipam"], &c.ipam); err != nil {
		return nil, invalid("read ipam: %v", err)
	}
	var known struct {
		types.NetConf
		Args struct {
			CNI struct {
				IPs []any `json:"ips"`
			} `json:"cni"`
		} `json:"args"`
		RuntimeConfig struct {
			IPs []any `json:"ips"`
		} `json:"runtimeConfig"`
	}
	if err := json.Unmarshal(stdin, &known); err != nil {
		return nil, invalid("read it: %v", err)
	}
	c.name, c.version, c.attachments = known.Name, known.CNIVersion, known.ValidAttachments
	c.asked = len(known.Args.CNI.IPs)+len(known.RuntimeConfig.IPs) > 0
	return c, c.settings()
}

func (c *config) settings() error {
	if text, ok := c.ipam["koinon"]; ok {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&c.Settings); err != nil {
			return invalid("read ipam.koinon: %v; delegate, stateDir and volatile are allowed", err)
		}
	}
	if c.Delegate == Type || c.Delegate == "" {
		return invalid("ipam.koinon.delegate: %q cannot be delegated to", c.Delegate)
	}
	if !strings.HasPrefix(c.StateDir, "/") {
		return invalid("ipam.koinon.stateDir: %q is no absolute path", c.StateDir)
	}
	return nil
}

func invalid(format string, args ...any) error {
	return types.NewError(types.ErrInvalidNetworkConfig, "network configuration: "+fmt.Sprintf(format, args...), "")
}

// delegateVersion is the newest version of CNI that the delegate is spoken to in: host-local 1.1, which Debian 12 has, knows no newer one, and for ADD, DEL and CHECK of an
// IPAM plugin there is none.
const delegateVersion = "1.0.0"

// forDelegate returns the configuration that the delegate is called with, in a version of CNI: ours, with the delegate's type, and with these addresses asked for instead
// of those that were.
func (c *config) forDelegate(of string, ips []netip.Addr) ([]byte, error) {
	all, ipam := maps.Clone(c.all), maps.Clone(c.ipam)
	delete(ipam, "koinon")
	runtime := object{}
	if text, ok := all["runtimeConfig"]; ok {
		if err := json.Unmarshal(text, &runtime); err != nil {
			return nil, invalid("read runtimeConfig: %v", err)
		}
	}
	if ips != nil {
		runtime["ips"] = must(ips)
		if c.asked {
			delete(all, "args") // they are what the pod of this call wants, and this is about another's
		}
	}
	ipam["type"], all["cniVersion"] = must(c.Delegate), must(of)
	all["ipam"], all["runtimeConfig"] = must(ipam), must(runtime)
	return json.Marshal(all)
}

// must is for what is JSON already, and for strings.
func must(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// spoken returns the version of CNI in which ADD, DEL and CHECK of the delegate are.
func (c *config) spoken() string {
	if newer, err := version.GreaterThan(c.version, delegateVersion); err == nil && newer {
		return delegateVersion
	}
	return c.version
}

// pod is what CNI_ARGS say.
type pod struct {
	uid, namespace, name string
	// asked: there is an address that somebody wants.
	asked bool
}

// parseArgs reads CNI_ARGS. What is wrong with the rest of them the delegate says.
func parseArgs(args *skel.CmdArgs) (pod, error) {
	var p pod
	for pair := range strings.SplitSeq(args.Args, ";") {
		key, value, _ := strings.Cut(pair, "=")
		switch key {
		case "K8S_POD_UID":
			p.uid = value
		case "K8S_POD_NAMESPACE":
			p.namespace = value
		case "K8S_POD_NAME":
			p.name = value
		case "IP":
			p.asked = value != ""
		}
	}
	if p.uid == "" {
		return p, nil
	}
	// It is a part of the container ID that the delegate is given.
	if err := utils.ValidateContainerID(p.uid); err != nil || len(p.uid) > 128 {
		return p, types.NewError(types.ErrInvalidEnvironmentVariables, fmt.Sprintf("CNI_ARGS: K8S_POD_UID=%.40q: letters, digits, - _ and . are allowed, at most 128", p.uid), "")
	}
	return p, nil
}
