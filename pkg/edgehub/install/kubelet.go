package install

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/koinon-io/koinon/pkg/edgehub/identity"
	"github.com/koinon-io/koinon/pkg/keypair"
)

// Kubelet is where kubelet has what counts here. Of each file, the path may be empty: there is none.
type Kubelet struct {
	// Service is systemd's name of it.
	Service string
	// Kubeconfig, Bootstrap and Config are files, and CertDir is where it keeps certificates that it renews.
	Kubeconfig, Bootstrap, Config, CertDir string
}

// kubeadm is what kubeadm makes, and distributions after it.
var kubeadm = Kubelet{
	Service: "kubelet.service", Kubeconfig: "/etc/kubernetes/kubelet.conf", Bootstrap: "/etc/kubernetes/bootstrap-kubelet.conf", Config: "/var/lib/kubelet/config.yaml", CertDir: "/var/lib/kubelet/pki",
}

// Found is what is there before anything is changed.
type Found struct {
	Kubelet Kubelet
	// Node is the name of the node, as far as kubelet has one: in its certificate, or on its command line.
	Node string
	// Server and ServerName are as in identity.Kubeconfig.
	Server, ServerName string
	// own is kubelet's own kubeconfig, or that of its bootstrap token, with all that it names in it.
	own []byte
	// certificate is kubelet's own; nil if it has none.
	certificate *keypair.Pair
	// installed: kubelet uses the hub.
	installed bool
}

// Adopt is a file in which the hub finds kubelet's certificate, once it is installed; empty if kubelet has none.
func (i *Installer) Adopt(found *Found) string {
	if found.certificate == nil {
		return ""
	}
	return i.keptPath(ownFile)
}

// Look reads what is there. It changes nothing. The error is a sentence that says why the hub cannot be installed.
func (i *Installer) Look(ctx context.Context) (*Found, error) {
	if _, err := os.Stat(i.config.Booted); err != nil {
		return nil, errors.New("systemd does not run on this machine: docs/operations-edgehub.md says what to do by hand")
	}
	line, err := i.kubeletLine(ctx)
	if err != nil {
		return nil, err
	}
	found := &Found{Node: line.node}
	if found.Kubelet, err = i.kubelet(line); err != nil {
		return nil, err
	}
	if err := checkRotation(line, found.Kubelet.Config); err != nil {
		return nil, err
	}
	return found, i.readKubelet(found)
}

// kubelet is where kubelet has its files: where flags of ours say, its command line, or as kubeadm does it.
func (i *Installer) kubelet(line *commandLine) (Kubelet, error) {
	k := Kubelet{Service: i.service(), Bootstrap: cmp.Or(i.config.Bootstrap, line.bootstrap, kubeadm.Bootstrap), CertDir: cmp.Or(line.certDir, kubeadm.CertDir)}
	for _, f := range []struct {
		to                        *string
		ours, flag, said, running string
		usual                     string
	}{
		{&k.Kubeconfig, i.config.Kubeconfig, "--kubelet-kubeconfig", "--kubeconfig", line.kubeconfig, kubeadm.Kubeconfig},
		{&k.Config, i.config.KubeletConfig, "--kubelet-config", "--config", line.config, kubeadm.Config},
	} {
		if f.ours != "" && line.runs && f.ours != f.running {
			return k, fmt.Errorf("%s %s: kubelet runs with %s %q", f.flag, f.ours, f.said, f.running)
		}
		*f.to = f.running
		if !line.runs {
			*f.to = cmp.Or(f.ours, f.usual)
		}
	}
	if k.Kubeconfig == "" {
		return k, errors.New("kubelet runs without --kubeconfig: it is told of no API server, and so there is nothing for the hub to do")
	}
	return k, nil
}

// service is systemd's name of kubelet.
func (i *Installer) service() string {
	if name := i.config.Service; name != "" {
		return strings.TrimSuffix(name, ".service") + ".service"
	}
	return kubeadm.Service
}

// commandLine is that of kubelet.
type commandLine struct {
	// runs: kubelet runs, and what follows is what it runs with.
	runs                                                    bool
	kubeconfig, bootstrap, config, configDir, certDir, node string
	// rotates is whether the command line says that kubelet renews its certificate.
	rotates bool
}

