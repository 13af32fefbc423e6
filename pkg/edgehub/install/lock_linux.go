package install

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Lock has no other installer do anything until it is unlocked, or this process ends. It is on the directory of units, in which it leaves nothing.
func (i *Installer) Lock() (unlock func(), err error) {
	dir, err := os.Open(i.config.UnitDir)
	if err != nil {
		return nil, fmt.Errorf("--unit-dir: %w", err)
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		err = fmt.Errorf("lock %s: %w", dir.Name(), err)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errors.New("another koinon-edgehub is being installed or uninstalled on this machine now: wait until it has ended")
		}
		return nil, errors.Join(err, dir.Close())
	}
	return func() { _ = dir.Close() }, nil
}
