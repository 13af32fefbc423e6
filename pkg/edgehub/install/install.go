package install

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/koinon-io/koinon/pkg/edgehub/identity"
	"github.com/koinon-io/koinon/pkg/keypair"
)

// Config says where things are. What is not said to be required may be empty.
type Config struct {
	// StateDir is the hub's, BinDir is for its program, and UnitDir for systemd's units. All are required, and absolute.
	StateDir, BinDir, UnitDir string
	// Service, Kubeconfig, KubeletConfig and Bootstrap are kubelet's, if they are not where its command line says, or kubeadm has them.
	Service, Kubeconfig, KubeletConfig, Bootstrap string
	// Booted is a directory that is there if systemd runs; empty is systemd's own.
	Booted string
	// Timeout is how long the hub may take to be ready, and then kubelet to use it. It is required.
	Timeout time.Duration
	// Settle is for how long the hub has to have known everything that it is asked for; 0 is 5 seconds.
	Settle time.Duration
	// Say is told everything that is done, before. It is required.
	Say func(string)
	// DryRun has everything said, and nothing done.
	DryRun bool
	// Ask asks the hub how it is. It is required by Install.
	Ask func(context.Context) (*Answer, error)
}

// Answer is how the hub is.
type Answer struct {
	// Node is whose hub it is.
	Node string
	// Problem is why it is not ready; nil if it is.
	Problem error
	// Kubelet is when kubelet has used it last; zero if it has not.
	Kubelet time.Time
	// Asked is how much it has been asked for, and Unknown is what of that it does not know yet; empty if it knows all.
	Asked   int
	Unknown string
}

// Hub is what is installed.
type Hub struct {
	// Program is the file that is copied, and Args is how it is run.
	Program string
	Args    []string
	// Node and Server are what kubelet's kubeconfig is to say, and Kubeconfig makes one.
	Node, Server string
	Kubeconfig   func() ([]byte, error)
}

// Installer installs the hub, and uninstalls it.
type Installer struct {
	config  Config
	machine *machine
}

// New checks a config.
func New(config Config) (*Installer, error) {
	for flag, dir := range map[string]string{"--state-dir": config.StateDir, "--bin-dir": config.BinDir, "--unit-dir": config.UnitDir} {
		if !filepath.IsAbs(dir) {
			return nil, fmt.Errorf("%s %q: an absolute path is needed", flag, dir)
		}
	}
	if config.Timeout <= 0 {
		return nil, fmt.Errorf("--timeout %s: more than 0s is needed", config.Timeout)
	}
	if config.Booted == "" {
		config.Booted = "/run/systemd/system"
	}
	if config.Settle == 0 {
		config.Settle = 5 * time.Second
	}
	return &Installer{config, &machine{config.Say, config.DryRun}}, nil
}

// Install installs the hub on a machine as Look has found it, or changes one that is installed. It returns once kubelet uses it, or puts back everything and says why.
func (i *Installer) Install(ctx context.Context, found *Found, hub Hub) error {
	now, err := i.take(found.Kubelet)
	if err != nil {
		return err
	}
	original, err := i.original()
	if err != nil {
		return err
	}
	if err := i.sameAs(original, now); err != nil {
		return err
	}
	unit, err := unitText(found.Kubelet.Service, i.config.StateDir, append([]string{now.Files[programRole].Path}, hub.Args...)...)
	if err != nil {
		return err
	}
	if err := i.begin(now); err != nil {
		return err
	}
	err = i.install(ctx, found, hub, now, newOriginal(now, original, found.installed), unit)
	if err == nil {
		return i.done()
	}
	i.config.Say("Failed: " + err.Error())
	if undone := i.undo(context.WithoutCancel(ctx), now); undone != nil {
		return fmt.Errorf("%w; and putting back what was there failed: %w; \"koinon-edgehub uninstall\" tries that again", err, undone)
	}
	return fmt.Errorf("%w; everything is as it was before", err)
}

// sameAs checks that an installed hub is where it is to be: what is elsewhere would stay.
func (i *Installer) sameAs(original, now *snapshot) error {
	if original == nil {
		return nil
	}
	for role, f := range original.Files {
		if is := now.Files[role].Path; f.Path != is {
			return fmt.Errorf("the hub is installed with %s, which would be %q now: uninstall it first", f.Path, is)
		}
	}
	return nil
}