// kubeletLine asks systemd for kubelet's process, and that for its command line.
func (i *Installer) kubeletLine(ctx context.Context) (*commandLine, error) {
	service := i.service()
	out, err := systemctl(ctx, "show", service, "--property=LoadState", "--property=MainPID")
	if err != nil {
		return nil, err
	}
	is := map[string]string{}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		is[name] = value
	}
	if is["LoadState"] != "loaded" {
		return nil, fmt.Errorf("systemd has no service %s (%s): --kubelet-service says what kubelet's is called", service, is["LoadState"])
	}
	pid, err := strconv.Atoi(is["MainPID"])
	if err != nil || pid <= 0 {
		return &commandLine{}, nil
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(text) == 0 { // it has ended meanwhile
		return &commandLine{}, nil
	}
	return parseLine(strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")), nil
}

// parseLine reads what counts of a command line.
func parseLine(args []string) *commandLine {
	line := &commandLine{runs: true}
	for at := 0; at < len(args); at++ {
		name, value, given := strings.Cut(strings.TrimLeft(args[at], "-"), "=")
		if !strings.HasPrefix(args[at], "-") {
			continue
		}
		to, path := map[string]*string{
			"kubeconfig": &line.kubeconfig, "bootstrap-kubeconfig": &line.bootstrap, "config": &line.config, "config-dir": &line.configDir, "cert-dir": &line.certDir, "hostname-override": &line.node,
		}[name], name != "hostname-override"
		if name == "rotate-certificates" {
			on, err := strconv.ParseBool(value)
			line.rotates = !given || on && err == nil
		}
		if to == nil {
			continue
		}
		if !given && at+1 < len(args) {
			at++
			value = args[at]
		}
		if path && value != "" && !filepath.IsAbs(value) {
			value = filepath.Join("/", value) // where systemd starts programs
		}
		*to = value
	}
	return line
}

// checkRotation says where kubelet is told to renew its certificate by something that is not changed here, and whether its configuration can be.
func checkRotation(line *commandLine, config string) error {
	if line.rotates {
		return errors.New("kubelet runs with --rotate-certificates, with which it would not use the hub's certificate: remove that flag, restart kubelet, and install again")
	}
	if err := checkDropIns(line.configDir); err != nil {
		return err
	}
	if config == "" {
		return nil
	}
	f, err := readText(config)
	if err != nil || !f.There {
		return err
	}
	on, err := rotation(f.data)
	if err == nil && on {
		_, err = withRotation(f.data, false)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", config, err)
	}
	return nil
}

// checkDropIns looks at configurations that come after kubelet's own.
func checkDropIns(dir string) error {
	if dir == "" {
		return nil
	}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".conf" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if on, err := rotation(text); err == nil && on {
			return fmt.Errorf("%s says %s: true after kubelet's own configuration: set it to false there, restart kubelet, and install again", path, rotationKey)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// readKubelet reads kubelet's own kubeconfig: the one that is there, or was before the hub came, or has its bootstrap token.
func (i *Installer) readKubelet(found *Found) error {
	now, err := readText(found.Kubelet.Kubeconfig)
	if err != nil {
		return err
	}
	if found.installed, err = i.isHubs(now); err != nil {
		return err
	}
	switch {
	case found.installed:
		if now, err = i.ownKubeconfig(now); err != nil {
			return err
		}
	case !now.There:
		if now, err = readText(found.Kubelet.Bootstrap); err != nil {
			return err
		}
		if !now.There {
			return fmt.Errorf("kubelet has neither %s nor %s: one of them is needed, as \"kubeadm join\" makes it", found.Kubelet.Kubeconfig, found.Kubelet.Bootstrap)
		}
	}
	own, err := identity.ParseKubeconfig(now.data, filepath.Dir(now.Path))
	if err == nil {
		err = found.take(own)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", now.Path, err)
	}
	return nil
}

// ownKubeconfig is what kubelet had before it was given one of the hub.
func (i *Installer) ownKubeconfig(hubs file) (file, error) {
	original, err := i.original()
	if err != nil {
		return file{}, err
	}
	own, err := readText(i.keptPath(ownFile))
	if err != nil {
		return file{}, err
	}
	if original == nil || !own.There {
		return file{}, fmt.Errorf("%s is a hub's, and %s does not have what kubelet had before: put kubelet's own there, or say the --state-dir with which the hub was installed", hubs.Path, i.keptPath(""))
	}
	return own, nil
}

// hubAuthority is the authority of the hub that a kubeconfig is for; nil if it is for none, or is none, which is said by whoever needs it.
func hubAuthority(kubeconfig file) *x509.Certificate {
	config, err := identity.ParseKubeconfig(kubeconfig.data, filepath.Dir(kubeconfig.Path))
	if err != nil {
		return nil
	}
	authority, err := keypair.ParseCertificate(config.CA)
	if err != nil || authority.Subject.CommonName != identity.AuthorityName {
		return nil
	}
	return authority
}

// isHubs says whether a kubeconfig is for the hub of this directory: one that was installed with it, whatever authority it has now, since that may have been damaged or revoked. One for another hub is an error: nobody knows
// what was there before.
func (i *Installer) isHubs(kubeconfig file) (bool, error) {
	if !kubeconfig.There {
		return false, nil
	}
	authority := hubAuthority(kubeconfig)
	if authority == nil {
		return false, nil
	}
	original, err := i.original()
	if err != nil || original != nil && original.Files[kubeconfigRole].Path == kubeconfig.Path {
		return err == nil, err
	}
	text, err := os.ReadFile(filepath.Join(i.config.StateDir, identity.AuthorityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // there was one
	}
	if err != nil {
		return false, err
	}
	ours, err := keypair.ParseCertificate(text)
	if err != nil {
		return false, fmt.Errorf("%s: %w", i.config.StateDir, err)
	}
	if !bytes.Equal(ours.Raw, authority.Raw) {
		return false, fmt.Errorf("%s is for another hub than that of %s: say the --state-dir with which that was installed", kubeconfig.Path, i.config.StateDir)
	}
	return true, nil
}

// take takes what kubelet's own kubeconfig says.
func (f *Found) take(own *identity.Kubeconfig) error {
	if own.ProxyURL != "" {
		return fmt.Errorf("it has proxy-url: remove it, and say HTTPS_PROXY=%s in /etc/default/koinon-edgehub, which the hub's service reads", own.ProxyURL)
	}
	var err error
	if f.own, err = own.Encode("kubelet"); err != nil {
		return err
	}
	f.Server, f.ServerName = own.Server, own.ServerName
	if own.Certificate == nil {
		if own.Token == "" {
			return errors.New("it has neither a certificate nor a token: the hub takes the one that kubelet has, and knows no other ways to sign on")
		}
		return nil
	}
	pair, err := keypair.ParsePair(own.Certificate, own.Key)
	if err != nil {
		return fmt.Errorf("its certificate %w", err)
	}
	node, ok := strings.CutPrefix(pair.Certificate.Subject.CommonName, "system:node:")
	if !ok || node == "" {
		return fmt.Errorf("its certificate is for %q, and not for a node: CN=system:node:NAME is needed", pair.Certificate.Subject)
	}
	f.Node, f.certificate = node, &pair
	return nil
}
