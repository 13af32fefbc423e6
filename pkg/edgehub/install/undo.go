package install

import (
	"context"
	"os"
	"path/filepath"
)

// Unfinished reports whether the install of a hub with a directory is not done: it goes on now, or was killed.
func Unfinished(stateDir string) bool {
	_, err := os.Stat(filepath.Join(stateDir, keptDir, beforeFile))
	return err == nil
}

// Finish puts back what an install that was killed has changed. That may be long ago: kubelet gets the newest certificate.
func (i *Installer) Finish(ctx context.Context) error {
	before, err := i.before()
	if err != nil || before == nil {
		return err
	}
	i.config.Say("An install was not finished: putting back what was there")
	return i.undo(ctx, before)
}

// undo has everything be as it was, in an order in which kubelet works at each moment. It may be done again from the beginning.
func (i *Installer) undo(ctx context.Context, before *snapshot) error {
	hadHub := before.Files[unitRole].There
	if before.Changing {
		if err := i.turnBack(before); err != nil {
			return err
		}
	}
	if err := i.restoreAll(before, dropInRole); err != nil {
		return err
	}
	if hadHub {
		if err := i.restoreService(before); err != nil {
			return err
		}
		if err := i.systemctlAll(ctx, []string{"daemon-reload"}, []string{"restart", serviceName}); err != nil {
			return err
		}
	}
	if before.Changing {
		if err := i.systemctlAll(ctx, []string{"daemon-reload"}, []string{"restart", before.Kubelet.Service}); err != nil {
			return err
		}
	}
	if !hadHub {
		if err := i.removeService(ctx, before); err != nil {
			return err
		}
	}
	if err := i.restoreAll(before, originalRole, ownRole); err != nil {
		return err
	}
	return i.done()
}

func (i *Installer) restoreAll(s *snapshot, roles ...role) error {
	for _, role := range roles {
		if f, ok := s.Files[role]; ok {
			if err := i.machine.restore(f); err != nil {
				return err
			}
		}
	}
	i.removeEmpty(s)
	return nil
}

// removeEmpty removes the directory of the drop-in, if nothing is in it.
func (i *Installer) removeEmpty(s *snapshot) {
	if !i.config.DryRun {
		_ = os.Remove(filepath.Dir(s.Files[dropInRole].Path)) // or there is something
	}
}

// restoreService has the program and the service be as they were.
func (i *Installer) restoreService(before *snapshot) error {
	if err := i.restoreProgram(before.Files[programRole]); err != nil {
		return err
	}
	return i.restoreAll(before, unitRole)
}

func (i *Installer) restoreProgram(was file) error {
	if !was.There {
		return i.machine.remove(was.Path)
	}
	text, err := os.ReadFile(i.keptPath(beforeProgram))
	if err != nil {
		return err
	}
	return i.machine.writeAs(was.Owner, was.Path, text, was.Mode)
}

// disable ends the hub, and has systemd not start it again. systemd may not know it: an install did not come so far, or an uninstall was further.
func (i *Installer) disable(ctx context.Context, s *snapshot) error {
	now, err := read(s.Files[unitRole].Path)
	if err != nil || !now.There {
		return err
	}
	return i.machine.systemctl(ctx, "disable", "--now", serviceName)
}

// removeService has systemd forget the hub.
func (i *Installer) removeService(ctx context.Context, before *snapshot) error {
	if err := i.disable(ctx, before); err != nil {
		return err
	}
	if err := i.restoreService(before); err != nil {
		return err
	}
	return i.machine.systemctl(ctx, "daemon-reload")
}

func (i *Installer) systemctlAll(ctx context.Context, all ...[]string) error {
	for _, args := range all {
		if err := i.machine.systemctl(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}