func (i *Installer) install(ctx context.Context, found *Found, hub Hub, now, original *snapshot, unit string) error {
	if err := i.keepOriginal(found, original); err != nil {
		return err
	}
	changed, err := i.writeService(hub, now, unit)
	if err != nil {
		return err
	}
	// A hub that runs has the authority of before, if that was moved away since.
	if err := i.startService(ctx, changed || !i.isFor(now.Files[kubeconfigRole], hub)); err != nil {
		return err
	}
	if err := i.awaitHub(ctx, hub); err != nil {
		return err
	}
	return i.turnKubelet(ctx, found, hub, now)
}

// keepOriginal writes down what is to be there again when the hub is uninstalled, and what of kubelet's the hub takes.
func (i *Installer) keepOriginal(found *Found, original *snapshot) error {
	text, err := original.encode()
	if err != nil {
		return err
	}
	if err := i.machine.write(i.keptPath(originalFile), text, 0o600); err != nil {
		return err
	}
	if found.installed {
		return nil
	}
	if err := i.machine.write(i.keptPath(ownFile), found.own, 0o600); err != nil {
		return err
	}
	if found.certificate == nil {
		return nil
	}
	return i.forgetOlder(found.certificate.Certificate)
}

// forgetOlder removes a certificate that the hub had when it was installed the last time, if kubelet's is good for longer: the hub would not take that.
func (i *Installer) forgetOlder(kubelets *x509.Certificate) error {
	path := filepath.Join(i.config.StateDir, identity.NodeFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil // there is none, or the hub will say so
	}
	held, err := keypair.ParsePair(text, text)
	switch {
	case err == nil && held.Certificate.Subject.CommonName != kubelets.Subject.CommonName:
		return fmt.Errorf("%s is for %q, and kubelet's certificate for %q: if the node has another name now, \"koinon-edgehub uninstall --purge\" has the hub forget the other", path,
			held.Certificate.Subject.CommonName, kubelets.Subject.CommonName)
	case err != nil || held.Certificate.NotAfter.Before(kubelets.NotAfter):
		return i.machine.remove(path)
	}
	return nil
}

// writeService writes the program and its service, and says whether anything has changed.
func (i *Installer) writeService(hub Hub, now *snapshot, unit string) (changed bool, err error) {
	added, err := dropInText(now.Files[programRole].Path, now.Kubelet.Config, now.Kubelet.Kubeconfig)
	if err != nil {
		return false, err
	}
	text, err := os.ReadFile(hub.Program)
	if err != nil {
		return false, fmt.Errorf("read the program: %w", err)
	}
	for _, f := range []struct {
		role role
		data []byte
		mode os.FileMode
	}{{programRole, text, 0o755}, {unitRole, []byte(unit), 0o644}, {dropInRole, []byte(added), 0o644}} {
		was := now.Files[f.role]
		changed = changed || !was.There || !bytes.Equal(was.data, f.data)
		if err := i.machine.write(was.Path, f.data, f.mode); err != nil {
			return false, err
		}
	}
	return changed, nil
}

