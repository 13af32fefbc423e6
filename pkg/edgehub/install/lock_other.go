//go:build !linux

package install

// Lock does nothing here: there is nothing to install with.
func (*Installer) Lock() (unlock func(), err error) { return func() {}, nil }
