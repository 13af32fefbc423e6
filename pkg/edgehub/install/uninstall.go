package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/koinon-io/koinon/pkg/edgehub/identity"
	"github.com/koinon-io/koinon/pkg/keypair"
)

// Uninstall has kubelet use the API server again, with a certificate that is good, and removes the hub. What the hub keeps stays, unless it is to be purged.
func (i *Installer) Uninstall(ctx context.Context, purge bool) error {
	if _, err := os.Stat(i.config.Booted); err != nil {
		return errors.New("systemd does not run on this machine: docs/operations-edgehub.md says what to do by hand")
	}
	unfinished, err := i.before()
	if err == nil {
		err = i.Finish(ctx)
	}
	if err != nil {
		return err
	}
	original, err := i.original()
	if err != nil {
		return err
	}
	switch {
	case original != nil && !(i.config.DryRun && unfinished != nil): // which would say what is undone already
		err = i.uninstall(ctx, original)
	case unfinished == nil && !purge:
		err = fmt.Errorf("no hub is installed here: there is no %s", i.keptPath(originalFile))
	}
	if err == nil && purge {
		err = i.purge(ctx, original, unfinished)
	}
	return err
}

func (i *Installer) uninstall(ctx context.Context, original *snapshot) error {
	if err := i.turnBack(original); err != nil {
		return err
	}
	if err := i.restoreAll(original, dropInRole); err != nil {
		return err
	}
	if err := i.systemctlAll(ctx, []string{"daemon-reload"}, []string{"restart", original.Kubelet.Service}); err != nil {
		return err
	}
	if err := i.removeInstalled(ctx, original); err != nil {
		return err
	}
	for _, name := range []string{beforeProgram, ownFile, originalFile} {
		if err := i.machine.remove(i.keptPath(name)); err != nil {
			return err
		}
	}
	return nil
}

// removeInstalled removes the service, and the program if it was not there before.
func (i *Installer) removeInstalled(ctx context.Context, original *snapshot) error {
	if err := i.disable(ctx, original); err != nil {
		return err
	}
	if err := i.machine.restore(original.Files[unitRole]); err != nil {
		return err
	}
	if program := original.Files[programRole]; !program.There {
		if err := i.machine.remove(program.Path); err != nil {
			return err
		}
	}
	return i.machine.systemctl(ctx, "daemon-reload")
}

// turnBack has kubelet's files be what they were, with the newest certificate. What somebody else has put there stays.
func (i *Installer) turnBack(was *snapshot) error {
	kubeconfig := was.Files[kubeconfigRole]
	now, err := readText(kubeconfig.Path)
	if err != nil {
		return err
	}
	ours, err := i.isHubs(now)
	if err != nil {
		return err
	}
	switch {
	case ours:
		restored := kubeconfig
		if hubAuthority(kubeconfig) == nil { // else the hub was there before
			if restored, err = i.handOver(was); err != nil {
				return err
			}
		}
		if err := i.machine.restore(restored); err != nil {
			return err
		}
	case now.Text != kubeconfig.Text:
		i.config.Say("Leave " + now.Path + " as it is: it is not for the hub any more")
	}
	return i.turnBackConfig(was.Files[configRole])
}

// turnBackConfig has kubelet renew its certificate again, if it did.
func (i *Installer) turnBackConfig(was file) error {
	if !renews(was) {
		return nil
	}
	now, err := readText(was.Path)
	if err != nil {
		return err
	}
	if !now.There || renews(now) {
		return nil
	}
	text, err := withRotation(was.data, false)
	if err != nil {
		return err
	}
	if string(text) == now.Text {
		return i.machine.restore(was)
	}
	// Somebody has changed it.
	if text, err = withRotation(now.data, true); err != nil {
		i.config.Say("Leave " + now.Path + " as it is: somebody has changed it. For kubelet to renew its certificate, as it did, write " + rotationKey + ": true there")
		return nil
	}
	return i.machine.write(now.Path, text, now.Mode)
}

// spare is an error if kubelet needs what the hub keeps: it uses the hub, or the hub has a certificate that is good for longer than kubelet's.
func (i *Installer) spare(ctx context.Context, known ...*snapshot) error {
	path := filepath.Join(i.config.StateDir, identity.NodeFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	newest, err := keypair.ParsePair(text, text)
	if err != nil { // nobody can use it
		return nil
	}
	byHand := fmt.Sprintf("If this machine is to be no node any more, remove %s by hand, and purge again", path)
	kubelet, err := i.kubeletOf(ctx, known...)
	if err != nil {
		return fmt.Errorf("nothing is removed: %s may be good for longer than what kubelet has, which was not found: %w. %s", path, err, byHand)
	}
	now, err := readText(kubelet.Kubeconfig)
	if err != nil {
		return err
	}
	if hubAuthority(now) != nil {
		return fmt.Errorf("nothing is removed: %s is a hub's, and kubelet would have none", now.Path)
	}
	if own, err := identity.ParseKubeconfig(now.data, filepath.Dir(now.Path)); err == nil && now.There {
		has, err := keypair.ParsePair(own.Certificate, own.Key)
		switch {
		case err != nil && own.Certificate == nil && own.Token != "": // it knows another way to sign on
			return nil
		case err == nil && (has.Certificate.Subject.CommonName != newest.Certificate.Subject.CommonName || !newest.Certificate.NotAfter.After(has.Certificate.NotAfter)):
			return nil
		}
	}
	return fmt.Errorf("nothing is removed: the certificate in %s is good until %s, for longer than what kubelet has in %s. %s",
		path, newest.Certificate.NotAfter.UTC().Format(time.RFC3339), now.Path, byHand)
}

// kubeletOf is where kubelet has its files, as it was written down, or as it is now.
func (i *Installer) kubeletOf(ctx context.Context, known ...*snapshot) (Kubelet, error) {
	for _, s := range known {
		if s != nil {
			return s.Kubelet, nil
		}
	}
	line, err := i.kubeletLine(ctx)
	if err != nil {
		return Kubelet{}, err
	}
	return i.kubelet(line)
}

// purge removes what the hub keeps: files that it knows, and the directory if nothing else is in it.
func (i *Installer) purge(ctx context.Context, known ...*snapshot) error {
	if !i.config.DryRun { // in which kubelet has not got the hub's certificate
		if err := i.spare(ctx, known...); err != nil {
			return err
		}
	}
	for _, pattern := range append(identity.Files(), "cache.db*", "notes.db*", keptDir, "tunnel") {
		paths, err := filepath.Glob(filepath.Join(strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(i.config.StateDir), pattern))
		if err != nil {
			return err
		}
		for _, path := range paths {
			if err := i.machine.do("Remove "+path, func() error { return os.RemoveAll(path) }); err != nil {
				return err
			}
		}
	}
	if !i.config.DryRun {
		_ = os.Remove(i.config.StateDir) // or there is something of somebody else
	}
	return nil
}