// startService has systemd run the hub, and starts it again if anything of it, or its authority, has changed.
func (i *Installer) startService(ctx context.Context, changed bool) error {
	how := "start"
	if changed {
		how = "restart"
	}
	for _, args := range [][]string{{"daemon-reload"}, {"enable", serviceName}, {how, serviceName}} {
		if err := i.machine.systemctl(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// awaitHub waits until the hub is ready.
func (i *Installer) awaitHub(ctx context.Context, hub Hub) error {
	return i.await(ctx, "the hub is ready", func(a *Answer) error {
		if a.Node != hub.Node {
			return fmt.Errorf("the hub that answers is of the node %q, and this one is %q", a.Node, hub.Node)
		}
		return a.Problem
	})
}

// turnKubelet has kubelet use the hub.
func (i *Installer) turnKubelet(ctx context.Context, found *Found, hub Hub, now *snapshot) error {
	config, turned := now.Files[configRole], i.isFor(now.Files[kubeconfigRole], hub)
	var seen time.Time
	if turned && !renews(config) {
		return i.awaitKubelet(ctx, seen)
	}
	if err := i.unchanged(now); err != nil {
		return err
	}
	if err := i.machine.do("Note that kubelet's files are changed from here on", func() error { now.Changing = true; return i.keepBefore(now) }); err != nil {
		return err
	}
	if renews(config) {
		text, err := withRotation(config.data, false)
		if err != nil {
			return err
		}
		if err := i.machine.write(config.Path, text, config.Mode); err != nil {
			return err
		}
	}
	if err := i.writeKubeconfig(now.Files[kubeconfigRole], turned, hub); err != nil {
		return err
	}
	if !i.config.DryRun {
		if a, err := i.config.Ask(ctx); err == nil {
			seen = a.Kubelet
		}
	}
	if err := i.machine.systemctl(ctx, "restart", found.Kubelet.Service); err != nil {
		return err
	}
	return i.awaitKubelet(ctx, seen)
}

// writeKubeconfig writes kubelet's kubeconfig, unless it is right already. In a dry run there may be no authority yet, and none is made.
func (i *Installer) writeKubeconfig(was file, turned bool, hub Hub) error {
	if turned {
		return nil
	}
	if i.config.DryRun {
		return i.machine.write(was.Path, nil, 0o600)
	}
	text, err := hub.Kubeconfig()
	if err != nil {
		return err
	}
	return i.machine.write(was.Path, text, 0o600)
}

// isFor says whether a kubeconfig is for this hub as it is to be, with the authority that it has now.
func (i *Installer) isFor(kubeconfig file, hub Hub) bool {
	text, err := os.ReadFile(filepath.Join(i.config.StateDir, identity.AuthorityFile))
	if err != nil {
		return false
	}
	own, err := keypair.ParseCertificate(text)
	if authority := hubAuthority(kubeconfig); err != nil || authority == nil || !authority.Equal(own) {
		return false
	}
	config, err := identity.ParseKubeconfig(kubeconfig.data, "")
	if err != nil || config.Server != hub.Server {
		return false
	}
	pair, err := keypair.ParsePair(config.Certificate, config.Key)
	return err == nil && pair.Certificate.Subject.CommonName == "system:node:"+hub.Node
}

// unchanged checks that kubelet's files are as they were a moment ago.
func (i *Installer) unchanged(now *snapshot) error {
	for _, role := range []role{kubeconfigRole, configRole} {
		was, ok := now.Files[role]
		if !ok {
			continue
		}
		is, err := readText(was.Path)
		if err != nil {
			return err
		}
		if is.There != was.There || is.Text != was.Text {
			return fmt.Errorf("somebody has changed %s meanwhile", was.Path)
		}
	}
	return nil
}

// awaitKubelet waits until kubelet has used the hub after a time at which it has, and the hub knows what kubelet needs without the cloud. What pods need is asked for when pods are known: for some time nothing more
// is to be asked for, which is time enough for the disk, too.
func (i *Installer) awaitKubelet(ctx context.Context, seen time.Time) error {
	var since time.Time
	asked := -1
	return i.await(ctx, "kubelet uses it", func(a *Answer) error {
		switch {
		case a.Kubelet.IsZero() || a.Kubelet.Equal(seen):
			return errors.New("kubelet has not renewed its Lease there: \"journalctl -u kubelet\" may say why")
		case a.Unknown != "":
			asked = -1
			return fmt.Errorf("what kubelet needs is not known yet: %s", a.Unknown)
		case a.Asked != asked:
			since, asked = time.Now(), a.Asked
		}
		if time.Since(since) < i.config.Settle {
			return errors.New("kubelet asks for more and more")
		}
		return nil
	})
}

// askEvery is how often the hub is asked how it is.
const askEvery = 200 * time.Millisecond

// await waits until the hub is as a step wants it.
func (i *Installer) await(ctx context.Context, what string, well func(*Answer) error) error {
	return i.machine.do("Wait until "+what, func() error {
		ctx, cancel := context.WithTimeout(ctx, i.config.Timeout)
		defer cancel()
		ticker := time.NewTicker(askEvery)
		defer ticker.Stop()
		why := errors.New("the hub has not answered")
		for {
			answer, err := i.config.Ask(ctx)
			if err == nil {
				err = well(answer)
			}
			if err == nil {
				return nil
			}
			if ctx.Err() == nil { // else it says no more than that
				why = err
			}
			select {
			case <-ctx.Done():
				if errors.Is(ctx.Err(), context.Canceled) {
					return fmt.Errorf("given up to wait until %s: %w", what, why)
				}
				return fmt.Errorf("waited for %s until %s: %w", i.config.Timeout, what, why)
			case <-ticker.C:
			}
		}
	})
}
