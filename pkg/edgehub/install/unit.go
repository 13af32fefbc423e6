package install

import (
	"fmt"
	"strings"
)

const (
	// program is the name of the program, and serviceName that of its service.
	program     = "koinon-edgehub"
	serviceName = program + ".service"
	dropInName  = "50-" + program + ".conf"
)

// unit is the service of the hub. It waits for no network, since it is there for when there is none; systemd starts it again for ever. Of what root may, it keeps what adding an address to loopback needs.
const unit = `# The Koinon edge hub is the API server of this node's programs. "koinon-edgehub install" has written this, and writes it anew.
[Unit]
Description=Koinon edge hub
Documentation=https://github.com/koinon-io/koinon/blob/main/docs/operations-edgehub.md
After=network.target
Before=KUBELET
RequiresMountsFor=STATE
StartLimitIntervalSec=0

[Service]
Type=simple
ExecStart=COMMAND
# HTTPS_PROXY and NO_PROXY, if the API server is reached by a proxy.
EnvironmentFile=-/etc/default/koinon-edgehub
Restart=always
RestartSec=2
TimeoutStopSec=10
OOMScoreAdjust=-900
LimitNOFILE=65536
UMask=0077
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_BIND_SERVICE CAP_DAC_READ_SEARCH
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=read-only
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=full
ReadWritePaths=-STATE
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
`

// dropIn has kubelet be started after the hub, and with it. It does not end with it: the hub is started again.
const dropIn = `# "koinon-edgehub install" has written this.
[Unit]
Wants=` + serviceName + `
After=` + serviceName + `
`

// holdRotation has kubelet leave its certificate to the hub whatever becomes of its configuration: see HoldRotation.
const holdRotation = `
[Service]
# "kubeadm upgrade" writes kubelet's configuration anew, with which kubelet would not use the hub's certificate.
ExecStartPre=-COMMAND
`

// HoldCommand is the command of the program that calls HoldRotation.
const HoldCommand = "hold"

// dropInText is what is added to kubelet's service, which reads a configuration, empty if it has none, and a kubeconfig.
func dropInText(program, config, kubeconfig string) (string, error) {
	if config == "" {
		return dropIn, nil
	}
	var words []string
	for _, word := range []string{program, HoldCommand, config, kubeconfig} {
		if err := inLine(word); err != nil {
			return "", err
		}
		words = append(words, quote(word))
	}
	return dropIn + strings.ReplaceAll(holdRotation, "COMMAND", strings.Join(words, " ")), nil
}

// inLine is an error if a word cannot be in a line of a service.
func inLine(word string) error {
	if strings.ContainsFunc(word, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("%q cannot be in a service: it has characters that are none of a line", word)
	}
	return nil
}

// unitText is the service that runs a command line.
func unitText(kubelet, stateDir string, command ...string) (string, error) {
	var words []string
	for _, word := range append([]string{stateDir}, command...) {
		if err := inLine(word); err != nil {
			return "", err
		}
		words = append(words, quote(word))
	}
	// What systemd replaces in command lines alone.
	words[0] = strings.ReplaceAll(words[0], "$$", "$")
	return strings.NewReplacer("KUBELET", kubelet, "STATE", words[0], "COMMAND", strings.Join(words[1:], " \\\n  ")).Replace(unit), nil
}

// quote writes a word so that systemd reads it as it is.
func quote(word string) string {
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`, `$`, `$$`).Replace(word)
	if quoted == "" || quoted != word || strings.ContainsAny(word, " ';") {
		return `"` + quoted + `"`
	}
	return quoted
}
