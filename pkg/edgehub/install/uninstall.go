package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/koinon-io/koinon/pkg/edgehub/identity"
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
		err = i.purge()
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
func (i *Installer) turnBack(original *snapshot) error {
	kubeconfig := original.Files[kubeconfigRole]
	now, err := readText(kubeconfig.Path)
	if err != nil {
		return err
	}
	ours, err := i.isHubs(now)
	if err != nil {
		return err
	}
	if ours {
		restored, err := i.handOver(original)
		if err != nil {
			return err
		}
		err = i.machine.restore(restored)
		if err != nil {
			return err
		}
	} else if now.Text != kubeconfig.Text {
		i.config.Say("Leave " + now.Path + " as it is: it is not for the hub any more")
	}
	return i.turnBackConfig(original.Files[configRole])
}

// turnBackConfig has kubelet renew its certificate again, if it did.
func (i *Installer) turnBackConfig(was file) error {
	was.data = []byte(was.Text)
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

// purge removes what the hub keeps: files that it knows, and the directory if nothing else is in it.
func (i *Installer) purge() error {
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
